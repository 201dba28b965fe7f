"""Whether an image is still what a generator drew: it is drawn again from the file's mark."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.files import check_regular
from facegan.core.images import grid, to_pil
from facegan.core.provenance import PNG_KEY, Provenance
from facegan.latent.directions import parse_edit
from facegan.latent.finding import load_directions
from facegan.latent.selection import label_order, parse_attributes
from facegan.networks.base import Generator
from facegan.networks.latents import parse_seeds

INTACT = ("the same", "within one level")


def verify(files: Iterable[str], weights: str | None = None) -> bool:
    """Prints a verdict on each file, by the bundled weights and `weights`; are all INTACT?

    A folder stands for its PNG files. Raises FaceganError for a folder without one.
    """
    paths = [path for file in files for path in _files(file)]
    names = [name for name in pretrained.bundled() if "latent_dim" in pretrained.config_of(name)]
    names += [] if weights is None else [weights]
    generators = {pretrained.digest(g): g for g in map(Generator.from_pretrained, names)}
    verdicts = []
    for path in paths:
        check_regular(found := Path(path).expanduser())
        verdicts.append(compare(found.read_bytes(), generators))
        print(f"{path}: {verdicts[-1]}", flush=True)
    return all(verdict in INTACT for verdict in verdicts)


def _files(path: str) -> list[str]:
    """The path of a file, or those of a folder's PNG files."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return [path]
    if found := sorted(map(str, folder.glob("*.png"))):
        return found
    raise FaceganError(f"{path} is a folder without PNG files: give files, or a folder of them")


def compare(data: bytes, generators: Mapping[str, Generator]) -> str:
    """The verdict on the bytes of a file: one of INTACT, or why not. `generators`: by digest."""
    if not data.startswith(b"\x89PNG"):
        return "not a PNG file"
    try:
        picture = Image.open(io.BytesIO(data), formats=["PNG"])
        picture.load()
        facts = Provenance.from_xmp(picture.info.get(PNG_KEY, "<none/>"))
        seeds = parse_seeds(facts.seeds) if facts and facts.seeds else []
        edit = parse_edit(facts.edit) if facts and facts.edit else {}
    except (FaceganError, OSError, SyntaxError, ValueError) as error:  # of the file or the mark
        return f"cannot be read: {error}"
    if facts is None:
        return "not marked"
    if facts.motion or not seeds:
        return "marked, but not the faces of seeds, which alone are drawn again"
    if facts.weights not in generators:
        return f"weights not at hand ({facts.weights}): name them by weights="
    generator, tiles = generators[facts.weights], max(len(seeds), facts.columns)
    if tiles * round(generator.image_size * facts.upscale) ** 2 > picture.width * picture.height:
        return f"altered: {picture.width}x{picture.height} pixels are too few"
    order = label_order(generator, parse_attributes(facts.attributes))
    z = generator.latents(seeds, facts.truncation, order)
    if edit:
        z = load_directions(generator).edit(z, edit)
    drawn = to_pil(grid(generator.draw(z), facts.columns), facts.upscale, facts.filter)
    if (picture.mode, picture.size) != (drawn.mode, drawn.size):
        return f"altered: {picture.mode} {picture.size} instead of {drawn.mode} {drawn.size}"
    levels = (pil_to_tensor(picture).int() - pil_to_tensor(drawn).int()).abs().amax(dim=0)
    most = 2 if facts.filter == "lanczos" else 1  # Lanczos's filter can double a level
    if levels.max() <= most:
        return INTACT[int(levels.any())]
    return f"altered in the box {to_pil((levels > most).byte()[None]).getbbox()}"
