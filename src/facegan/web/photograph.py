"""A photograph on the page: its face, cropped as the training images were, and its projection."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from facegan.cli.config import read_data_config
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.data.align import FaceAligner, frame_name
from facegan.data.decode import Decoder
from facegan.latent.projection import project
from facegan.web.faces import bounded, draw, load, moved
from facegan.web.markup import strip

MAX_BYTES = 10_000_000
STEPS = (10, 200)  # of a projection on the page
CAPTIONS = ("photograph", "projection", "edited")
MODES = {1: "L", 3: "RGB"}  # data.mode by channels


class Framing(NamedTuple):
    """How the training images of weights were cut out of photographs."""

    crop: int | None  # data.crop
    align: str = "true"  # data.align


class Projected(NamedTuple):
    """What stays between two requests: the weights' name, the target and its latent."""

    name: str
    target: Tensor  # (C, H, W) uint8
    latent: Tensor  # (latent_dim,)


def project_photograph(
    name: str, path: str | None, find_face: bool, steps: float
) -> tuple[Projected, str, str]:
    """The latent nearest to a photograph; both images side by side; a sentence."""
    steps = int(bounded("steps", steps, *STEPS))
    if path is None:
        raise FaceganError("choose a photograph first")
    generator = load(name)
    target = read_face(Path(path), name, find_face)
    found = project(generator, target, steps)
    share = found.distance / found.unrelated
    text = f"The distance is {share:.0%} of that of an unrelated face of this generator."
    projected = Projected(name, target, found.latent)
    return projected, pictures(projected, found.latent), text


def edit_projected(projected: Projected | None, *pairs: Any) -> str:
    """The photograph's face beside the projection moved along directions (as `faces.edit`)."""
    if projected is None:
        raise FaceganError("project a photograph first")
    z = moved(load(projected.name), projected.latent[None], pairs)
    return pictures(projected, projected.latent, z[0])


def pictures(projected: Projected, *z: Tensor) -> str:
    """The target, then the images of latents (latent_dim,), in a row."""
    faces = torch.cat([projected.target[None], draw(load(projected.name), torch.stack(z))])
    return strip(faces[:, None], phone=3, captions=CAPTIONS[: len(faces)])


def read_face(path: Path, name: str, find_face: bool) -> Tensor:
    """The face in a photograph, or its centre square, as the weights `name` draw faces.

    Returns (C, H, W) uint8. Raises FaceganError where there is none.
    """
    generator = load(name)
    size, mode = generator.image_size, MODES[generator.channels]
    crop, align = framing(name)
    decode = FaceAligner(size, crop, mode, align=align, faces="one")
    if path.stat().st_size > MAX_BYTES:
        raise FaceganError(f"the photograph must be smaller than {MAX_BYTES / 1e6:.0f} MB")
    try:
        faces = (decode if find_face else Decoder(size, mode=mode))(path.read_bytes())
    except (ValueError, OSError, SyntaxError) as error:  # whatever Pillow raises
        raise FaceganError(f"the photograph cannot be read: {error}") from error
    if not faces.images:
        reason = ", ".join(faces.left_out)
        raise FaceganError(f"{reason}: take another photograph, or its centre square")
    return torch.from_numpy(faces.images[0].copy()).permute(2, 0, 1)


def framing(name: str) -> Framing:
    """CelebA's of bundled weights; of a run that of its data."""
    if name in pretrained.bundled():
        return Framing(pretrained.bundled_crop(name))
    data = read_data_config(pretrained.run_folder(name))
    if "weights" in data:  # faces of another generator
        return framing(data["weights"])
    return Framing(data.get("crop"), frame_name(data.get("align") or True))
