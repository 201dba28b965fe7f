"""Atomic writes: a file is complete or absent. Reads of what others may have replaced."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegan.core.errors import DamagedError, FaceganError

if TYPE_CHECKING:
    from torch import Tensor

# the metadata before the digest replaces the zeros; two keys, since either may be damaged
CHECKSUM = {"checksum": "sha256", "sha256": "0" * 64}

MAX_TEXT = 16 << 20  # bytes of a config or a record


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, and renames it to `path` if the block succeeds.

    The temporary name keeps the suffix, by which writers choose their format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with named_errors(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())  # otherwise it may be empty after a loss of power
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Adds `path` to the system's error of a write within the block, which has no path."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def check_regular(path: Path) -> None:
    """Raises OSError if `path` is a FIFO, a device or a folder: reading it may never end."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_text(path: Path) -> str:
    """The text of a file. Raises OSError for more than MAX_TEXT bytes."""
    if path.stat().st_size > MAX_TEXT:
        raise OSError(errno.EFBIG, f"more than {MAX_TEXT >> 20} MiB", str(path))
    return path.read_text(encoding="utf-8")


@contextmanager
def reading(path: Path, remedy: str) -> Iterator[None]:
    """Within the block, one of the package's own files is read and checked.

    Every error of the block, except for a FaceganError, becomes a DamagedError.
    """
    try:
        check_regular(path)
        yield
    except FaceganError:
        raise
    except Exception as error:  # parsers raise errors of all kinds for what others have written
        reason = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
        raise DamagedError(
            f"{path} is damaged, or of another kind ({reason or type(error).__name__}): {remedy}"
        ) from error


def parse_json(text: str | bytes, form: Any = object) -> Any:
    """JSON of the form `form` (see `check_form`), with whole numbers of at most 18 digits."""
    value = json.loads(text, parse_int=_short_int)
    check_form(value, form)
    return value


def _short_int(digits: str) -> int:
    if len(digits) > 19:  # with a sign
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def check_form(value: Any, form: Any, key: str = "its content") -> None:
    """Raises ValueError unless `value` has the form `form`.

    That is a type or several; {key: form}, where other keys may be there, too, and a key that ends
    in "?" may be missing; {str: form} for any keys; or [form], a list of any length.
    """
    if isinstance(form, list):
        check_form(value, list, key)
        for item in value:
            check_form(item, form[0], key)
    elif isinstance(form, dict):
        check_form(value, dict, key)
        for name, part in form.items():
            for each in value if name is str else [name.rstrip("?")]:
                if each in value or each == name:
                    check_form(value.get(each), part, each)
    elif not isinstance(value, form) or (isinstance(value, bool) and form not in (bool, object)):
        raise ValueError(f"{key} is {str(value)[:40]!r}")


def remove_temporary_files(folder: Path) -> None:
    """Removes the temporary files of killed processes below `folder`."""
    for path in folder.rglob(".*"):
        if re.fullmatch(r"\..+\.\d+(\.[a-z]+)?", path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_tensors(
    path: Path, tensors: dict[str, "Tensor"], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file with a checksum, atomically."""
    from safetensors.torch import save  # torch, which --help does not need

    data = _sorted_header(save(tensors, {**(metadata or {}), **CHECKSUM}))
    digest = hashlib.sha256(data).hexdigest()
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.replace(CHECKSUM["sha256"].encode(), digest.encode(), 1))


def check_tensors(path: Path, metadata: Mapping[str, str]) -> None:
    """Raises FaceganError if a file of `write_tensors` has changed since it was written.

    `metadata` is the file's. Files of other programs have no checksum.
    """
    if CHECKSUM.keys().isdisjoint(metadata):
        return
    digest = metadata.get("sha256", "")
    data = path.read_bytes().replace(digest.encode(), CHECKSUM["sha256"].encode(), 1)
    if hashlib.sha256(data).hexdigest() != digest:
        raise FaceganError(f"{path} is damaged: its checksum does not match its content")


def _sorted_header(data: bytes) -> bytes:
    """The bytes of a safetensors file with sorted metadata, so that equal weights are equal files.

    safetensors writes the metadata in a random order.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # as safetensors aligns the tensors
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def write_bytes(path: Path, data: bytes | bytearray) -> None:
    """Writes a file, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
