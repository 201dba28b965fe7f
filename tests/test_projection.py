"""Projection: it finds the face of a known latent and refuses what is not an image."""

import pytest
import torch

from facegan import Generator
from facegan.latent.projection import Distance, project
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
