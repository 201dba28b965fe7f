"""How far a generator has moved from the weights that its training started from."""

import shlex
from pathlib import Path

from torch import Tensor

from facegan.core import pretrained
from facegan.networks.base import Generator

SEEDS = range(64)
LITTLE = 0.5  # of the difference between two seeds
ENOUGH = 20_000  # images until faces are the photographs' (benchmarks/notes.md)
LEAST = 10_000  # images before which little movement is a lack of training
FACT = "moved"  # in the metadata of weights, the text of `movement`
WARNING = "warning: "


def movement(init: str, start: Tensor, generator: Generator, images: int) -> str:
    """How far the faces of SEEDS have moved from `start`, (64, C, H, W) uint8, after `images`.

    By mean absolute differences of pixels. The text begins with WARNING if the training was too
    short. Of the path `init`, it has the last part only, since weights carry it.
    """
    name = Path(init).name
    moved = _difference(start, generator.sample(seeds=SEEDS))
    apart = _difference(start, start.roll(1, 0))  # of different seeds
    text = f"each has changed by {moved / max(apart, 1):.0%} of the difference between two faces"
    if moved >= LITTLE * apart:
        return f"the faces are no longer those of init={name}: {text}"
    if images >= LEAST:
        return f"the faces still resemble those of init={name}, as the photographs may: {text}"
    return f"{WARNING}these are still the faces of init={name}; train longer: {text}"


def still_the_start(weights: str | Path) -> str:
    """The warning of `movement` in the metadata of `weights`; empty if there is none."""
    text = pretrained.metadata(weights).get(FACT, "")
    return text.removeprefix(WARNING) if text.startswith(WARNING) else ""


def train_longer(run: Path) -> str:
    """The command that resumes the training in `run`, for twice as many images or ENOUGH."""
    images = max(2 * int(pretrained.metadata(run).get("images_seen", 0)), ENOUGH)
    how = f"trainer.restart_schedule=true trainer.max_images={images}"
    return f"python -m facegan.train {shlex.quote(f'resume={run}')} {how}"


def starting_faces(source: str, generator: Generator) -> Tensor | None:
    """The faces of SEEDS by the weights `source`; None if they have other latents or sizes."""
    start = Generator.from_pretrained(source)
    if (start.latent_dim, start.image_shape) != (generator.latent_dim, generator.image_shape):
        return None
    return start.sample(seeds=SEEDS)


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().mean())
