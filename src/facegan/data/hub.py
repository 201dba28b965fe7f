"""A Hugging Face image data set by name, read with the package `datasets`."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegan.core.checks import check_choice
from facegan.core.errors import NotFoundError
from facegan.data.folder import PhotoSource, choose_decoder
from facegan.data.labels import encode
from facegan.data.photos import PhotoStore, Unused, digest

# types of columns of bytes, paths, or, without a type, structs of both
ENCODED = ("binary", "large_binary", "string", "")


class HubPhotos(PhotoStore):
    """The images in one column of every split; the names are split/row, such as train/0000012."""

    def __init__(self, splits: dict[str, Any], column: str) -> None:
        from datasets import Image

        # without its other columns, and as encoded bytes
        self._splits = {
            split: rows.select_columns([column]).cast_column(column, Image(decode=False))
            for split, rows in splits.items()
        }
        self.column = column

    def _list(self) -> tuple[list[str], list[Unused]]:
        rows = self._splits.items()
        return [f"{split}/{row:07}" for split, images in rows for row in range(len(images))], []

    def read(self, name: str) -> bytes:
        split, row = locate(name)
        image = self._splits[split][row][self.column]
        if image is None:
            raise ValueError("an empty cell")
        return bytes(image["bytes"] or Path(image["path"]).read_bytes())

    def fingerprint(self) -> str:
        # folders in the cache of `datasets` are hashes of the files that a split is made from
        return digest(
            f"{split} {len(rows)} {[Path(f['filename']).parent.name for f in rows.cache_files]}"
            for split, rows in self._splits.items()
        )


class HubDataset(PhotoSource):
    """The image data set `name`, OWNER/NAME on the Hub or a folder that `datasets` reads.

    `subset` is one of its configurations. `column` is the column of images; by default the only
    one. `labels` is a column of classes, or several. Splits called train, validation and test
    are honoured. The other arguments are those of FolderDataset. Raises NotFoundError if the data
    set or the package is missing, and ValueError for an unknown column.
    """

    kind = "hub"

    def __init__(
        self,
        name: str,
        packed_dir: str,
        image_size: int,
        subset: str | None = None,
        revision: str | None = None,
        column: str | None = None,
        labels: str | Sequence[str] | None = None,
        crop: int | None = None,
        mode: str = "RGB",
        background: str = "white",
        split: float | None = None,
        align: bool | str | None = None,
        faces: str = "all",
        attributes: Sequence[str] | None = None,
    ) -> None:
        decode = choose_decoder(align, faces, (image_size, crop, mode, background))
        self.splits = load_splits(name, subset, revision)
        features = next(iter(self.splits.values())).features  # the same in every split
        self.columns = [labels] if isinstance(labels, str) else [*(labels or ())]
        for name in self.columns:
            check_choice("labels", name, features)
        photos = HubPhotos(self.splits, image_column(features, column))
        names = ",".join(self.columns) or None
        super().__init__(photos, decode, packed_dir, split, names, attributes)
        if not Path(name).exists():
            self.license = f"LicenseRef-Dataset: see the terms of the data set {name} on the Hub"

    def attributes_of(self, names: Sequence[str]) -> tuple[NDArray[np.int8], list[str]]:
        if not self.columns:
            return np.zeros((len(names), 0), dtype=np.int8), []
        columns = {}
        for column in self.columns:
            cells = {split: _cells(rows, column) for split, rows in self.splits.items()}
            columns[column] = [cells[split][row] for split, row in map(locate, names)]
        return encode([*columns.items()], str(self.labels))


def locate(name: str) -> tuple[str, int]:
    """The split and the row of a name."""
    path = PurePosixPath(name)
    return str(path.parent), int(path.name)


def load_splits(name: str, subset: str | None, revision: str | None) -> dict[str, Any]:
    """The splits of a data set, downloaded if `datasets` has not cached them."""
    try:
        import datasets
    except ImportError as error:
        raise NotFoundError("data=hub needs datasets: pip install -e '.[datasets]'") from error
    try:
        return dict(datasets.load_dataset(name, subset, revision=revision))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise NotFoundError(f"data.name={name} cannot be loaded: {error}") from error


def image_column(features: dict[str, Any], column: str | None) -> str:
    """The column of images: `column`, or the only one. Bytes and paths are images if named."""
    from datasets import Image

    images = [name for name, kind in features.items() if isinstance(kind, Image)]
    chosen = images[0] if column is None and len(images) == 1 else column
    choices = [name for name, kind in features.items() if getattr(kind, "dtype", "") in ENCODED]
    check_choice("column", chosen, images + choices)
    return str(chosen)


def _cells(rows: Any, column: str) -> list[str]:
    """The label of each row; empty for rows without one."""
    from datasets import ClassLabel

    kind, values = rows.features[column], rows[column]
    name = kind.int2str if isinstance(kind, ClassLabel) else str
    return ["" if value is None or value == -1 else name(value) for value in values]
