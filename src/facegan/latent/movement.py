"""How far a generator has moved from the weights that its training started from."""

from typing import NamedTuple

from torch import Tensor

from facegan.networks.base import Generator

SEEDS = range(64)
LITTLE = 0.5  # of the difference between two seeds


class Movement(NamedTuple):
    """Mean absolute differences of pixels, in [0, 255]."""

    moved: float  # of the faces of the same seeds, before and after
    apart: float  # of the faces of different seeds, before

    @property
    def is_little(self) -> bool:
        """Whether the faces are still those of the weights that the training started from."""
        return self.moved < LITTLE * self.apart

    def describe(self, init: str) -> str:
        """The numbers, with a warning if they are little. `init`: the weights of the start."""
        apart = f"two seeds differ by {self.apart:.0f}"
        text = f"faces have moved by {self.moved:.0f} grey levels; {apart}"
        warning = f"warning: these are still the faces of init={init}; train longer: "
        return warning + text if self.is_little else text


def movement(start: Tensor, generator: Generator) -> Movement:
    """From `start`, the (64, C, H, W) uint8 faces of SEEDS before, to those of `generator`."""
    faces = generator.sample(seeds=SEEDS)
    return Movement(_difference(start, faces), _difference(start, start.roll(1, 0)))


def starting_faces(source: str, generator: Generator) -> Tensor | None:
    """The faces of SEEDS by the weights `source`; None if they have other latents or sizes."""
    start = Generator.from_pretrained(source)
    if (start.latent_dim, start.image_shape) != (generator.latent_dim, generator.image_shape):
        return None
    return start.sample(seeds=SEEDS)


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().mean())
