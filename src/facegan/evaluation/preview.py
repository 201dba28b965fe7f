"""A preview of a packed data set: one page and one PNG."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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
REASONS, EXAMPLES = 20, 3  # rows of the table of left-out files, and names in each
WHISKER = 1.5  # interquartile ranges beyond the quartiles, from which outliers begin (Tukey 1977)
CHUNK = 1024  # images in memory as floats
MEASURES = (  # title, description, names of both ends
    ("Brightness", "the mean of the pixels, 0 to 255", ("darkest", "brightest")),
    (
        "Sharpness",
        "the contrast of neighbouring pixels over that of the image",
        ("least sharp", "sharpest"),
    ),
)


class Tile(NamedTuple):
    """An image with its photograph's name."""

    image: Tensor  # (C, H, W) uint8
    name: str
    value: float | None = None
    outlier: bool = False


def write_preview(dataset: PackedDataset) -> Path:
    """Writes preview.html and preview.png to the data set's folder. Returns the page's path."""
    tiles = functools.partial(_tiles, dataset, read_names(dataset.path))
    train = dataset.indices("train")
    shown = np.linspace(0, len(train) - 1, min(SHEET, len(train))).round().astype(int)
    sheet = torch.stack([tile.image for tile in tiles(train[shown])])
    counts = (dataset.labels.attributes > 0).sum(axis=0)
    left_out = read_left_out(dataset.path)
    by_reason = reasons(left_out)
    page = render(
        "preview.html",
        facts=_facts(dataset, len(left_out)),
        sheet=grid(sheet, COLUMNS),
        shown=len(sheet),
        labels=dict(zip(dataset.labels.attribute_names, counts.tolist(), strict=True)),
        missing_pairs=_missing_pairs(dataset),
        left_out=by_reason[:REASONS],
        further=len(by_reason[REASONS:]),
        twins=[tiles(rows) for rows in _twins(dataset)],
        measures=[
            (title, description, outliers(values).sum(), _extremes(tiles, values, ends))
            for values, (title, description, ends) in zip(_measure(dataset), MEASURES, strict=True)
        ],
    )
    save_grid(sheet, dataset.path / PNG, COLUMNS, upscale=-(-TILE // dataset.image_size))
    write_bytes(dataset.path / PAGE, page.encode())
    return dataset.path / PAGE


def _tiles(dataset: PackedDataset, names: Sequence[str], rows: Iterable[int]) -> list[Tile]:
    return [
        Tile(
            torch.from_numpy(dataset.images[row]).permute(2, 0, 1),
            names[row] if names else f"image {row}",
        )
        for row in rows
    ]


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
    if "alike" in manifest:
        facts["look alike"] = manifest["alike"]
    return facts


def _missing_pairs(dataset: PackedDataset) -> list[str]:
    """The pairs of labels that no image has, without labels that exclude each other as classes."""
    names, has = dataset.labels.attribute_names, dataset.labels.attributes > 0
    together = has.T.astype(np.int64) @ has
    several = has.sum(axis=1).max(initial=0) > 1  # not one class for each image
    rows, columns = np.nonzero(np.triu(together == 0, k=1) & several)
    return [f"{names[a]} and {names[b]}" for a, b in zip(rows, columns, strict=True)]


def reasons(left_out: Sequence[Unused]) -> list[tuple[str, int, list[str]]]:
    """The reasons for leaving files out, the most frequent first, with counts and examples."""
    return [
        (text, count, [file.name for file in left_out if file.reason == text][:EXAMPLES])
        for text, count in Counter(file.reason for file in left_out).most_common()
    ]


def _twins(dataset: PackedDataset) -> list[NDArray[np.int64]]:
    """The rows of the first groups of duplicates; none if duplicates were not searched for."""
    if "duplicates" not in dataset.manifest:
        return []
    groups = dataset.labels.identities
    found = [np.flatnonzero(groups == group) for group in np.unique(groups[groups >= 0])[:TWINS]]
    return [rows[:TWINS_SHOWN] for rows in found]


def _extremes(
    tiles: Callable[[Iterable[int]], list[Tile]],
    values: NDArray[np.float64],
    ends: tuple[str, str],
) -> dict[str, list[Tile]]:
    """The images with the least and the greatest values, under the names of both `ends`."""
    order, far = np.argsort(values, kind="stable"), outliers(values)
    return {
        name: [
            tile._replace(value=float(values[row]), outlier=bool(far[row]))
            for row, tile in zip(rows, tiles(rows), strict=True)
        ]
        for name, rows in zip(ends, (order[:EXTREMES], order[::-1][:EXTREMES]), strict=True)
    }


def outliers(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values, (N,), are more than WHISKER interquartile ranges beyond the quartiles."""
    low, high = np.percentile(values, [25, 75])
    margin = WHISKER * (high - low)
    return (values < low - margin) | (values > high + margin)


def _measure(dataset: PackedDataset) -> NDArray[np.float64]:
    """Brightness and sharpness, (2, N), of all images, which are read once."""
    parts = []
    for start in range(0, len(dataset.images), CHUNK):
        images = dataset.images[start : start + CHUNK]
        parts.append(np.stack([brightness(images), sharpness(images)]))
        dataset.release_memory()
    return np.concatenate(parts, axis=1)
