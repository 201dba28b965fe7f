"""Faces for the page, as HTML. The page's sliders and dropdowns check their own values."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegan.core import pretrained
from facegan.core.checks import check_number
from facegan.core.errors import FaceganError
from facegan.core.images import data_uri, image_uri, legible, to_pil, write_gif
from facegan.data.framing import read_face
from facegan.latent.finding import directions_path, load_directions
from facegan.latent.interpolation import slerp_loop, slerp_path
from facegan.latent.projection import project
from facegan.latent.selection import attributes_text, find_seeds
from facegan.networks.attributes import bundled_classifier
from facegan.networks.base import Generator
from facegan.networks.latents import MAX_SEED, parse_seeds
from facegan.web.markup import Face, strip, tiles

MAX_WEIGHTS = 100_000_000  # bytes: one page may not keep the others waiting for minutes
FACES = 24  # of one request
MAX_SHOWN = 240  # of the gallery; more replace the oldest
DEPTH = 3  # of a run's folder under outputs: outputs/sweeps/DATE/0
CANDIDATES = 960  # faces that a search for attributes draws
STEPS = 9  # of a walk
FRAMES = 16  # of a walk's animation, for each seed
MAX_KEYFRAMES = 6
PREVIEW = 8  # faces of an edit
FPS = 12  # of a walk's animation
MAX_BYTES = 10_000_000  # of a photograph
MAX_SECONDS = 30.0  # of a projection; others wait for it
CAPTIONS = ("photograph", "projection", "edited")

Projected = tuple[str, Tensor, Tensor]  # the weights, the target (C, H, W) uint8, its latent


def choices(outputs: Path) -> list[str]:
    """Bundled generators, then the runs and sweeps under `outputs`, the newest weights first."""
    bundled = [name for name in pretrained.bundled() if "latent_dim" in pretrained.config_of(name)]
    levels = ("*/" * depth + pretrained.WEIGHTS_FILE for depth in range(1, DEPTH + 1))
    found = [path for level in levels for path in outputs.glob(level)]  # follows links
    newest = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    runs = dict.fromkeys(path.parent.resolve() for path in newest)  # outputs/latest is a link
    return bundled + [relative(run) for run in runs]


def relative(folder: Path) -> str:
    """The path as one types it in the working folder."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def load(name: str) -> Generator:
    """The generator of `name`; it is read again if its file has changed."""
    file = pretrained.find(name).stat()
    if file.st_size > MAX_WEIGHTS:
        raise FaceganError(f"{name} has more than {MAX_WEIGHTS / 1e6:.0f} MB; use facegan.sample")
    return _load(name, file.st_mtime_ns)


@lru_cache(maxsize=8)
def _load(name: str, modified: int) -> Generator:
    return Generator.from_pretrained(name)


def draw(
    name: str, first: int, truncation: float, before: Sequence[Face] = ()
) -> tuple[str, list[Face]]:
    """FACES faces from the seed `first` on, or those that follow the faces `before`."""
    first = before[-1][1] + 1 if before else first
    check_number("first seed", first, 0, MAX_SEED - FACES)
    drawn = _with_seeds(load(name), range(first, first + FACES), truncation)
    shown = [*before, *drawn][-MAX_SHOWN:]
    return tiles(shown), shown


def order(
    name: str, wanted: Sequence[str], lacking: Sequence[str], first: int, truncation: float
) -> str:
    """FACES faces, from the seed `first` on, with and without attributes.

    Weights without labels draw those of CANDIDATES seeds that fit, which may be fewer.
    """
    check_number("first seed", first, 0, MAX_SEED - CANDIDATES)
    if not {*wanted, *lacking} or {*wanted} & {*lacking}:
        raise FaceganError("choose attributes, each either to have or to lack")
    generator = load(name)
    signs = {**dict.fromkeys(wanted, True), **dict.fromkeys(lacking, False)}
    seeds: Sequence[int] = range(first, first + FACES)
    if generator.labels is None:
        seeds = find_seeds(generator, signs, FACES, first, CANDIDATES, truncation)
    if not seeds:
        raise FaceganError(f"none of the {CANDIDATES} faces from seed {first} on fits")
    return tiles(_with_seeds(generator, seeds, truncation, order=signs))


def attributes(name: str) -> list[str]:
    """The attributes that `order` takes: the labels of the weights, or else the classifier's."""
    generator = load(name)
    if generator.labels is not None:
        return list(generator.labels.names)
    return list(bundled_classifier(generator.image_size).attributes)


def _with_seeds(
    generator: Generator,
    seeds: Sequence[int],
    truncation: float = 1.0,
    pairs: Sequence[Any] = (),
    order: Mapping[str, bool] | None = None,
) -> list[Face]:
    z = generator.latents(seeds, truncation, order if generator.labels is not None else None)
    faces = generator.draw(_moved(generator, z, pairs))
    edited = ",".join(f"{name}:{by}" for name, by in _amounts(pairs).items())
    ordered = attributes_text(order or {})
    facts = generator.provenance(truncation=truncation, edit=edited, attributes=ordered)
    marks = (replace(facts, seeds=str(seed)) for seed in seeds)
    return [(image_uri(f, facts=m), s) for f, m, s in zip(faces, marks, seeds, strict=True)]


def interpolate(name: str, text: str, truncation: float) -> tuple[str, str]:
    """STEPS faces from the first seed to the last, and a GIF that passes all seeds and loops."""
    seeds = parse_seeds(",".join(text.replace(",", " ").split()))
    if not 2 <= len(seeds) <= MAX_KEYFRAMES:
        raise ValueError(f"a walk passes 2 to {MAX_KEYFRAMES} seeds, got {len(seeds)}")
    generator = load(name)
    keyframes = generator.latents(seeds, truncation)
    steps = generator.draw(slerp_path(keyframes, STEPS))
    frames = generator.draw(slerp_loop(keyframes, FRAMES * len(keyframes)))
    facts = generator.provenance(seeds, truncation, motion="interpolation")
    walk = strip([[image_uri(step, facts=facts)] for step in steps], phone=3)
    gif, scale = io.BytesIO(), legible(generator.image_size)
    write_gif([to_pil(frame, scale, facts=facts) for frame in frames], gif, FPS)
    animation = data_uri(gif.getvalue(), "image/gif")
    return walk, f'<img alt="a walk through the faces" src="{animation}">'


def edit(name: str, first: int, *pairs: Any) -> str:
    """PREVIEW faces in a row, and below each the same face moved along directions.

    `pairs`: a direction or None, its amount, the next direction, …
    """
    check_number("first seed", first, 0, MAX_SEED - PREVIEW)
    generator, seeds = load(name), range(first, first + PREVIEW)
    rows = [_with_seeds(generator, seeds), _with_seeds(generator, seeds, pairs=pairs)]
    return strip([[face for face, _ in column] for column in zip(*rows, strict=True)], phone=4)


def project_photograph(
    name: str, path: str | None, find_face: bool, steps: int
) -> tuple[Projected, str, str]:
    """The latent nearest to a photograph; both images side by side; a sentence."""
    if path is None:
        raise FaceganError("choose a photograph first")
    if Path(path).stat().st_size > MAX_BYTES:
        raise FaceganError(f"the photograph must be smaller than {MAX_BYTES / 1e6:.0f} MB")
    generator = load(name)
    target = read_face(Path(path), name, generator, find_face)
    found = project(generator, target, steps, MAX_SECONDS)
    share = found.distance / found.unrelated
    text = f"The distance is {share:.0%} of that of an unrelated face of this generator."
    return (name, target, found.latent), _pictures(generator, target, found.latent), text


def edit_projected(projected: Projected | None, *pairs: Any) -> str:
    """The photograph's face, its projection, and this one moved by `pairs` of `edit`."""
    if projected is None:
        raise FaceganError("project a photograph first")
    name, target, latent = projected
    generator = load(name)
    return _pictures(generator, target, latent, _moved(generator, latent[None], pairs)[0])


def _pictures(generator: Generator, target: Tensor, *z: Tensor) -> str:
    """The target, then the images of latents (latent_dim,), in a row."""
    facts = generator.provenance()  # no seed has these latents
    drawn = [[image_uri(face, facts=facts)] for face in generator.draw(torch.stack(z))]
    return strip([[image_uri(target)], *drawn], 3, CAPTIONS[: 1 + len(drawn)])


def _amounts(pairs: Sequence[Any]) -> dict[str, float]:
    """The `pairs` of `edit`, a direction that is given twice with its last amount."""
    return {name: by for name, by in zip(pairs[::2], pairs[1::2], strict=True) if name}


def _moved(generator: Generator, z: Tensor, pairs: Sequence[Any]) -> Tensor:
    """Latents (N, latent_dim), moved by `pairs` of `edit`."""
    amounts = _amounts(pairs)
    return load_directions(generator, wanted=amounts).edit(z, amounts) if amounts else z


def direction_names(name: str, find: bool = False) -> list[str]:
    """The stored directions of the weights; if there are none, `find` computes them (minutes)."""
    if not find and not directions_path(pretrained.find(name)).is_file():
        return []
    generator = Generator.from_pretrained(name)  # not a cached one: hooks record its layers
    return list(load_directions(generator).names)
