"""Labels of photographs without annotations: their splits and classes."""

import csv
import io
import json
import unicodedata
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
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
MAX_GROUP = 1 / 8  # of the photographs in a group that is held out for want of a smaller one
MAX_STRAY = 0.1  # of the photographs outside of the folders of splits
SUBFOLDER = "subfolder"
MAX_CLASSES = 100
YES_NO = {"1": 1, "true": 1, "yes": 1, "0": -1, "-1": -1, "false": -1, "no": -1}
UNKNOWN = ("", "nan", "NaN", "NA")
Columns = Sequence[tuple[str, Sequence[str]]]  # names and cells


def held_out_share(count: int) -> float:
    """The share of `count` photographs for "val", and for "test": 5%, of few up to 10%."""
    if count < SMALL:
        return HELD_OUT
    return max(HELD_OUT, min(2 * HELD_OUT, MINIMUM / count))


def split_by_name(names: Sequence[str], share: float = HELD_OUT) -> NDArray[np.uint8]:
    """A split of each photograph, (N,) uint8, by a hash of its name: `share` val, as many test."""
    return split_groups(names, np.ones(len(names), dtype=np.int64), share)


def split_by_folder(names: Sequence[str]) -> NDArray[np.uint8] | None:
    """A split of each photograph by its folder, such as train/ or val/, below a common folder.

    A few photographs outside of these folders are training photographs. None without such folders,
    or if they are not the splits of these photographs, which is printed.
    """
    folders = [split_folder(path) for path in below_common_folder(names)]
    stray = folders.count(None)
    if stray == len(folders):
        return None
    if "train" not in folders or len({*folders} - {None}) == 1 or stray > MAX_STRAY * len(names):
        print(
            "folders such as train/ and test/ are not used as splits, since train/ and another one "
            "must have nearly all photographs",
            flush=True,
        )
        return None
    if stray:
        print(f"{stray} photographs outside of train/ and the like are for training", flush=True)
    return np.array([SPLITS.index(folder or "train") for folder in folders], dtype=np.uint8)


def split_folder(path: PurePosixPath) -> str | None:
    """The split that the first folder of `path` stands for."""
    return SPLIT_FOLDERS.get(path.parts[0].lower()) if len(path.parts) > 1 else None


def below_common_folder(names: Sequence[str]) -> list[PurePosixPath]:
    """The names as paths, without the folders that all of them are in; one for a split is kept."""
    paths = [PurePosixPath(name) for name in names]
    while len({path.parts[0] for path in paths}) == 1 and split_folder(paths[0]) is None:
        if all(len(path.parts) <= 2 for path in paths):
            break
        paths = [PurePosixPath(*path.parts[1:]) for path in paths]
    return paths


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
    first, sizes = np.unique(leaders, return_counts=True)
    share = held_out_share(len(names)) if share is None else share
    splits = np.zeros(len(names), dtype=np.uint8)
    splits[first] = split_groups([names[row] for row in first], sizes, share)
    return splits[leaders]


def split_groups(names: Sequence[str], sizes: NDArray[np.int64], share: float) -> NDArray[np.uint8]:
    """A split of each group of photographs, (N,) uint8, by a hash of its name.

    "test" and "val" get groups of at most `share` of the photographs in all; a group that is
    larger than that is for training.
    """
    total, smallest = int(sizes.sum()), int(sizes.min())
    held_out = int(np.ceil(share * total))
    if smallest <= total * MAX_GROUP:  # few photographs, with several faces each
        held_out = max(held_out, smallest)
    hashes = [zlib.crc32(name.encode(errors="surrogateescape")) for name in names]
    splits = np.zeros(len(names), dtype=np.uint8)
    room = {"test": held_out, "val": held_out}
    for group in np.argsort(hashes, kind="stable"):
        split = next((name for name, left in room.items() if sizes[group] <= left), "train")
        splits[group] = SPLITS.index(split)
        if split != "train":
            room[split] -= int(sizes[group])
    return splits


def attributes_of(names: Sequence[str], source: str | None) -> tuple[NDArray[np.int8], list[str]]:
    """The attributes of photographs: (N, A), 1 yes, -1 no, 0 unknown, and their names.

    `source` is "subfolder", a table (CSV) of file names and labels, StyleGAN's dataset.json, or
    None for no labels.
    """
    if source is None:
        return np.zeros((len(names), 0), dtype=np.int8), []
    if source != SUBFOLDER:
        return encode(_table(names, source), source)
    # the first folder of each name, below train/ or the like
    parts = [p.parts[split_folder(p) is not None : -1] for p in below_common_folder(names)]
    return encode([("", [folders[0] if folders else "" for folders in parts])], source)


def encode(columns: Columns, source: str) -> tuple[NDArray[np.int8], list[str]]:
    """Named columns of N cells each as attributes: (N, A), and their names.

    A column of yes and no is one attribute with its name, any other has one for each of its
    classes. An empty cell is unknown. Raises FaceganError for too many, none, or equal ones.
    """
    names, attributes = [], []
    for column, cells in columns:
        if missing := sum(not cell for cell in cells):
            name = f" in the column {column}" if column else ""
            print(f"{missing} of {len(cells)} photographs have no label{name}", flush=True)
        lower = [cell.lower().removesuffix(".0") for cell in cells]  # pandas writes 1 as 1.0
        if column and {*lower} - {""} <= YES_NO.keys():
            names.append(column)
            attributes.append([YES_NO.get(cell, 0) for cell in lower])
            continue
        prefix = f"{column}_" if len(columns) > 1 else ""
        for name in sorted({*cells} - {""}):
            names.append(prefix + name)
            attributes.append([0 if not c else 1 if c == name else -1 for c in cells])
    if not 1 <= len(names) <= MAX_CLASSES:
        raise FaceganError(
            f"data.labels={source} gives {len(names)} classes; there must be 1 to {MAX_CLASSES}"
        )
    if same := ", ".join(sorted({name for name in names if names.count(name) > 1})):
        raise FaceganError(f"data.labels={source} has several labels named {same}; rename a column")
    return np.array(attributes, dtype=np.int8).T, names


def _table(names: Sequence[str], source: str) -> Columns:
    """The cells of these photographs, by column; empty for those that the table does not name."""
    path = Path(source).expanduser()
    if not path.is_file():
        raise FaceganError(
            f"data.labels={source} is not a file; give {SUBFOLDER}, a CSV of names and labels, or "
            "a dataset.json"
        )
    data = path.read_bytes()
    try:
        header, *rows = _read_json(data) if path.suffix == ".json" else _read_csv(data, names)
    except csv.Error as error:
        raise FaceganError(f"data.labels={source} is not a readable CSV: {error}") from error
    rows = [[row[0], *("" if cell in UNKNOWN else cell for cell in row[1:])] for row in rows]
    table = {row[0]: row[1:] for row in rows}
    empty = [""] * (len(header) - 1)
    normal = [unicodedata.normalize("NFC", name) for name in names]
    found = [table.get(name, table.get(PurePosixPath(name).name, empty)) for name in normal]
    if not any(map(any, found)):
        raise FaceganError(
            f"{source} names none of the photographs; its first column must have their file names, "
            f"such as {names[0]}"
        )
    if other := next((row for row in rows if row[0] and row[1:] != table[row[0]]), None):
        raise FaceganError(f"{source} has different labels for {other[0]}; keep one of its rows")
    return list(zip(header[1:], map(list, zip(*found, strict=True)), strict=True))


def _read_csv(data: bytes, names: Sequence[str]) -> list[list[str]]:
    """A header and rows of equal length, as spreadsheets write them; texts in Unicode's form NFC.

    A first row that names a photograph is no header.
    """
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(unicodedata.normalize("NFC", text)), delimiter=delimiter)
    rows = [[cell.strip() for cell in row] for row in reader if len(row) >= 2]
    width = max(map(len, rows), default=2)
    rows = [row + [""] * (width - len(row)) for row in rows]
    photographs = {PurePosixPath(unicodedata.normalize("NFC", name)).name for name in names}
    if rows and PurePosixPath(rows[0][0]).name in photographs:
        rows.insert(0, ["", *(str(column) if width > 2 else "" for column in range(1, width))])
    return rows or [["", ""]]


def _read_json(data: bytes) -> list[list[str]]:
    """The rows of StyleGAN's dataset.json: a class, or a vector of 0 and 1, for each file."""
    try:
        labels = [(str(name), label) for name, label in json.loads(data)["labels"]]
        vectors = [label if isinstance(label, list) else [label] for _, label in labels]
        width = max(map(len, vectors))
        header = ["", *map(str, range(width))] if width > 1 else ["", ""]
        cells = [[f"{value:g}" for value in vector] for vector in vectors]
        rows = zip(labels, cells, strict=True)
        return [header, *([name, *row] for (name, _), row in rows if len(row) == width)]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FaceganError(
            "dataset.json must be an object whose entry labels is a list of pairs of a file name "
            f"and a number or a list of numbers ({error})"
        ) from error
