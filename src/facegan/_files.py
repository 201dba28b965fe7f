"""Writing files so that nobody ever meets half of one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` if the block succeeds.

    The temporary name keeps the suffix, since writers choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # some writers let nobody else read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The permissions that this user withholds from new files; to read it is to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_tensors(
    path: Path, tensors: dict[str, "Tensor"], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file, atomically. A full disk is an OSError, as for any other file."""
    from safetensors.torch import save  # torch, which not everything that writes files needs

    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
