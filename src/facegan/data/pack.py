"""Photographs -> one uint8 array, decoded by several threads."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from facegan.core.console import progress_bar
from facegan.core.errors import FaceganError
from facegan.data.decode import Faces
from facegan.data.photos import PhotoStore, Unused

PACK_VERSION = 4  # of the recipes; counts changes of the packed images
MAX_BAD_SHARE, MAX_BAD = 0.1, 5  # more bad photographs than both are an error
CHUNK = 1024  # photographs that are decoded before the first of them is written
SHOWN = 5  # failures in a message


class Packed(NamedTuple):
    """The packed images, and what is left out."""

    rows: NDArray[np.int64]  # (N,) of each image's photograph in the names
    failures: list[Unused]  # photographs that could not be decoded
    left_out: list[Unused]  # photographs without a face, and faces that are not used


def pack(
    store: PhotoStore,
    names: Sequence[str],
    decode: Callable[[bytes], Faces],
    shape: tuple[int, int, int],
    target: Path,
) -> Packed:
    """Writes the images of the photographs, of `shape`, to `target`: (N, *shape) uint8 .npy.

    The images are in the order of `names`. Photographs that cannot be decoded are left out. Raises
    FaceganError if these are more than a tenth and more than five, or all; and every one of
    `decode`.
    """
    rows: list[int] = []
    failures: list[Unused] = []
    left_out: list[Unused] = []
    with target.open("wb") as file:
        _write_header(file, (len(names), *shape))
        for row, faces in enumerate(_decoded(names, partial(_decode, store, decode))):
            if isinstance(faces, str):
                failures.append(Unused(names[row], faces))
                continue
            for image in faces.images:
                file.write(np.ascontiguousarray(image).data)
                rows.append(row)
            left_out += [Unused(names[row], reason) for reason in faces.left_out]
        _write_header(file, (len(rows), *shape))
    _check(len(names), failures)
    return Packed(np.array(rows, dtype=np.int64), failures, left_out)


def describe(failures: Sequence[Unused]) -> str:
    """The failed photographs with their reasons, as one line."""
    text = "; ".join(f"{name} ({reason})" for name, reason in failures)
    return text.encode(errors="replace").decode()  # file names may be any bytes


def _decoded(names: Sequence[str], read: Callable[[str], Faces | str]) -> Iterator[Faces | str]:
    """The faces of each photograph, or the reason why it cannot be decoded."""
    with (
        progress_bar(total=len(names), unit=" photographs", desc="packing") as bar,
        ThreadPoolExecutor() as pool,  # Pillow and onnxruntime release the GIL
    ):
        for start in range(0, len(names), CHUNK):
            for faces in pool.map(read, names[start : start + CHUNK]):
                yield faces
                bar.update()


def _decode(store: PhotoStore, decode: Callable[[bytes], Faces], name: str) -> Faces | str:
    try:
        return decode(store.read(name))
    except FaceganError:  # not of the photograph
        raise
    except UnidentifiedImageError:  # its message has an address in memory
        return "no image"
    except Exception as error:  # parsers raise errors of all kinds for damaged bytes
        return str(error) or type(error).__name__


def _check(count: int, failures: list[Unused]) -> None:
    """Prints the failures; raises FaceganError for too many."""
    if not failures:
        return
    text = f"{len(failures)} of {count} photographs: {describe(failures[:SHOWN])}"
    text += "; …" if len(failures) > SHOWN else ""
    if len(failures) > max(MAX_BAD_SHARE * count, MAX_BAD) or len(failures) == count:
        raise FaceganError(f"cannot decode {text}; more than a tenth: repair or remove them")
    print(f"left out {text}", flush=True)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Begins a .npy file of uint8; the first axis can change, since numpy pads the header."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
