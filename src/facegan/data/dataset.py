"""The dataset: one uint8 array of faces, with what is known about them."""

import hashlib
import json
import mmap
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from facegan.core.errors import FaceganError
from facegan.core.files import named_errors, write_json

SPLITS = ("train", "val", "test")
LARGE = 2**30  # bytes of images


@dataclass(frozen=True)
class Labels:
    """What is known about N photographs beside their pixels."""

    splits: NDArray[np.uint8]  # (N,) index into SPLITS
    attributes: NDArray[np.bool_]  # (N, A)
    identities: NDArray[np.int64]  # (N,); -1 where unknown
    attribute_names: tuple[str, ...]

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Labels":
        """The labels of the photographs in `keep`: (N,) bool, or row numbers of any count."""
        return Labels(
            self.splits[keep], self.attributes[keep], self.identities[keep], self.attribute_names
        )


@dataclass(frozen=True)
class PackedDataset:
    """A packed set of faces, read from `path`; the images stay on the disk until they are used."""

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

    def release_memory(self) -> None:
        """Unmaps the images that were read, which count as this process's memory until then.

        They stay in the system's cache. A data set that is not LARGE stays mapped.
        """
        memory = self.images.base
        if self.images.nbytes <= LARGE or not isinstance(memory, mmap.mmap):
            return
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            memory.madvise(mmap.MADV_DONTNEED)

    def verify(self) -> None:
        """Reads the images once and compares their checksum with the manifest's."""
        if _checksum(self.path / "images.npy") != self.manifest["sha256"]:
            raise _damaged(self.path, "images.npy does not match its checksum")


def open_dataset(path: Path) -> PackedDataset:
    """The dataset at `path`; raises FaceganError if a part of it is missing or cut short."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        # copy on write: torch warns of arrays that it could not write to
        images = np.load(path / "images.npy", mmap_mode="c")
        # opened here, since numpy leaves a damaged file open
        with (path / "labels.npz").open("rb") as file, np.load(file) as parts:
            labels = Labels(
                parts["splits"],
                parts["attributes"],
                parts["identities"],
                tuple(manifest["attribute_names"]),
            )
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(path, str(error)) from error
    if len(images) != len(labels.splits):
        raise _damaged(path, f"{len(images)} images but {len(labels.splits)} labels")
    return PackedDataset(path, images, labels, manifest)


def dataset_path(folder: Path, recipe: dict[str, Any]) -> Path:
    """Where the dataset of `recipe` lies: a changed recipe has another name."""
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    return folder / f"{recipe['source']}-{recipe['image_size']}-{digest[:10]}"


def write_dataset(
    path: Path, recipe: dict[str, Any], write: Callable[[Path], tuple[Labels, dict[str, Any]]]
) -> PackedDataset:
    """Writes a data set into a temporary folder, which is then renamed to `path`.

    Where another process is writing the same data set, its end is waited for.

    `write` gets the path of images.npy, writes it, and returns labels and notes for the manifest.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _packing_lock(path):
        if not _is_whole(path):
            with named_errors(path):
                _write(path, recipe, write)
    return open_dataset(path)


@contextmanager
def _packing_lock(path: Path) -> Iterator[None]:
    """Within the block, no other process writes the data set `path`."""
    file = path.with_name(f".{path.name}.lock")
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        print(f"waiting for another process that writes {path}", flush=True)
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        lock.release()


def _write(
    path: Path, recipe: dict[str, Any], write: Callable[[Path], tuple[Labels, dict[str, Any]]]
) -> None:
    for abandoned in path.parent.glob(f".{path.name}.*/"):  # by a process that was killed
        shutil.rmtree(abandoned)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        labels, notes = write(temporary / "images.npy")
        np.savez(
            temporary / "labels.npz",
            splits=labels.splits,
            attributes=labels.attributes,
            identities=labels.identities,
        )
        manifest = {
            "recipe": recipe,
            "counts": {name: int((labels.splits == i).sum()) for i, name in enumerate(SPLITS)},
            "attribute_names": labels.attribute_names,
            "sha256": _checksum(temporary / "images.npy"),
            **notes,
        }
        write_json(temporary / "manifest.json", manifest)
        temporary.chmod(0o755)  # mkdtemp keeps others out
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_whole(path: Path) -> bool:
    try:
        open_dataset(path)
    except FaceganError:
        return False
    return True


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, why: str) -> FaceganError:
    return FaceganError(
        f"the dataset {path} is damaged ({why}): delete that folder, and "
        "facegan.prepare packs it again"
    )
