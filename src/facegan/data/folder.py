"""Anybody's own photographs: a folder tree or a zip of JPEG, PNG or WebP images of any size."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegan.data.base import FaceSource
from facegan.data.dataset import SPLITS, Labels
from facegan.data.pack import PACK_VERSION, describe, pack
from facegan.data.photos import open_photos

HELD_OUT = 0.05  # of the photographs for "val", and as many for "test"


class FolderDataset(FaceSource):
    """Every image at `root`. Without `crop`, each gives its largest centre square."""

    def __init__(self, root: str, packed_dir: str, crop: int | None, image_size: int) -> None:
        super().__init__(packed_dir, image_size)
        self.crop = crop
        self.photos = open_photos(Path(root))

    def recipe(self) -> dict[str, Any]:
        return {
            "source": "folder",
            "photos": self.photos.fingerprint(),
            "packing": PACK_VERSION,
            "crop": self.crop,
            "image_size": self.image_size,
        }

    def write(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        names = self.photos.names()
        failures = pack(self.photos, names, self.crop, self.image_size, images)
        labels = Labels(
            splits=split_by_name(names),
            attributes=np.zeros((len(names), 0), dtype=bool),
            identities=np.full(len(names), -1),
            attribute_names=(),
        )
        notes = {"left_out": describe(names, failures)}
        return labels.without([row for row, _ in failures]), notes


def split_by_name(names: list[str]) -> NDArray[np.uint8]:
    """A split of each photograph, (N,) uint8, by a hash of its name: 5% val, 5% test."""
    order = np.argsort([zlib.crc32(name.encode()) for name in names], kind="stable")
    held_out = int(np.ceil(HELD_OUT * len(names)))
    splits = np.zeros(len(names), dtype=np.uint8)
    splits[order[:held_out]] = SPLITS.index("test")
    splits[order[held_out : 2 * held_out]] = SPLITS.index("val")
    return splits
