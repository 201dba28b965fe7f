"""The packed data set of a run, where what it was packed from is gone or elsewhere."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facegan.core.errors import FaceganError, NotFoundError
from facegan.data.base import FaceSource
from facegan.data.dataset import Labels, PackedDataset, open_dataset

RECORD = "run.json"


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
        raise FaceganError(f"{self.packed.path} is packed, and its photographs are gone")

    def dataset(self) -> PackedDataset:
        return self.packed


def data_record(source: FaceSource, dataset: PackedDataset) -> dict[str, str]:
    """What a run folder keeps of its data, so that it can be found again."""
    return {
        "path": str(dataset.path.resolve()),
        "images_are": source.images_are,
        "license": source.license,
    }


def source_or_recorded(
    make_source: Callable[[], FaceSource], packed_dir: str | None, run: Path
) -> FaceSource:
    """The source that `make_source` returns, or the run's data set where no photographs are left.

    It is looked for where the run left it, and in `packed_dir`.
    """
    try:
        source = make_source()
        _ = source.packed_recipe  # looks at the photographs
        return source
    except NotFoundError as error:
        record = read_record(run).get("data")
        if not isinstance(record, dict) or "path" not in record:
            raise
        path = _packed_path(Path(str(record["path"])), packed_dir, error)
        print(f"{error}\nthe run's packed data set {path} is used instead", flush=True)
        about = (str(record.get(name, "")) for name in ("images_are", "license"))
        return PackedSource(open_dataset(path), *about)


def _packed_path(left: Path, packed_dir: str | None, error: NotFoundError) -> Path:
    """Where the data set that a run has left at `left` is now."""
    places = [left, Path(packed_dir or left.parent) / left.name]
    for path in places:
        if path.is_dir():
            return path
    raise NotFoundError(
        f"{error}; the run's packed data set {left} is gone, too: where it lies elsewhere, name "
        f"the folder that holds {left.name} by data.packed_dir=…"
    ) from error


def recorded_rollbacks(run: Path) -> list[dict[str, Any]]:
    """The rollbacks of the training in the folder `run`, the first one first."""
    rollbacks = read_record(run).get("rollbacks")
    entries = rollbacks if isinstance(rollbacks, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]


def read_record(run: Path) -> dict[str, Any]:
    """What run.json says of the run in the folder `run`; nothing where it cannot be read."""
    try:
        value = json.loads((run / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
