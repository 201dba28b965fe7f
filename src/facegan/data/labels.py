"""Labels of photographs without annotations: their splits and classes."""

import csv
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facegan.core.errors import FaceganError
from facegan.data.dataset import SPLITS

HELD_OUT = 0.05  # of the photographs for "val", and as many for "test"
SMALL, MINIMUM = 100, 50  # from SMALL photographs on, each held-out split aims at MINIMUM of them
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
SUBFOLDER = "subfolder"
MAX_CLASSES = 100


def held_out_share(count: int) -> float:
    """The share of `count` photographs for "val", and for "test": 5%, of few up to 10%."""
    if count < SMALL:
        return HELD_OUT
    return max(HELD_OUT, min(2 * HELD_OUT, MINIMUM / count))


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
    """A split of each photograph by its top folder, such as train/ or val/.

    None unless all photographs are in such folders, and some but not all of them in train/.
    """
    folders = [split_folder(name) for name in names]
    if None in folders or "train" not in folders or len(set(folders)) == 1:
        return None
    return np.array([SPLITS.index(str(folder)) for folder in folders], dtype=np.uint8)


def split_folder(name: str) -> str | None:
    """The split that the top folder of a name stands for."""
    top, *rest = PurePosixPath(name).parts
    return SPLIT_FOLDERS.get(top.lower()) if rest else None


def unite(leaders: NDArray[np.int64], photos: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first image of each image's group, (N,): duplicates, and images of one photograph.

    `leaders` (N,) is the row of the first duplicate; `photos` (N,) is the photograph, ascending.
    """
    groups = leaders.copy()
    for row, first in enumerate(np.searchsorted(photos, photos)):
        one, other = sorted((groups[first], groups[row]))
        if one != other:
            groups[groups == other] = one
    return groups


def split_twins(
    names: Sequence[str], leaders: NDArray[np.int64], share: float | None = None
) -> NDArray[np.uint8]:
    """A split of each photograph, (N,) uint8; duplicates share one.

    `leaders` (N,) is the row of the first of each photograph's duplicates. Without `share`, folders
    such as train/ and val/ are honoured, and duplicates in several of them belong to the first in
    SPLITS; without such folders the share depends on the number of photographs.
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


def class_labels(names: Sequence[str], source: str | None) -> tuple[NDArray[np.bool_], list[str]]:
    """One attribute per class: (N, A) bool, and the classes' names.

    `source` is "subfolder", a CSV of name and label, or None for no labels. Photographs without a
    label have no attribute.
    """
    if source is None:
        return np.zeros((len(names), 0), dtype=bool), []
    labels = [_subfolder(name) for name in names] if source == SUBFOLDER else _csv(names, source)
    return one_hot(labels, source)


def one_hot(labels: Sequence[str], source: str) -> tuple[NDArray[np.bool_], list[str]]:
    """One attribute per class: (N, A) bool, and the classes' names. An empty label has no class."""
    classes = sorted(set(labels) - {""})
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise FaceganError(
            f"data.labels={source} gives {len(classes)} classes; there must be 1 to {MAX_CLASSES}"
        )
    return np.array([[label == name for name in classes] for label in labels]), classes


def _subfolder(name: str) -> str:
    """The first folder of a name, below train/ or the like; empty without one."""
    folders = PurePosixPath(name).parts[:-1]
    return next(iter(folders[split_folder(name) is not None :]), "")


def _csv(names: Sequence[str], source: str) -> list[str]:
    path = Path(source).expanduser()
    if not path.is_file():
        raise FaceganError(
            f"data.labels={source} is not a file; give {SUBFOLDER}, or a CSV of name and label"
        )
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = {row[0].strip(): row[1].strip() for row in csv.reader(file) if len(row) >= 2}
    labels = [table.get(name, table.get(PurePosixPath(name).name, "")) for name in names]
    if not any(labels):
        raise FaceganError(
            f"{source} names none of the photographs; its first column must have their file names, "
            f"such as {names[0]}"
        )
    return labels
