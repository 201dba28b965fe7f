"""Faces for the page: every request is bounded before anything is drawn."""

from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image

from facegan import pretrained
from facegan.comparison.runs import find_runs
from facegan.errors import FaceganError
from facegan.images import grid, to_pil
from facegan.networks.base import Generator
from facegan.networks.directions import directions_path
from facegan.sampling.interpolation import slerp
from facegan.sampling.latents import MAX_SEED, latents

FACES = 24  # of one request
STEPS = 9  # of an interpolation
PREVIEW = 8  # faces of an edit
DISPLAY = 112  # pixels of a face on the page


def choices(outputs: Path) -> list[str]:
    """Bundled generators, then the runs under `outputs` that have weights."""
    bundled = [name for name in pretrained.bundled() if is_generator(name)]
    try:
        runs = find_runs(str(outputs)) if outputs.is_dir() else []
    except FaceganError:
        runs = []  # none yet
    return bundled + [str(run) for run in runs if (run / pretrained.WEIGHTS_FILE).is_file()]


@lru_cache
def is_generator(name: str) -> bool:
    """Whether bundled weights draw faces; others classify them."""
    try:
        Generator.from_pretrained(name)
    except FaceganError:
        return False
    return True


def load(name: str) -> Generator:
    """The generator of `name`; it is read again when its file has changed."""
    path = pretrained.find(name)
    return _load(name, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load(name: str, modified: int) -> Generator:
    return Generator.from_pretrained(name)


def gallery(name: str, first_seed: float, truncation: float) -> list[tuple[Image.Image, str]]:
    """FACES faces from `first_seed` on, each with its seed."""
    first = bounded("the seed", first_seed, 0, MAX_SEED - FACES)
    scale = bounded("truncation", truncation, 0, 2)
    seeds = range(int(first), int(first) + FACES)
    generator = load(name)
    images = generator.draw(latents(seeds, generator.latent_dim) * scale)
    factor = max(1, DISPLAY // generator.image_size)
    return [(to_pil(image, factor), str(seed)) for image, seed in zip(images, seeds, strict=True)]


def interpolation(name: str, start: float, end: float, truncation: float) -> Image.Image:
    """STEPS faces from one seed's to another's, in a row."""
    seeds = [int(bounded("a seed", seed, 0, MAX_SEED)) for seed in (start, end)]
    scale = bounded("truncation", truncation, 0, 2)
    generator = load(name)
    z = latents(seeds, generator.latent_dim) * scale
    t = torch.linspace(0, 1, STEPS)[:, None]
    return row(generator, slerp(z[:1].expand(STEPS, -1), z[1:].expand(STEPS, -1), t))


def edit(name: str, first_seed: float, direction: str, amount: float) -> Image.Image:
    """PREVIEW faces in a row, and below them the same faces moved along a direction."""
    first = int(bounded("the seed", first_seed, 0, MAX_SEED - PREVIEW))
    amount = bounded("the amount", amount, -5, 5)
    generator = load(name)
    z = latents(range(first, first + PREVIEW), generator.latent_dim)
    moved = generator.directions().edit(z, {direction: amount})
    return row(generator, torch.cat([z, moved]), columns=PREVIEW)


def direction_names(name: str) -> list[str]:
    """The directions that were computed for the weights; none where they would take minutes."""
    if not directions_path(pretrained.find(name)).is_file():
        return []
    return list(load(name).directions().names)


def row(generator: Generator, z: torch.Tensor, columns: int | None = None) -> Image.Image:
    """The faces of latents (N, latent_dim), tiled."""
    factor = max(1, DISPLAY // generator.image_size)
    return to_pil(grid(generator.draw(z), columns or len(z)), factor)


def bounded(what: str, value: float, least: float, most: float) -> float:
    """`value`, a number of [least, most]. Raises FaceganError for any other."""
    if not isinstance(value, int | float) or not least <= value <= most:
        raise FaceganError(f"{what} must be a number from {least} to {most}, got {value}")
    return value
