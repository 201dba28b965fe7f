"""Projection: a face of a known latent is found again; what is no image is refused."""

import pytest
import torch

from facegan import Generator
from facegan.core.errors import FaceganError
from facegan.latent.projection import Distance, project
from facegan.networks.attributes import bundled_classifier
from facegan.networks.dcgan import DCGANGenerator
from facegan.networks.latents import latents


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained("lite-28")


@pytest.mark.parametrize("seed", [70_001, 70_003])
def test_the_face_of_a_known_latent_is_found_again(generator: Generator, seed: int) -> None:
    (z,) = latents([seed], generator.latent_dim)
    found = project(generator, generator.draw(z[None])[0], steps=60)
    others = (latents(range(256), generator.latent_dim) - z).norm(dim=1)
    assert (found.latent - z).norm() < 0.7 * others.min()
    assert found.distance < 0.1 * found.unrelated
    assert not generator.training
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_a_projection_is_deterministic(generator: Generator) -> None:
    image = generator.sample(seeds=[70_001])[0]
    first, second = (project(generator, image, steps=3) for _ in range(2))
    assert torch.equal(first.latent, second.latent)


def test_the_distance_of_an_image_to_itself_is_zero(generator: Generator) -> None:
    images = generator(latents([1, 2], generator.latent_dim)).detach()
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
        (torch.zeros(3, 28, 28), 10, "must be uint8"),
        (torch.zeros(1, 28, 28, dtype=torch.uint8), 10, "must be uint8"),
        (torch.zeros(3, 28, 5000, dtype=torch.uint8), 10, "sides of 8 to 4096"),
        (torch.zeros(3, 28, 28, dtype=torch.uint8), 0, "steps must be from 1 to 1000, got 0"),
    ],
)
def test_what_cannot_be_projected(generator, image, steps, message) -> None:
    with pytest.raises(FaceganError, match=message):
        project(generator, image, steps)
