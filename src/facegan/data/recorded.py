"""The packed data set of a run, where the photographs it was packed from are gone or elsewhere."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facegan.data.base import FaceSource
from facegan.data.dataset import Labels, PackedDataset, open_dataset
from facegan.errors import FaceganError

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
    build: Callable[[], FaceSource], root: str | None, packed_dir: str | None, run: Path
) -> FaceSource:
    """The source that `build` makes; what `run` has recorded, where `root` does not exist.

    The packed data set is looked for where the run left it, and in `packed_dir`.
    """
    if root is None or Path(root).exists():
        return build()
    record = read_record(run).get("data")
    if not isinstance(record, dict) or "path" not in record:
        return build()
    left = Path(str(record["path"]))
    for path in (left, Path(packed_dir or left.parent) / left.name):
        if path.is_dir():
            print(f"data.root={root} does not exist; the packed data set {path} is used")
            about = (str(record.get(name, "")) for name in ("images_are", "license"))
            return PackedSource(open_dataset(path), *about)
    return build()


def read_record(run: Path) -> dict[str, Any]:
    """What run.json says of the run in the folder `run`; nothing where it cannot be read."""
    try:
        value = json.loads((run / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
