"""Faces in tests, offline: a provider for faker, and a fixture for pytest.

pytest loads this module at its start, as an entry point, so that it imports nothing heavy.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import facegan

if TYPE_CHECKING:
    from facegan.latent.avatars import face_png as face_png


def __getattr__(name: str) -> Any:
    """`face_png` is that of facegan, which imports torch."""
    if name == "face_png":
        return facegan.face_png
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class FaceProvider:
    """A provider for faker: `fake.add_provider(FaceProvider)`, then `fake.face_png()`."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def face_png(self, *arguments: Any, **keywords: Any) -> bytes:
        """A face by faker's random numbers, which `Faker.seed` repeats.

        The arguments are those of `facegan.face_png` without the seed.
        """
        return facegan.face_png(self._generator.random.getrandbits(32), *arguments, **keywords)


@pytest.fixture(scope="session", name="face_png")
def face_png_fixture() -> Callable[..., bytes]:
    """`facegan.face_png`: face_png("user-42", attributes="Smiling") -> bytes of a PNG."""
    return facegan.face_png
