"""Faces for the page: every request is bounded before anything is drawn."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.images import image_uri, to_pil
from facegan.latent.finding import directions_path, load_directions
from facegan.latent.interpolation import slerp_loop, slerp_path
from facegan.latent.selection import find_seeds
from facegan.networks.attributes import bundled_classifier
from facegan.networks.base import Generator
from facegan.networks.latents import MAX_SEED, latents, parse_seeds
from facegan.web.drawing import Drawing
from facegan.web.markup import Gallery, animation, strip

FACES = 24  # of one request
CANDIDATES = 960  # faces that are searched for an order
STEPS = 9  # of a walk
FRAMES = 16  # of a walk's animation, for each seed
MAX_KEYFRAMES = 6
PREVIEW = 8  # faces of an edit
DISPLAY = 112  # pixels of a face on the page
DEPTH = 3  # of a run's folder under outputs: outputs/sweeps/DATE/0

draw = Drawing()


def choices(outputs: Path) -> list[str]:
    """Bundled generators, then the runs and sweeps under `outputs` that have weights."""
    bundled = [name for name in pretrained.bundled() if is_generator(name)]
    return bundled + [relative(run) for run in runs_with_weights(outputs)]


def runs_with_weights(outputs: Path) -> list[Path]:
    """The run folders, the newest first; outputs/latest is a second name of one of them."""
    levels = ("*/" * depth for depth in range(1, DEPTH + 1))
    paths = [path for level in levels for path in outputs.glob(level + pretrained.WEIGHTS_FILE)]
    newest = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
    return list(dict.fromkeys(path.parent.resolve() for path in newest))


def relative(folder: Path) -> str:
    """The path as one types it in the working folder."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


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


def gallery(name: str, first_seed: float, truncation: float) -> Gallery:
    """FACES faces from `first_seed` on, each with its seed."""
    first = int(bounded("the seed", first_seed, 0, MAX_SEED - FACES))
    scale = bounded("truncation", truncation, 0, 2)
    return labelled(load(name), range(first, first + FACES), scale)


def order(
    name: str, wanted: Sequence[str], lacking: Sequence[str], first_seed: float, truncation: float
) -> Gallery:
    """Up to FACES faces, from `first_seed` on, with and without attributes."""
    first = int(bounded("the seed", first_seed, 0, MAX_SEED - CANDIDATES))
    scale = bounded("truncation", truncation, 0, 2)
    if not {*wanted, *lacking} or {*wanted} & {*lacking}:
        raise FaceganError("choose attributes, each either to have or to lack")
    generator = load(name)
    signs = {**dict.fromkeys(wanted, True), **dict.fromkeys(lacking, False)}
    seeds = find_seeds(generator, signs, FACES, first, CANDIDATES, scale)
    if not seeds:
        raise FaceganError(f"none of the {CANDIDATES} faces from seed {first} on fits")
    return labelled(generator, seeds, scale)


def labelled(generator: Generator, seeds: Sequence[int], truncation: float) -> Gallery:
    """The faces of seeds, each with its seed."""
    z = latents(seeds, generator.latent_dim) * truncation
    return [(image_uri(image), seed) for image, seed in zip(draw(generator, z), seeds, strict=True)]


def interpolation(name: str, seeds: str, truncation: float) -> tuple[str, str]:
    """A walk past the faces of seeds: STEPS faces from the first to the last, and a GIF."""
    scale = bounded("truncation", truncation, 0, 2)
    generator = load(name)
    keyframes = latents(walk_seeds(seeds), generator.latent_dim) * scale
    steps = draw(generator, slerp_path(keyframes, STEPS))
    frames = draw(generator, slerp_loop(keyframes, FRAMES * len(keyframes)))
    enlarged = [to_pil(frame, enlargement(generator)) for frame in frames]
    return strip(steps[:, None], phone=3), animation(enlarged)


def walk_seeds(text: str) -> list[int]:
    """ "3,7,12" -> [3, 7, 12]: two to MAX_KEYFRAMES seeds. Raises FaceganError."""
    try:
        seeds = parse_seeds(str(text)[:200])
    except ValueError as error:
        raise FaceganError(str(error)) from error
    if not 2 <= len(seeds) <= MAX_KEYFRAMES:
        raise FaceganError(f"a walk passes 2 to {MAX_KEYFRAMES} seeds, got {len(seeds)}")
    return seeds


def edit(name: str, first_seed: float, *pairs: Any) -> str:
    """PREVIEW faces in a row, and below each the same face moved along directions.

    `pairs`: a direction or None, its amount, the next direction, …
    """
    first = int(bounded("the seed", first_seed, 0, MAX_SEED - PREVIEW))
    generator = load(name)
    z = latents(range(first, first + PREVIEW), generator.latent_dim)
    before, after = draw(generator, torch.cat([z, moved(generator, z, pairs)])).chunk(2)
    return strip(torch.stack([before, after], dim=1), phone=4)


def moved(generator: Generator, z: Tensor, pairs: Sequence[Any]) -> Tensor:
    """Latents (N, latent_dim), moved by `pairs` of `edit`."""
    amounts = {
        direction: bounded("the amount", amount, -5, 5)
        for direction, amount in zip(pairs[::2], pairs[1::2], strict=True)
        if direction
    }
    return load_directions(generator, wanted=amounts).edit(z, amounts) if amounts else z


def direction_names(name: str) -> list[str]:
    """The directions that were computed for the weights; none where they would take minutes."""
    if not directions_path(pretrained.find(name)).is_file():
        return []
    return list(load_directions(load(name)).names)


def find_directions(name: str) -> list[str]:
    """The same names, after the directions were computed where they were not: minutes."""
    generator = Generator.from_pretrained(name)  # its layers are observed meanwhile
    return list(load_directions(generator).names)


def attribute_names(name: str) -> list[str]:
    """What `order` knows."""
    return list(bundled_classifier(load(name).image_size).attributes)


def enlargement(generator: Generator) -> int:
    """Of an animation's pixel, so that a face has about DISPLAY pixels."""
    return max(1, round(DISPLAY / generator.image_size))


def bounded(what: str, value: float, least: float, most: float) -> float:
    """`value`, a number of [least, most]. Raises FaceganError for any other."""
    if not isinstance(value, int | float) or not least <= value <= most:
        raise FaceganError(f"{what} must be a number from {least} to {most}, got {value}")
    return value
