"""What a training will see: one page and one PNG of a packed data set, to look at before it."""

from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegan.core.files import write_bytes
from facegan.core.images import grid, save_grid
from facegan.data.dataset import SPLITS, PackedDataset, read_left_out, read_names
from facegan.data.photos import Unused
from facegan.data.quality import brightness, sharpness
from facegan.evaluation.report import render

PAGE, PNG = "preview.html", "preview.png"
SHEET, COLUMNS = 100, 10  # images of the contact sheet
TILE = 84  # pixels of an image in the PNG, at least
EXTREMES = 10  # images at each end of a measure
TWINS, TWINS_SHOWN = 12, 4  # groups of duplicates, and images of each
REASONS, EXAMPLES = 20, 3  # rows of the table of what is left out, and names in each
WHISKER = 1.5  # interquartile ranges beyond the quartiles, where outliers begin (Tukey 1977)
CHUNK = 1024  # images in memory as floats


class Tile(NamedTuple):
    """An image with its photograph's name."""

    image: Tensor  # (C, H, W) uint8
    name: str
    value: float | None = None
    outlier: bool = False


class Extremes(NamedTuple):
    """The images with the least and the greatest values of a measure."""

    title: str
    description: str
    outliers: int
    ends: dict[str, list[Tile]]


class Reason(NamedTuple):
    """Files that are left out for one reason."""

    text: str
    files: int
    examples: list[str]


def write_preview(dataset: PackedDataset) -> Path:
    """Writes preview.html and preview.png beside the images. Returns the path of the page."""
    tiles = _Tiles(dataset)
    sheet = torch.stack([tile.image for tile in tiles(_spread(dataset.indices("train"), SHEET))])
    left_out = read_left_out(dataset.path)
    by_reason = reasons(left_out)
    page = render(
        "preview.html",
        facts=_facts(dataset, len(left_out)),
        sheet=grid(sheet, COLUMNS),
        shown=len(sheet),
        labels=_label_counts(dataset),
        left_out=by_reason[:REASONS],
        further=len(by_reason[REASONS:]),
        twins=[tiles(rows) for rows in _twins(dataset)],
        extremes=_extremes(dataset, tiles),
    )
    save_grid(sheet, dataset.path / PNG, COLUMNS, upscale=-(-TILE // dataset.image_size))
    write_bytes(dataset.path / PAGE, page.encode())
    return dataset.path / PAGE


class _Tiles:
    """Rows of a data set -> their images and names."""

    def __init__(self, dataset: PackedDataset) -> None:
        self.images = dataset.images
        self.names = read_names(dataset.path)

    def __call__(self, rows: Iterable[int]) -> list[Tile]:
        return [Tile(self._image(row), self._name(row)) for row in rows]

    def _image(self, row: int) -> Tensor:
        return torch.from_numpy(self.images[row]).permute(2, 0, 1)

    def _name(self, row: int) -> str:
        return self.names[row] if self.names else f"image {row}"


def _facts(dataset: PackedDataset, left_out: int) -> dict[str, str]:
    manifest, size = dataset.manifest, dataset.image_size
    colour = "grey" if dataset.images.shape[3] == 1 else "RGB"
    facts = {"data set": str(dataset.path)}
    if "photographs" in manifest:
        facts["photographs"] = f"{manifest['photographs']:,}"
    facts["images"] = f"{len(dataset.images):,} of {size}x{size}, {colour}"
    facts["splits"] = ", ".join(f"{manifest['counts'][split]:,} {split}" for split in SPLITS)
    facts["left out"] = f"{left_out:,}"
    if "duplicates" in manifest:
        exact, near = manifest["duplicates"].values()
        facts["duplicates"] = f"{exact:,} exact, {near:,} near"
    return facts


def _label_counts(dataset: PackedDataset) -> dict[str, int]:
    labels = dataset.labels
    counts = labels.attributes.sum(axis=0).tolist()
    return dict(zip(labels.attribute_names, counts, strict=True))


def reasons(left_out: list[Unused]) -> list[Reason]:
    """What is left out by reason, the most frequent first."""
    ordered = sorted(left_out, key=lambda file: file.reason)
    groups = groupby(ordered, key=lambda file: file.reason)
    found = [(text, [file.name for file in files]) for text, files in groups]
    found.sort(key=lambda group: -len(group[1]))
    return [Reason(text, len(names), names[:EXAMPLES]) for text, names in found]


def _twins(dataset: PackedDataset) -> list[NDArray[np.int64]]:
    """The rows of the first groups of duplicates, where they were looked for."""
    if "duplicates" not in dataset.manifest:
        return []
    groups = dataset.labels.identities
    found = [np.flatnonzero(groups == group) for group in np.unique(groups[groups >= 0])[:TWINS]]
    return [rows[:TWINS_SHOWN] for rows in found]


def _extremes(dataset: PackedDataset, tiles: _Tiles) -> list[Extremes]:
    bright, sharp = _measure(dataset, brightness, sharpness)
    return [
        _ends(
            "Brightness",
            "the mean of the pixels, 0 to 255",
            ("darkest", "brightest"),
            bright,
            tiles,
        ),
        _ends(
            "Sharpness",
            "the contrast of neighbouring pixels over that of the image",
            ("least sharp", "sharpest"),
            sharp,
            tiles,
        ),
    ]


def _ends(
    title: str, description: str, names: tuple[str, str], values: NDArray[np.float64], tiles: _Tiles
) -> Extremes:
    order, far = np.argsort(values, kind="stable"), outliers(values)
    ends = {
        name: [
            tile._replace(value=float(values[row]), outlier=bool(far[row]))
            for row, tile in zip(rows, tiles(rows), strict=True)
        ]
        for name, rows in zip(names, (order[:EXTREMES], order[::-1][:EXTREMES]), strict=True)
    }
    return Extremes(title, description, int(far.sum()), ends)


def outliers(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values, (N,), lie more than WHISKER interquartile ranges beyond the quartiles."""
    low, high = np.percentile(values, [25, 75])
    margin = WHISKER * (high - low)
    return (values < low - margin) | (values > high + margin)


def _measure(
    dataset: PackedDataset, *measures: Callable[[NDArray[np.uint8]], NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """The values, (N,), of each measure for all images, which are read once."""
    parts = []
    for start in range(0, len(dataset.images), CHUNK):
        images = dataset.images[start : start + CHUNK]
        parts.append([measure(images) for measure in measures])
        dataset.release_memory()
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the rows, at equal distances."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]
