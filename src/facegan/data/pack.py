"""Photographs -> one uint8 array: decoded, cropped and resized in all cores' processes."""

import errno
import functools
import io
import math
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from facegan._console import progress_bar
from facegan.data.photos import PhotoStore
from facegan.errors import FaceganError

CHUNK = 256  # photographs per task: long enough to hide the queue, short enough for the bar
PACK_VERSION = (
    2  # counts changes of what a photograph becomes, so that old packed_dir are left alone
)
MAX_UNREADABLE = 0.01  # of the photographs may be unreadable

Failure = tuple[int, str]  # row, reason
Chunk = tuple[int, Sequence[str]]  # first row, names


def pack(
    store: PhotoStore, names: Sequence[str], crop: int | None, image_size: int, target: Path
) -> list[Failure]:
    """Writes the photographs to `target`, (N, size, size, 3) uint8 .npy, in the order of `names`.

    Returns the rows that could not be decoded, which the array does not hold. Raises FaceganError
    if they are more than 1% of all.
    """
    shape = (len(names), image_size, image_size, 3)
    if shutil.disk_usage(target.parent).free < math.prod(shape):  # or workers die in the middle
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target.parent))
    np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape).flush()
    failures = _pack_in_processes(store, names, crop, target)
    if len(failures) > MAX_UNREADABLE * len(names):
        raise FaceganError(
            f"{len(failures)} of {len(names)} photographs could not be read, more than 1%; the "
            f"first: {describe(names, failures[:5])}; repair or remove them"
        )
    if failures:
        details = describe(names, failures)
        print(f"left out {len(failures)} of {len(names)} photographs: {details}", flush=True)
        keep = np.setdiff1d(np.arange(len(names)), [row for row, _ in failures])
        np.save(target, np.load(target, mmap_mode="r")[keep])
    return failures


def describe(names: Sequence[str], failures: Sequence[Failure]) -> str:
    """The failed photographs with their reasons, for a person."""
    return "; ".join(f"{names[row]} ({reason})" for row, reason in failures)


def decode(data: bytes, crop: int | None, image_size: int) -> Image.Image:
    """Centre crop, then one antialiased resize. Without `crop`, the largest centre square."""
    with Image.open(io.BytesIO(data)) as opened:
        photo = ImageOps.exif_transpose(opened)
    if photo.mode == "P":
        photo = photo.convert("RGBA")  # Pillow warns of a transparent palette that becomes RGB
    if photo.mode.startswith("I;16"):  # whose upper byte is what a screen shows
        photo = Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8))
    if photo.mode in ("I", "F"):
        raise ValueError(f"its pixels have no fixed range (Pillow's mode {photo.mode})")
    photo = photo.convert("RGB")
    side = crop or min(photo.size)
    if side > min(photo.size):
        raise ValueError(f"smaller than data.crop={crop}: {photo.width}x{photo.height}")
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    # not resize(box=…), whose filter reaches beyond the crop
    square = photo.crop((left, top, left + side, top + side))
    return square.resize((image_size, image_size), Image.Resampling.BICUBIC)


def _pack_in_processes(
    store: PhotoStore, names: Sequence[str], crop: int | None, target: Path
) -> list[Failure]:
    chunks = [(start, names[start : start + CHUNK]) for start in range(0, len(names), CHUNK)]
    failures: list[Failure] = []
    with progress_bar(total=len(names), unit=" photographs", desc="packing") as bar:
        for done, failed in _run(_Job(store, crop, target), chunks):
            failures += failed
            bar.update(done)
    return failures


def _run(job: "_Job", chunks: Sequence[Chunk]) -> Iterator[tuple[int, list[Failure]]]:
    processes = min(_cores(), len(chunks))
    if processes == 1:
        yield from map(job, chunks)
        return
    # spawned, since the threads of torch do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_begin, initargs=(job,)
    ) as pool:
        yield from pool.map(_continue, chunks)


class _Job:
    """What stays the same from chunk to chunk. A worker opens the zip and the array once."""

    def __init__(self, store: PhotoStore, crop: int | None, target: Path) -> None:
        self.store, self.crop, self.target = store, crop, target

    @functools.cached_property
    def images(self) -> NDArray[np.uint8]:
        return np.load(self.target, mmap_mode="r+")

    def __call__(self, chunk: Chunk) -> tuple[int, list[Failure]]:
        start, names = chunk
        size = self.images.shape[1]
        failures: list[Failure] = []
        for row, name in enumerate(names, start):
            try:
                self.images[row] = np.asarray(decode(self.store.read(name), self.crop, size))
            except UnidentifiedImageError:  # whose own words name an address in memory
                failures.append((row, "no image"))
            except Exception as error:  # parsers raise all kinds of them on damaged bytes
                failures.append((row, str(error)))
        return len(names), failures


def _begin(job: _Job) -> None:
    _jobs.append(job)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker when the process that began it is gone, killed or not."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _continue(chunk: Chunk) -> tuple[int, list[Failure]]:
    return _jobs[0](chunk)


_jobs: list[_Job] = []  # a worker process has one


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
