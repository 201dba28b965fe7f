"""Faces in tests, offline: a provider for faker, and a fixture for pytest.

pytest loads this module at its start, as an entry point, so that it imports nothing heavy.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from facegan.networks.base import Generator


def face_png(seed: int, upscale: int = 4, weights: str = "full-64") -> bytes:
    """The face of a seed as a marked PNG file: 256x256 pixels by default, always the same bytes."""
    from facegan.core.images import png  # torch, which most sessions of pytest do not need

    generator = _generator(weights)
    (image,) = generator.sample(seeds=[seed])
    return png(image, upscale, "lanczos", generator.provenance([seed]))


@functools.cache
def _generator(weights: str) -> "Generator":
    from facegan.networks.base import Generator

    return Generator.from_pretrained(weights)


class FaceProvider:
    """A provider for faker: `fake.add_provider(FaceProvider)`, then `fake.face_png()`."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def face_png(self, upscale: int = 4, weights: str = "full-64") -> bytes:
        """A face by faker's random numbers, which `Faker.seed` repeats, as a PNG file."""
        return face_png(self._generator.random.getrandbits(32), upscale, weights)


@pytest.fixture(scope="session", name="face_png")
def face_png_fixture() -> Callable[..., bytes]:
    """face_png(seed, upscale=4, weights="full-64"): a synthetic face as the bytes of a PNG."""
    return face_png
