"""Faces in tests, offline: a provider for faker, and a fixture for pytest.

pytest loads this module at its start, as an entry point, so that it imports nothing heavy.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from facegan.networks.base import Generator


def face_png(
    seed: int,
    upscale: float | None = None,
    weights: str | None = None,
    attributes: str | None = None,
    size: int = 256,
) -> bytes:
    """The face of a seed as a marked PNG file, always the same bytes.

    `attributes`: "Smiling,-Eyeglasses", as in the command `sample`, for weights with labels.
    `weights`: by default "labels-28" with attributes, else "full-64". The file has `size` pixels in
    width and height, or `upscale` times those of the weights. Raises FaceganError for unknown
    names, ValueError for attributes of weights without labels.
    """
    from facegan.core.images import enlargement, png  # torch, which most tests do not need
    from facegan.latent.selection import label_order, parse_attributes

    generator = _generator(weights or ("labels-28" if attributes else "full-64"))
    wanted = parse_attributes(attributes)
    (image,) = generator.sample(seeds=[seed], attributes=label_order(generator, wanted) or wanted)
    facts = generator.provenance([seed], attributes=attributes or "")
    upscale = enlargement(generator.image_size, size) if upscale is None else upscale
    return png(image, upscale, "lanczos", facts)


@functools.cache
def _generator(weights: str) -> "Generator":
    from facegan.networks.base import Generator

    return Generator.from_pretrained(weights)


class FaceProvider:
    """A provider for faker: `fake.add_provider(FaceProvider)`, then `fake.face_png()`."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def face_png(self, *arguments: Any, **keywords: Any) -> bytes:
        """A face by faker's random numbers, which `Faker.seed` repeats.

        The arguments are those of `facegan.testing.face_png` without the seed.
        """
        return face_png(self._generator.random.getrandbits(32), *arguments, **keywords)


@pytest.fixture(scope="session", name="face_png")
def face_png_fixture() -> Callable[..., bytes]:
    """`facegan.testing.face_png`: face_png(7, attributes="Smiling") -> the bytes of a PNG."""
    return face_png
