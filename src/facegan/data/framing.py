"""A photograph's face, cropped as the images that a generator was trained on."""

from pathlib import Path

import torch
from PIL import UnidentifiedImageError
from torch import Tensor

from facegan.cli.config import read_data_config
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.data.align import FaceAligner, frame_name
from facegan.data.decode import Decoder
from facegan.networks.base import Generator

MAX_SOURCES = 8  # runs whose training images each were drawn by the next


def read_face(path: Path, name: str, generator: Generator, find_face: bool = True) -> Tensor:
    """The face in a photograph, or its centre square, as the generator `name` draws faces.

    Returns (C, H, W) uint8. Raises FaceganError for a file that is not a photograph of a face.
    """
    size, mode = generator.image_size, "L" if generator.channels == 1 else "RGB"
    crop, align = framing(name)
    aligner = FaceAligner(size, crop, mode, align=align, faces="one")
    try:
        faces = (aligner if find_face else Decoder(size, mode=mode))(path.read_bytes())
    except (ValueError, SyntaxError, OSError) as error:  # whatever Pillow raises
        why = "no image" if isinstance(error, UnidentifiedImageError) else error
        raise FaceganError(f"the photograph cannot be read: {why}") from error
    if not faces.images:
        reason = ", ".join(faces.left_out)
        remedy = ", or use its centre square (find_face=false)" if find_face else ""
        raise FaceganError(f"{reason}: take another photograph{remedy}")
    return torch.tensor(faces.images[0]).permute(2, 0, 1)


def framing(name: str) -> tuple[int | None, str]:
    """`data.crop` and `data.align` of the images that the weights were trained on."""
    for _ in range(MAX_SOURCES):
        if name in pretrained.bundled():
            return pretrained.bundled_crop(name), "true"
        data = read_data_config(pretrained.run_folder(name))
        if "weights" not in data:
            return data.get("crop"), frame_name(data.get("align") or True)
        name = data["weights"]  # of the generator whose faces these were
    raise FaceganError(f"{name} was trained on faces of itself")
