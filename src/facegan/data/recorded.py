"""The packed data set of a run, used if its photographs are missing."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facegan.cli.config import read_data_config
from facegan.core.errors import FaceganError, NotFoundError
from facegan.core.files import parse_json, read_text, reading
from facegan.data.base import FaceSource
from facegan.data.dataset import Labels, PackedDataset, open_dataset

RECORD = "run.json"
RECORD_FORM = {
    "finished?": bool,
    "best_distance?": float | int | None,
    "data?": {"path": str, str: str},
    "rollbacks?": [dict],
    "environment?": {str: str},
}


class PackedSource(FaceSource):
    """A data set that is packed already; `images_are` and `license` are its source's."""

    def __init__(self, packed: PackedDataset, images_are: str, license: str) -> None:
        mode = "L" if packed.images.shape[3] == 1 else "RGB"
        super().__init__(str(packed.path.parent), packed.image_size, mode)
        self.packed = dataclasses.replace(packed, license=license)
        self.images_are, self.license = images_are, license

    def recipe(self) -> dict[str, Any]:
        return dict(self.packed.manifest["recipe"])

    def write(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        raise FaceganError(f"{self.packed.path} is packed, and its photographs are missing")

    def dataset(self) -> PackedDataset:
        return self.packed


def data_record(source: FaceSource, dataset: PackedDataset) -> dict[str, str]:
    """The entry "data" of run.json, by which the packed data set is found again."""
    return {
        "path": str(dataset.path.resolve()),
        "images_are": source.images_are,
        "license": source.license,
    }


def source_or_recorded(
    make_source: Callable[[], FaceSource], packed_dir: str | None, run: Path
) -> FaceSource:
    """The source that `make_source` returns, or the run's data set if its photographs are missing.

    The data set is searched at its recorded path and in `packed_dir`.
    """
    try:
        source = make_source()
        source.recipe()  # raises NotFoundError if the photographs are missing
        return source
    except NotFoundError as error:
        record = read_record(run).get("data")
        if not record:
            raise
        recorded = Path(record["path"])
        places = [recorded, Path(packed_dir or recorded.parent) / recorded.name]
        path = next((path for path in places if path.is_dir()), None)
        if path is None:
            raise NotFoundError(
                f"{error}; the run's packed data set {recorded} is missing, too: give the folder "
                f"that contains {recorded.name} by data.packed_dir=…"
            ) from error
        print(f"{error}\nthe run's packed data set {path} is used instead", flush=True)
        about = (record.get(name, "") for name in ("images_are", "license"))
        attributes = read_data_config(run).get("attributes")
        return PackedSource(open_dataset(path).with_attributes(attributes), *about)


def read_record(run: Path) -> dict[str, Any]:
    """The content of run.json in the folder `run`; empty if it cannot be read."""
    path = run / RECORD
    try:
        with reading(path, "remove it"):
            return dict(parse_json(read_text(path), RECORD_FORM))
    except FaceganError:
        return {}
