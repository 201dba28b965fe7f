"""A photograph on the page: its face, cropped as the training images were, and its projection."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from facegan.cli.config import read_data_config
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.images import image_uri
from facegan.data.align import FaceAligner, frame_name
from facegan.data.decode import Decoder
from facegan.latent.projection import project
from facegan.web.faces import load, move
from facegan.web.markup import strip

MAX_BYTES = 10_000_000
MAX_SECONDS = 30.0  # of a search; others wait for it
MAX_SOURCES = 8  # runs whose training images each were drawn by the next
CAPTIONS = ("photograph", "projection", "edited")


class Projected(NamedTuple):
    """What stays between two requests: the weights' name, the target and its latent."""

    name: str
    target: Tensor  # (C, H, W) uint8
    latent: Tensor  # (latent_dim,)


def project_photograph(
    name: str, path: str | None, find_face: bool, steps: int
) -> tuple[Projected, str, str]:
    """The latent nearest to a photograph; both images side by side; a sentence."""
    if path is None:
        raise FaceganError("choose a photograph first")
    target = read_face(Path(path), name, find_face)
    found = project(load(name), target, steps, MAX_SECONDS)
    share = found.distance / found.unrelated
    text = f"The distance is {share:.0%} of that of an unrelated face of this generator."
    projected = Projected(name, target, found.latent)
    return projected, _pictures(projected, found.latent), text


def edit_projected(projected: Projected | None, *pairs: Any) -> str:
    """The photograph's face, its projection, and this one moved by `pairs` of `faces.edit`."""
    if projected is None:
        raise FaceganError("project a photograph first")
    moved = move(load(projected.name), projected.latent[None], pairs)
    return _pictures(projected, projected.latent, moved[0])


def _pictures(projected: Projected, *z: Tensor) -> str:
    """The target, then the images of latents (latent_dim,), in a row."""
    generator = load(projected.name)
    facts = generator.provenance()  # no seed has these latents
    drawn = [[image_uri(face, facts=facts)] for face in generator.draw(torch.stack(z))]
    return strip([[image_uri(projected.target)], *drawn], 3, CAPTIONS[: 1 + len(drawn)])


def read_face(path: Path, name: str, find_face: bool) -> Tensor:
    """The face in a photograph, or its centre square, as the weights `name` draw faces.

    Returns (C, H, W) uint8. Raises FaceganError for a file that is not a photograph of a face.
    """
    if path.stat().st_size > MAX_BYTES:
        raise FaceganError(f"the photograph must be smaller than {MAX_BYTES / 1e6:.0f} MB")
    generator = load(name)
    size, mode = generator.image_size, "L" if generator.channels == 1 else "RGB"
    crop, align = framing(name)
    aligner = FaceAligner(size, crop, mode, align=align, faces="one")
    try:
        faces = (aligner if find_face else Decoder(size, mode=mode))(path.read_bytes())
    except (ValueError, OSError, SyntaxError) as error:  # whatever Pillow raises
        raise FaceganError(f"the photograph cannot be read: {error}") from error
    if not faces.images:
        reason = ", ".join(faces.left_out)
        raise FaceganError(f"{reason}: take another photograph, or its centre square")
    return torch.tensor(faces.images[0]).permute(2, 0, 1)


def framing(name: str) -> tuple[int | None, str]:
    """`data.crop` and `data.align` of the images that the weights were trained on."""
    for _ in range(MAX_SOURCES):
        if name in pretrained.bundled():
            return pretrained.bundled_crop(name), "true"
        data = read_data_config(pretrained.run_folder(name))
        if "weights" not in data:
            return data.get("crop"), frame_name(data.get("align") or True)
        name = data["weights"]  # of the generator whose faces these were
    raise FaceganError(f"{name} was trained on faces of itself")
