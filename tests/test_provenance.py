"""The mark of synthetic images, and its check: read by Pillow, by exiftool, by facegan.verify."""

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facegan.core import pretrained
from facegan.core.images import grid, open_image, save_grid, to_pil
from facegan.core.provenance import GENERATED, PNG_KEY, Provenance
from facegan.networks.base import Generator

FACTS = Provenance("0123456789", "3,7", 0.0, "Smiling:2", "-Hat", "sweep", 'terms "<&\x00é', 2, 4)


def facts_of(path: Path) -> Provenance | None:
    return Provenance.from_xmp(open_image(path).info[PNG_KEY])


def digest(name: str) -> str:
    return pretrained.digest(Generator.from_pretrained(name))


def test_facts_survive_the_packet() -> None:
    found = Provenance.from_xmp(FACTS.to_xmp())
    assert found == Provenance(**{**vars(FACTS), "license": 'terms "<& é'})
    assert Provenance.from_xmp("<other/>") is None


def test_a_mark_leaves_the_pixels(tmp_path: Path) -> None:
    generator = Generator.from_pretrained("lite-28")
    images = generator.sample(3)
    facts = generator.provenance(range(3))
    save_grid(images, tmp_path / "plain.png", columns=2)
    save_grid(images, tmp_path / "marked.png", columns=2, facts=facts)
    plain, marked = (open_image(tmp_path / f"{name}.png") for name in ("plain", "marked"))
    assert plain.tobytes() == marked.tobytes() == to_pil(grid(images, 2)).tobytes()
    assert PNG_KEY not in plain.info
    found = facts_of(tmp_path / "marked.png")
    assert found is not None
    assert (found.weights, found.seeds, found.columns) == (digest("lite-28"), "0,1,2", 2)
    assert "non-commercial" in found.license


def test_sample_marks_faces_grids_and_videos(cli, workdir: Path) -> None:
    lite = ("weights=lite-28", "out=.", "truncation=0.5")
    options = ("edit=Smiling:2", "grid=true", "upscale=3", "filter=lanczos")
    cli.ok("sample", *lite, *options, "seeds=4-5")
    expected = Provenance(digest("lite-28"), "5", 0.5, "Smiling:2", upscale=3, filter="lanczos")
    found = facts_of(workdir / "seed-0005.png")
    assert found == Provenance(**{**vars(expected), "license": found.license})
    assert facts_of(workdir / "grid.png").seeds == "4,5"
    cli.ok("sample", *lite, "interpolate=3,7", "frames=2")
    data = (workdir / "interpolation-3-7.gif").read_bytes()
    assert GENERATED.encode() in data
    result = cli("verify", "interpolation-3-7.gif")
    assert (result.code, result.out) == (1, "interpolation-3-7.gif: not a PNG file\n")
    with Image.open(io.BytesIO(data)) as video:
        assert video.n_frames == 2


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_the_mark(cli) -> None:
    lite = ("weights=lite-28", "out=.", "frames=2")
    cli.ok("sample", *lite, "seeds=3")
    for video in ("gif", "mp4"):
        cli.ok("sample", *lite, "interpolate=3,7", f"video={video}")
    files = ["seed-0003.png", "interpolation-3-7.gif", "interpolation-3-7.mp4"]
    tool = ["exiftool", "-json", "-XMP:all", *files]
    found = json.loads(subprocess.run(tool, capture_output=True, check=True).stdout)
    for tags, seeds in zip(found, (3, "3,7", "3,7"), strict=True):
        assert tags["DigitalSourceType"] == GENERATED
        assert tags["CreatorTool"].startswith("facegan ")
        assert str(tags["Seeds"]).replace(",", "") == str(seeds).replace(",", "")
        assert tags["Weights"] == digest("lite-28")


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_the_mark_of_the_page() -> None:
    page = REPOSITORY / "src" / "facegan" / "deployment" / "static" / "page.html"
    found = subprocess.run(["exiftool", "-json", page], capture_output=True, check=True).stdout
    assert GENERATED in json.loads(found)[0].values()


def test_a_training_marks_its_grids(home: Path, cli) -> None:
    grids = sorted((home / "run" / "samples").glob("epoch-*.png"))
    weights = digest("run")
    assert facts_of(grids[-1]).weights == weights != facts_of(grids[0]).weights
    assert weights.encode() in (home / "run" / "samples" / "epochs.gif").read_bytes()
    result = cli("verify", *map(str, grids), "weights=run")
    assert result.code == 1
    assert re.fullmatch(r"(.*: weights not at hand .*\n){2}.*: the same\n", result.out)


@pytest.mark.parametrize("package", ["comparison", "deployment", "evaluation"])
def test_pages_say_that_their_faces_are_generated(package: str) -> None:
    meta = f'<meta name="Iptc4xmpExt:DigitalSourceType" content="{GENERATED}">'
    pages = (REPOSITORY / "src" / "facegan" / package).rglob("*.html")
    assert any(meta in page.read_text("utf-8") for page in pages)


def write(path: Path, picture: Image.Image, facts: Provenance | str | None) -> None:
    info = PngInfo()
    if facts is not None:
        info.add_itxt(PNG_KEY, facts if isinstance(facts, str) else facts.to_xmp())
    picture.save(path, pnginfo=info)


@pytest.mark.parametrize(
    ("change", "facts", "code", "verdict"),
    [
        (lambda face: face, {}, 0, "the same"),
        (lambda face: face ^ 1, {}, 0, "within one level"),
        (lambda face: face.index_fill(2, torch.tensor([4]), 0), {}, 1, "altered in the box "),
        (lambda face: face[:1], {}, 1, "altered: L (28, 28) instead of RGB (28, 28)"),
        (lambda face: face, {"seeds": "0-999999"}, 1, "altered: 28x28 pixels are too few"),
        (lambda face: face, {"columns": 10**6}, 1, "altered: 28x28 pixels are too few"),
        (lambda face: face, {"seeds": "seven"}, 1, "cannot be read"),
        (lambda face: face, 'filter="other"', 1, "cannot be read: filter must be one of"),
        (lambda face: face, {"upscale": 1.5}, 1, "altered: 28x28 pixels are too few"),
        (lambda face: face, 'upscale="0"', 1, "cannot be read: upscale must be"),
        (lambda face: face, {"seeds": ""}, 1, "marked, but not the faces of seeds"),
        (lambda face: face, {"weights": "0"}, 1, "weights not at hand (0)"),
        (lambda face: face, None, 1, "not marked"),
        (lambda face: face, "<broken", 1, "cannot be read"),
    ],
)
def test_verify_says_what_a_file_is(cli, workdir: Path, change, facts, code, verdict) -> None:
    generator = Generator.from_pretrained("lite-28")
    if isinstance(facts, dict):
        facts = Provenance(**{**vars(generator.provenance([7])), **facts})
    elif facts is not None and "=" in facts:
        name = facts.partition("=")[0]
        facts = re.sub(rf'{name}="\w+"', facts, generator.provenance([7]).to_xmp())
    write(workdir / "a=1, b.png", to_pil(change(generator.sample(seeds=[7])[0])), facts)
    result = cli("verify", "a=1, b.png")
    assert result.code == code, result.err
    assert result.out.startswith(f"a=1, b.png: {verdict}")


def test_verify_finds_the_changed_pixels_of_an_enlarged_grid(cli, workdir: Path) -> None:
    options = ("attributes=Smiling", "n=3", "edit=Young:-1", "grid=true", "upscale=8", "out=.")
    cli.ok("sample", *options)
    names = sorted(path.name for path in workdir.glob("*.png"))
    assert cli("verify", ".").out == "".join(f"{name}: the same\n" for name in names)
    picture = open_image(workdir / "grid.png")
    picture.paste((0, 255, 0), (20, 30, 25, 33))
    write(workdir / "grid.png", picture, facts_of(workdir / "grid.png"))
    result = cli("verify", "grid.png")
    assert (result.code, result.out) == (1, "grid.png: altered in the box (20, 30, 25, 33)\n")


@pytest.mark.parametrize("arguments", [("nowhere.png",), (".",), ()])
def test_verify_needs_files(cli, arguments: tuple[str, ...]) -> None:
    result = cli("verify", *arguments)
    assert (result.code, result.err.count("\n")) == (2, 1)
