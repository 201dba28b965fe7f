"""Projection: it finds the face of a known latent and refuses what is not an image."""

import json
from pathlib import Path

import pytest
import torch
from conftest import Cli, edited_faces
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from facegan import Generator
from facegan.core.errors import FaceganError
from facegan.core.pretrained import digest
from facegan.latent.projection import Distance, Projection, load_latent, project
from facegan.networks.attributes import bundled_classifier
from facegan.networks.dcgan import DCGANGenerator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained("lite-28")


@pytest.mark.parametrize("seed", [70_001, 70_003])
def test_the_face_of_a_known_latent_is_found(generator: Generator, seed: int) -> None:
    (z,) = generator.latents([seed])
    found = project(generator, generator.draw(z[None])[0], steps=60)
    others = (generator.latents(range(256)) - z).norm(dim=1)
    assert (found.latent - z).norm() < 0.7 * others.min()
    assert found.distance < 0.1 * found.unrelated
    assert not generator.training
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_a_projection_is_deterministic(generator: Generator) -> None:
    image = generator.sample(seeds=[70_001])[0]
    first, second = (project(generator, image, steps=3) for _ in range(2))
    assert torch.equal(first.latent, second.latent)


def test_the_distance_of_an_image_to_itself_is_zero(generator: Generator) -> None:
    images = generator(generator.latents([1, 2])).detach()
    distances = Distance(bundled_classifier(28), images[:1])(images)
    assert distances[0] < 1e-9
    assert distances[1] > 0.1


def test_grey_images_of_another_size() -> None:
    generator = DCGANGenerator(latent_dim=6, width=8, image_size=8, channels=1)
    found = project(generator, torch.zeros(1, 20, 12, dtype=torch.uint8), steps=2)
    assert found.latent.shape == (6,)
    assert generator.training


@pytest.mark.parametrize(
    ("image", "steps", "message"),
    [
        (torch.zeros(3, 28, 28), 10, r"image must be uint8 \(3, H, W\), got torch.float32"),
        (torch.zeros(1, 28, 28, dtype=torch.uint8), 10, r"got torch.uint8 \(1, 28, 28\)"),
        (torch.zeros(3, 28, 28, dtype=torch.uint8), 0, "steps must be a whole number from 1"),
    ],
)
def test_what_cannot_be_projected_is_refused(generator, image, steps, message) -> None:
    with pytest.raises(ValueError, match=message):
        project(generator, image, steps)


def test_a_photograph_is_projected_by_the_command(home: Path, cli: Cli) -> None:
    photo = ("image=photos/03.png", "find_face=false", "steps=2")
    out = cli.ok("project", *photo, "weights=run", "out=out")
    assert "% of an unrelated face's" in out
    assert "held-out images" in out
    content = json.loads(Path("out/latent.json").read_text())
    assert 0 < content["held_out"] < 3 * content["unrelated"]
    generator = Generator.from_pretrained("run")
    drawn = generator.draw(load_latent(Path("out/latent.json"), generator)[None])
    assert torch.equal(pil_to_tensor(Image.open("out/projection.png")), drawn[0])
    cli.ok("sample", "weights=run", "latent=out/latent.json", "out=out")
    assert torch.equal(pil_to_tensor(Image.open("out/latent.png")), drawn[0])
    assert "no face" in cli("project", photo[0], "weights=run", "out=new").err
    assert "cannot be read: no image" in cli("project", "image=out/latent.json", "out=new").err
    assert not Path("new").exists()


def test_the_face_of_a_file_is_edited(generator: Generator, cli: Cli, workdir: Path) -> None:
    (z,) = generator.latents([3])
    Projection(z, 1.0, 2.0).save(workdir / "latent.json", generator)
    face = ("sample", "weights=lite-28", "latent=latent.json", "edit=Smiling:2", "out=.")
    cli.ok(*face)
    drawn = pil_to_tensor(Image.open("latent.png"))
    assert torch.equal(drawn, edited_faces(generator, [3], {"Smiling": 2})[0])
    cli.ok(*face, "sweep=-1:1", "frames=2")
    assert Path("sweep-Smiling.gif").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latent", "is damaged, or of another kind"),
        ("[1]", "is damaged, or of another kind"),
        ('{"weights": "%s"}', "is damaged, or of another kind"),
        ('{"weights": "%s", "latent": ["1"]}', "is damaged, or of another kind"),
        ('{"weights": "%s", "latent": [1, 2]}', "latent must be 64 finite numbers"),
        (
            '{"weights": "%s", "latent": [' + "NaN, " * 63 + "0]}",
            "latent must be 64 finite numbers",
        ),
        ('{"weights": "0", "latent": [1]}', "is the latent of other weights .0.: name"),
    ],
)
def test_other_files_are_no_latents(generator, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "latent.json"
    path.write_text(text.replace("%s", digest(generator)))
    with pytest.raises(FaceganError, match=message):
        load_latent(path, generator)
