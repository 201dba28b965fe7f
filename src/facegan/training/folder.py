"""The run folder: one writer, one config, and what an earlier process left in it."""

import errno
import hashlib
import itertools
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout
from pytorch_lightning.utilities import rank_zero_only

from facegan.core.errors import FaceganError
from facegan.core.files import named_errors, remove_temporary_files, write_json
from facegan.data.recorded import RECORD, read_record

CONFIG = "config.yaml"
LOCK, OWNER = ".lock", ".owner"
LATEST = Path("outputs/latest")
TYPED_ANEW = ("resume", "trust")  # each command has its own
FREE_KEYS = (
    *TYPED_ANEW,
    "trainer",
    "checkpoint",
    "snapshots",
    "health",
    "evaluate_every",
    "sample_every",
    "logger",
    "callbacks",
)
MOVABLE = ("root", "packed_dir")  # under data: where it lies, not what it is


def is_rank_zero() -> bool:
    """Whether this is the process that writes, of all that train together."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


@contextmanager
def writer_lock(folder: Path, automatic: bool = False) -> Iterator[Path]:
    """Yields `folder`, in which no other process can train within the block.

    With `automatic`, a folder that another run has taken is replaced by `folder`-2, -3, …. The
    operating system releases the lock when the process ends, however it ends. Raises FaceganError,
    with the owner, if another process has it.
    """
    if not is_rank_zero():
        yield folder
        return
    locked, lock = _acquire(folder, automatic)
    try:
        owner = f"process {os.getpid()} on {socket.gethostname()} ({' '.join(sys.argv[:3])})"
        with resumable(locked), named_errors(locked / OWNER):
            (locked / OWNER).write_text(owner, encoding="utf-8")
        remove_temporary_files(locked)
        yield locked
    finally:
        with suppress(OSError):  # of a disk that has become read-only; the run's own error is told
            _remove_owner(locked)
        lock.release()


def _remove_owner(folder: Path) -> None:
    (folder / OWNER).unlink(missing_ok=True)
    if [path.name for path in folder.iterdir()] == [LOCK]:
        (folder / LOCK).unlink()  # nothing was begun: the empty folder goes, too


def _acquire(folder: Path, automatic: bool) -> tuple[Path, BaseFileLock]:
    for number in itertools.count(1):
        path = folder.with_name(f"{folder.name}-{number}") if number > 1 else folder
        if automatic and (path / CONFIG).exists():
            continue
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / LOCK, timeout=0)
        try:
            with resumable(path):
                lock.acquire()
            return path, lock
        except Timeout as error:
            if not automatic:
                raise FaceganError(
                    f"{path} is in use by {_owner(path)}; wait for its end, stop it, or choose "
                    "another folder by hydra.run.dir=…"
                ) from error
    raise AssertionError("itertools.count ended")


def _owner(folder: Path) -> str:
    try:
        return (folder / OWNER).read_text(encoding="utf-8", errors="replace")[:200]
    except FileNotFoundError:  # it has just begun, or just ended
        return "another process"


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Within the block, an OSError says how the run in `folder` goes on, if one has begun there."""
    try:
        yield
    except OSError as error:
        if (folder / CONFIG).is_file():
            if error.errno == errno.EROFS and str(error.filename).startswith(str(folder)):
                raise FaceganError(
                    f"{error.filename}: {error.strerror}; remount the disk so that it can be "
                    "written, or copy the run to another disk; then go on with the run by "
                    f"resume={folder}"
                ) from error
            error.add_note(f"then go on with the run by resume={folder}")
        raise


def check_same_run(folder: Path, stored: dict[str, Any], config: dict[str, Any]) -> None:
    """Raises FaceganError unless the run in `folder`, of the config `stored`, can go on.

    It must be unfinished, and `config` must be the same.
    """
    if is_finished(folder):
        raise FaceganError(
            f"{folder} holds a finished run already; go on with it by resume={folder} and a larger "
            "trainer.max_epochs, or choose another folder by hydra.run.dir=…"
        )
    changed = changes(stored, config)
    if changed:
        raise FaceganError(
            f"{folder} holds a run already, with another {', '.join(changed)}; go on with it by "
            f"resume={folder}, or choose another folder by hydra.run.dir=…"
        )


def changes(stored: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """The keys in which two configs differ, but for those that each command line has its own of."""
    keys = sorted({*stored, *config} - set(TYPED_ANEW))
    return [key for key in keys if stored.get(key) != config.get(key)]


@rank_zero_only
def write_record(folder: Path, **facts: Any) -> None:
    """Adds `facts` to run.json."""
    write_json(folder / RECORD, {**read_record(folder), **facts})


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` came to the end of its budget."""
    return read_record(folder).get("finished") is True


@rank_zero_only
def point_latest_at(folder: Path) -> None:
    """Makes outputs/latest a link to `folder`."""
    temporary = LATEST.with_name(f".latest.{os.getpid()}")
    try:
        LATEST.parent.mkdir(exist_ok=True)
        temporary.symlink_to(os.path.relpath(folder, LATEST.parent), target_is_directory=True)
        temporary.replace(LATEST)
    except OSError as error:  # Windows grants links to developers only; a read-only folder
        print(f"{LATEST} could not be pointed at {folder}: {error}")


def run_identity(config: dict[str, Any]) -> str:
    """A digest of all that decides a run's weights, but for the length of the training."""
    kept = {key: value for key, value in config.items() if key not in FREE_KEYS}
    if isinstance(data := kept.get("data"), dict):
        kept["data"] = {key: value for key, value in data.items() if key not in MOVABLE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
