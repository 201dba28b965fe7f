"""What is known about one's own photographs: a class from the subfolder, or from a CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facegan.core.errors import FaceganError
from facegan.data.splits import split_folder

SUBFOLDER = "subfolder"
MAX_CLASSES = 100


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
    """One attribute per class: (N, A) bool, and the classes' names. An empty label is none."""
    classes = sorted(set(labels) - {""})
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise FaceganError(
            f"data.labels={source} gives {len(classes)} classes; there must be 1 to {MAX_CLASSES}"
        )
    return np.array([[label == name for name in classes] for label in labels]), classes


def _subfolder(name: str) -> str:
    """The first folder of a name, below train/ or the like where there is one."""
    folders = PurePosixPath(name).parts[:-1]
    return next(iter(folders[split_folder(name) is not None :]), "")


def _csv(names: Sequence[str], source: str) -> list[str]:
    path = Path(source).expanduser()
    if not path.is_file():
        raise FaceganError(
            f"data.labels={source} is no file; give {SUBFOLDER}, or a CSV whose rows are the name "
            "of a photograph and its label"
        )
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if len(row) >= 2]
    known = {row[0].strip(): row[1].strip() for row in rows}
    labels = [known.get(name, known.get(PurePosixPath(name).name, "")) for name in names]
    if not any(labels):
        raise FaceganError(
            f"{source} names none of the photographs; its first column must hold their file names, "
            f"such as {names[0]}"
        )
    return labels
