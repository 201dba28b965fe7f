"""A packed data set: one uint8 array of faces, their labels and a manifest."""

import csv
import hashlib
import json
import mmap
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from facegan.core.errors import DamagedError, FaceganError
from facegan.core.files import named_errors, parse_json, read_text, reading, write_json
from facegan.data.photos import Unused

SPLITS = ("train", "val", "test")
LARGE = 2**30  # bytes of images
PACK_AGAIN = "delete that folder, and facegan.prepare packs it again"
MANIFEST_FORM = {
    "recipe": {"source": str, "image_size": int},
    "counts": dict,
    "attribute_names": [str],
    "sha256": str,
    "photographs?": int,
    "duplicates?": {"exact": int, "near": int},
    "alike?": str,
}
LEFT_OUT, NAMES = "left_out.csv", "names.csv"


@dataclass(frozen=True)
class Labels:
    """The annotations of N images."""

    splits: NDArray[np.uint8]  # (N,) index into SPLITS
    attributes: NDArray[np.int8]  # (N, A): 1 yes, -1 no, 0 unknown
    identities: NDArray[np.int64]  # (N,); -1 where unknown
    attribute_names: tuple[str, ...]

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Labels":
        """The labels of some images; `keep` is (N,) bool, or row numbers."""
        return Labels(
            self.splits[keep], self.attributes[keep], self.identities[keep], self.attribute_names
        )


@dataclass(frozen=True)
class PackedDataset:
    """A packed data set in the folder `path`; images are read from the disk when they are used."""

    path: Path
    images: NDArray[np.uint8]  # (N, H, W, channels), memory-mapped
    labels: Labels
    manifest: dict[str, Any]
    license: str = ""  # of weights that are trained on the images

    @property
    def image_size(self) -> int:
        return int(self.images.shape[1])

    def indices(self, split: str) -> NDArray[np.int64]:
        """The rows of one of "train", "val", "test"."""
        return np.flatnonzero(self.labels.splits == SPLITS.index(split))

    @property
    def counts(self) -> dict[str, int]:
        """The number of images in each split, and in "all" of them."""
        return {**self.manifest["counts"], "all": len(self.images)}

    def with_attributes(self, names: Sequence[str] | None) -> "PackedDataset":
        """This data set with these attributes only, named in any case; FaceganError for others."""
        if names is None:
            return self
        known = self.labels.attribute_names
        lower = {name.lower(): name for name in known}
        found = (n if n in known else lower.get(n.lower(), n) for n in map(str, names))
        names = [*dict.fromkeys(found)]  # each once
        if unknown := [name for name in names if name not in known]:
            own = ", ".join(known) or "none; set data.labels"
            raise FaceganError(
                f"data.attributes must name labels of the data, got {unknown[0]!r}; it has {own}"
            )
        attributes = self.labels.attributes[:, [known.index(name) for name in names]]
        labels = replace(self.labels, attributes=attributes, attribute_names=tuple(names))
        return replace(self, labels=labels)

    def release_memory(self) -> None:
        """Unmaps the images that were read, which would count as this process's memory.

        They stay in the system's cache. A data set that is not LARGE stays mapped.
        """
        memory = self.images.base
        if self.images.nbytes <= LARGE or not isinstance(memory, mmap.mmap):
            return
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            memory.madvise(mmap.MADV_DONTNEED)

    def verify(self) -> None:
        """Raises FaceganError if the images' checksum is not the manifest's."""
        if _checksum(self.path / "images.npy") != self.manifest["sha256"]:
            raise DamagedError(f"{self.path}/images.npy has another checksum: {PACK_AGAIN}")


def open_dataset(path: Path) -> PackedDataset:
    """The data set at `path`; raises FaceganError if a part of it is missing or damaged."""
    with reading(path / "manifest.json", PACK_AGAIN):
        manifest = parse_json(read_text(path / "manifest.json"), MANIFEST_FORM)
    with reading(path / "images.npy", PACK_AGAIN):
        # copy on write, since torch warns of read-only arrays
        images = np.load(path / "images.npy", mmap_mode="c")
        count, height, width, channels = images.shape
        if images.dtype != np.uint8 or height != width or channels not in (1, 3):
            raise ValueError(f"images of {images.dtype} and shape {images.shape}")
    with reading(path / "labels.npz", PACK_AGAIN):
        # opened here, since numpy leaves a damaged file open
        with (path / "labels.npz").open("rb") as file, np.load(file) as parts:
            if any(info.compress_type for info in parts.zip.infolist()):
                raise ValueError("it is compressed")  # and may unpack to any size
            splits, attributes, identities = map(parts.get, ("splits", "attributes", "identities"))
        names = tuple(manifest["attribute_names"])
        if attributes is not None and attributes.dtype == bool:  # of earlier versions
            attributes = 2 * attributes.astype(np.int8) - 1
        labels = Labels(splits, attributes, identities, names)
        arrays = (labels.splits, labels.attributes, labels.identities)
        forms = [(np.uint8, (count,)), (np.int8, (count, len(names))), (np.int64, (count,))]
        if [(array.dtype, array.shape) for array in arrays] != forms:
            raise ValueError(f"not the labels of {count} images")
        if split_counts(labels) != manifest["counts"]:
            raise ValueError("other splits than in manifest.json")
    return PackedDataset(path, images, labels, manifest)


def split_counts(labels: Labels) -> dict[str, int]:
    """The number of images in each split."""
    return {name: int((labels.splits == i).sum()) for i, name in enumerate(SPLITS)}


def dataset_path(folder: Path, recipe: dict[str, Any]) -> Path:
    """The folder of the data set of `recipe`, named by a digest of it."""
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    return folder / f"{recipe['source']}-{recipe['image_size']}-{digest[:10]}"


def write_dataset(
    path: Path, recipe: dict[str, Any], write: Callable[[Path], tuple[Labels, dict[str, Any]]]
) -> PackedDataset:
    """Writes a data set into a temporary folder, which is then renamed to `path`.

    `write` gets the path of images.npy, writes it, and returns labels and notes for the manifest.
    Another process that needs the same data set waits, and opens it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock), named_errors(path):
        try:
            if not path.exists():
                _write(path, recipe, write)
        finally:
            lock.unlink(missing_ok=True)
    return open_dataset(path)


def _write(
    path: Path, recipe: dict[str, Any], write: Callable[[Path], tuple[Labels, dict[str, Any]]]
) -> None:
    for abandoned in path.parent.glob(f".{path.name}.*/"):  # by a process that was killed
        shutil.rmtree(abandoned)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        temporary = Path(folder, "packed")  # with the permissions of a new folder
        temporary.mkdir()
        labels, notes = write(temporary / "images.npy")
        np.savez(
            temporary / "labels.npz",
            splits=labels.splits,
            attributes=labels.attributes,
            identities=labels.identities,
        )
        manifest = {
            "recipe": recipe,
            "counts": split_counts(labels),
            "attribute_names": labels.attribute_names,
            "sha256": _checksum(temporary / "images.npy"),
            **notes,
        }
        write_json(temporary / "manifest.json", manifest)
        temporary.rename(path)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_lists(folder: Path, left_out: Iterable[Unused], names: Iterable[str]) -> None:
    """Writes the files that are not used, and the name of each packed image's photograph."""
    _write_csv(folder / LEFT_OUT, [Unused._fields, *left_out])
    _write_csv(folder / NAMES, [("name",), *((name,) for name in names)])


def read_left_out(folder: Path) -> list[Unused]:
    """The files that are not used; empty if they are not recorded."""
    return [Unused(name, reason) for name, reason in _read_csv(folder / LEFT_OUT)]


def read_names(folder: Path) -> list[str]:
    """The name of each packed image's photograph; empty if they are not recorded."""
    return [name for (name,) in _read_csv(folder / NAMES)]


def _write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    # file names may be any bytes
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        csv.writer(file).writerows(rows)


def _read_csv(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with reading(path, PACK_AGAIN), path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
        if any(len(row) != len(header) for row in rows):
            raise ValueError("rows of other lengths")
        return rows
