"""Which photographs are for training, validation and test."""

import zlib
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facegan.data.dataset import SPLITS

HELD_OUT = 0.05  # of the photographs for "val", and as many for "test"
SMALL, JUDGES = 100, 50  # from SMALL photographs on, each held-out split aims at JUDGES of them
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


def held_out_share(count: int) -> float:
    """The share of `count` photographs for "val", and for "test": 5%, of few up to 10%."""
    if count < SMALL:
        return HELD_OUT
    return max(HELD_OUT, min(2 * HELD_OUT, JUDGES / count))


def split_by_name(names: Sequence[str], share: float = HELD_OUT) -> NDArray[np.uint8]:
    """A split of each photograph, (N,) uint8, by a hash of its name: `share` val, as many test."""
    hashes = [zlib.crc32(name.encode(errors="surrogateescape")) for name in names]
    order = np.argsort(hashes, kind="stable")
    held_out = int(np.ceil(share * len(names)))
    splits = np.zeros(len(names), dtype=np.uint8)
    splits[order[:held_out]] = SPLITS.index("test")
    splits[order[held_out : 2 * held_out]] = SPLITS.index("val")
    return splits


def split_by_folder(names: Sequence[str]) -> NDArray[np.uint8] | None:
    """A split of each photograph by its top folder, such as train/ or val/; None without these.

    All photographs must lie in such folders, and some of them in train/.
    """
    folders = [split_folder(name) for name in names]
    if None in folders or "train" not in folders or len(set(folders)) == 1:
        return None
    return np.array([SPLITS.index(str(folder)) for folder in folders], dtype=np.uint8)


def split_folder(name: str) -> str | None:
    """The split that the top folder of a name means."""
    top, *rest = PurePosixPath(name).parts
    return SPLIT_FOLDERS.get(top.lower()) if rest else None


def unite(leaders: NDArray[np.int64], photos: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first image of each image's group, (N,): twins, and images of one photograph, are in one.

    `leaders` (N,) is the row of the first twin, `photos` (N,) the photograph of each image.
    """
    groups = leaders
    while True:
        united = _least(_least(groups, photos), leaders)
        if np.array_equal(united, groups):
            return groups
        groups = united


def _least(values: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least value of each image's group, (N,)."""
    least = np.full(groups.max() + 1, len(values))
    np.minimum.at(least, groups, values)
    return least[groups]


def split_twins(
    names: Sequence[str], leaders: NDArray[np.int64], share: float | None = None
) -> NDArray[np.uint8]:
    """A split of each photograph, (N,) uint8, in which twins share one.

    `leaders` (N,) is the row of the first twin of each photograph, or its own. Without `share`,
    folders such as train/ and val/ are honoured, and twins in several of them belong to the first
    in SPLITS; without such folders the share depends on the number of photographs.
    """
    given = split_by_folder(names) if share is None else None
    if given is not None:
        united = given.copy()
        np.minimum.at(united, leaders, given)
        return united[leaders]
    first = np.unique(leaders)
    splits = np.zeros(len(names), dtype=np.uint8)
    share = held_out_share(len(first)) if share is None else share
    splits[first] = split_by_name([names[row] for row in first], share)
    return splits[leaders]
