"""A photograph on the page: its face, and its projection."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from facegan.core.errors import FaceganError
from facegan.core.images import image_uri
from facegan.data.framing import read_face
from facegan.latent.projection import project
from facegan.web.faces import load, move
from facegan.web.markup import strip

MAX_BYTES = 10_000_000
MAX_SECONDS = 30.0  # of a search; others wait for it
CAPTIONS = ("photograph", "projection", "edited")


class Projected(NamedTuple):
    """What stays between two requests: the weights' name, the target and its latent."""

    name: str
    target: Tensor  # (C, H, W) uint8
    latent: Tensor  # (latent_dim,)


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
    projected = Projected(name, target, found.latent)
    return projected, _pictures(projected, found.latent), text


def edit_projected(projected: Projected | None, *pairs: Any) -> str:
    """The photograph's face, its projection, and this one moved by `pairs` of `faces.edit`."""
    if projected is None:
        raise FaceganError("project a photograph first")
    moved = move(load(projected.name), projected.latent[None], pairs)
    return _pictures(projected, projected.latent, moved[0])


def _pictures(projected: Projected, *z: Tensor) -> str:
    """The target, then the images of latents (latent_dim,), in a row."""
    generator = load(projected.name)
    facts = generator.provenance()  # no seed has these latents
    drawn = [[image_uri(face, facts=facts)] for face in generator.draw(torch.stack(z))]
    return strip([[image_uri(projected.target)], *drawn], 3, CAPTIONS[: 1 + len(drawn)])
