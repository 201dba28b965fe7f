"""Photographs -> one uint8 array: decoded in all cores' processes, written by this one."""

import errno
import math
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from facegan.core.console import progress_bar
from facegan.core.errors import FaceganError
from facegan.data.decode import Faces
from facegan.data.photos import HEIF_SUFFIXES, PhotoStore

PACK_VERSION = 3  # counts changes of what a photograph becomes: old data sets are left alone
MAX_BAD_SHARE, MAX_BAD = 0.1, 5  # more bad photographs than both are an error
SHOWN = 5  # failures in a message

Failure = tuple[int, str]  # row, reason
Chunk = tuple[int, Sequence[str]]  # first row, names


class Decode(Protocol):
    """One photograph's bytes -> its images, (image_size, image_size, channels) uint8 each."""

    @property
    def image_size(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def chunk(self) -> int: ...  # photographs per task of a process

    def __call__(self, data: bytes) -> Faces: ...


class Packed(NamedTuple):
    """What became of the photographs: the row in `names` of each image, and what is left out."""

    rows: NDArray[np.int64]  # (N,)
    failures: list[Failure]  # photographs that could not be decoded
    left_out: list[Failure]  # photographs without a face, and faces that are not used


def pack(store: PhotoStore, names: Sequence[str], decode: Decode, target: Path) -> Packed:
    """Writes the images of the photographs to `target`, (N, size, size, channels) uint8 .npy.

    The images are in the order of `names`. Photographs that could not be decoded are left out.
    Raises FaceganError if they are more than a tenth and more than five, or all; and whatever
    FaceganError `decode` raises.
    """
    shape = (len(names), decode.image_size, decode.image_size, decode.channels)
    if shutil.disk_usage(target.parent).free < math.prod(shape):  # before hours of decoding
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target.parent))
    counts = np.zeros(len(names), dtype=np.int64)  # of images by photograph
    failures: list[Failure] = []
    left_out: list[Failure] = []
    with (
        target.open("wb") as file,
        progress_bar(total=len(names), unit=" photographs", desc="packing") as bar,
    ):
        write_header(file, shape)
        for start, faces, failed in _run(_Job(store, decode), names):
            for row, (images, reasons) in enumerate(faces, start):
                counts[row] = len(images)
                file.writelines(np.ascontiguousarray(image).data for image in images)
                left_out += [(row, reason) for reason in reasons]
            failures += failed
            bar.update(len(faces))
        write_header(file, (int(counts.sum()), *shape[1:]))
    _check(names, failures)
    if failures:
        details = describe(names, failures[:SHOWN]) + ("; …" if len(failures) > SHOWN else "")
        print(f"left out {len(failures)} of {len(names)} photographs: {details}", flush=True)
    return Packed(np.repeat(np.arange(len(names)), counts), failures, left_out)


def describe(names: Sequence[str], failures: Sequence[Failure]) -> str:
    """The failed photographs with their reasons, for a person."""
    text = "; ".join(f"{names[row]} ({reason})" for row, reason in failures)
    return text.encode(errors="replace").decode()  # names on a disk are any bytes


def _check(names: Sequence[str], failures: list[Failure]) -> None:
    # a HEIC whose codec is missing here is no damaged file: it is left out, however many there are
    bad = [row for row, _ in failures if not _is_heif(names[row])]
    too_many = len(bad) > max(MAX_BAD_SHARE * len(names), MAX_BAD)
    if too_many or len(failures) == len(names):
        raise FaceganError(
            f"{len(failures)} of {len(names)} photographs could not be used, more than a tenth; "
            f"the first: {describe(names, failures[:SHOWN])}; repair or remove them"
        )


def _is_heif(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in HEIF_SUFFIXES


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Begins a .npy file of uint8; the first axis can grow, since numpy pads the header."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _run(job: "_Job", names: Sequence[str]) -> Iterator[tuple[int, list[Faces], list[Failure]]]:
    size = job.decode.chunk
    chunks = [(start, names[start : start + size]) for start in range(0, len(names), size)]
    processes = min(_cores(), len(chunks))
    if processes == 1:
        yield from map(job, chunks)
        return
    # spawned, since the threads of torch do not survive a fork
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(job,))
    try:
        with pool:
            yield from pool.map(_continue, chunks)
    except BrokenProcessPool as error:
        raise FaceganError(
            "a process that packs photographs was ended from outside, as the system does where "
            "memory runs out: free some, or train and prepare with fewer cores (taskset -c 0 …)"
        ) from error


class _Job:
    """What stays the same from chunk to chunk. A worker opens the zip once."""

    def __init__(self, store: PhotoStore, decode: Decode) -> None:
        self.store, self.decode = store, decode

    def __call__(self, chunk: Chunk) -> tuple[int, list[Faces], list[Failure]]:
        start, names = chunk
        faces = [Faces([]) for _ in names]
        failures: list[Failure] = []
        for position, name in enumerate(names):
            try:
                faces[position] = self.decode(self.store.read(name))
            except FaceganError:  # no fault of the photograph
                raise
            except UnidentifiedImageError:  # whose own words name an address in memory
                failures.append((start + position, "no image"))
            except Exception as error:  # parsers raise all kinds of them on damaged bytes
                failures.append((start + position, str(error) or type(error).__name__))
        return start, faces, failures


def _begin(job: _Job) -> None:
    _jobs.append(job)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker when the process that began it is gone, killed or not."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _continue(chunk: Chunk) -> tuple[int, list[Faces], list[Failure]]:
    return _jobs[0](chunk)


_jobs: list[_Job] = []  # a worker process has one


def _cores() -> int:
    if multiprocessing.get_start_method(allow_none=True) not in (
        None,
        *multiprocessing.get_all_start_methods(),
    ):
        return 1  # a worker of joblib, of which Python cannot spawn another one
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
