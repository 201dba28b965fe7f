"""Images of any generator, read to be compared."""

import io
import re
import tempfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegan.core.provenance import is_grid
from facegan.data.decode import Decoder, Faces
from facegan.data.pack import pack
from facegan.data.photos import open_photos

GRID_NAME = re.compile(r"(^|[\W_])grid([\W_\d]|$)", re.IGNORECASE)
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")


def read_images(root: Path, count: int, image_size: int, mode: str = "RGB") -> tuple[Tensor, str]:
    """At most `count` images of a folder or zip, at equal distances, (N, C, H, W) uint8, and a
    description of what may change their distances.

    Images of another size or shape are cropped to their largest centre square and resized. Grids,
    which are marked or named so, are left out.
    """
    decoder = Decoder(image_size, mode=mode)
    photos = open_photos(root, "images")
    named = [name for name in photos.names() if not GRID_NAME.search(PurePosixPath(name).stem)]
    rows = np.linspace(0, len(named) - 1, min(count, len(named))).round().astype(int)
    names = [named[row] for row in rows]
    found: list[tuple[str | None, tuple[int, int]]] = []  # format and size of each image

    def decode(data: bytes) -> Faces:
        if is_grid(data):
            return Faces([], ["grids"])
        with Image.open(io.BytesIO(data)) as image:
            found.append((image.format, image.size))
        return decoder(data)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        packed = pack(photos, names, decode, decoder.shape, path)
        images = torch.from_numpy(np.load(path)).permute(0, 3, 1, 2)
    left_out = Counter([reason for _, reason in packed.left_out])
    left_out["grids"] += len(photos.names()) - len(named)
    counts = {
        f"resized to {image_size}x{image_size}": sum({image_size} != {*size} for _, size in found),
        "not square and cropped": sum(width != height for _, (width, height) in found),
        "JPEG or the like, whose losses change distances": sum(kind in LOSSY for kind, _ in found),
        **{f"left out: {reason}": number for reason, number in left_out.items()},
    }
    return images, "; ".join(f"{n:,} {what}" for what, n in counts.items() if n) or "unchanged"
