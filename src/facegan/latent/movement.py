"""How far a generator has moved from the weights that its training started from."""

from torch import Tensor

from facegan.networks.base import Generator

SEEDS = range(64)
LITTLE = 0.5  # of the difference between two seeds


def movement(init: str, start: Tensor, generator: Generator) -> str:
    """How far the faces of SEEDS have moved from `start`, (64, C, H, W) uint8, with a warning.

    The text begins with "warning" if they are still the faces of the weights `init`, by the mean
    absolute differences of pixels.
    """
    moved = _difference(start, generator.sample(seeds=SEEDS))
    apart = _difference(start, start.roll(1, 0))  # of different seeds
    text = f"faces have moved by {moved:.0f} grey levels; two seeds differ by {apart:.0f}"
    warning = f"warning: these are still the faces of init={init}; train longer: "
    return warning + text if moved < LITTLE * apart else text


def starting_faces(source: str, generator: Generator) -> Tensor | None:
    """The faces of SEEDS by the weights `source`; None if they have other latents or sizes."""
    start = Generator.from_pretrained(source)
    if (start.latent_dim, start.image_shape) != (generator.latent_dim, generator.image_shape):
        return None
    return start.sample(seeds=SEEDS)


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().mean())
