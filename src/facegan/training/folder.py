"""The run folder: its lock, its record, and which config it was started with."""

import hashlib
import itertools
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout
from pytorch_lightning.utilities import rank_zero_only

from facegan.core.errors import FaceganError
from facegan.core.files import named_errors, remove_temporary_files, write_json
from facegan.core.run_keys import CHANGEABLE, MOVABLE
from facegan.data.recorded import RECORD, read_record

CONFIG = "config.yaml"
LOCK, OWNER = ".lock", ".owner"
LATEST = Path("outputs/latest")
PER_COMMAND = ("resume", "trust")  # given with each command


def is_rank_zero() -> bool:
    """Whether this is the process that writes, of all that train together."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


@contextmanager
def writer_lock(folder: Path, automatic: bool = False) -> Iterator[Path]:
    """Yields `folder`, in which no other process can train within the block.

    With `automatic`, a folder that another run uses is replaced by `folder`-2, -3, …. The operating
    system releases the lock when the process ends, however it ends. Raises FaceganError, with the
    owner, if another process has it.
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
        (locked / OWNER).unlink(missing_ok=True)
        if [path.name for path in locked.iterdir()] == [LOCK]:
            (locked / LOCK).unlink()  # the run has not begun: the empty folder is removed, too
        lock.release()


def _acquire(folder: Path, automatic: bool) -> tuple[Path, BaseFileLock]:
    for number in itertools.count(1):
        path = folder.with_name(f"{folder.name}-{number}") if number > 1 else folder
        if automatic and (path / CONFIG).exists():
            continue
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / LOCK, timeout=0)
        try:
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
    """Within the block, an OSError names the command that resumes the run in `folder`."""
    try:
        yield
    except OSError as error:
        if (folder / CONFIG).is_file():
            error.add_note(f"then resume the run by resume={folder}")
        raise


def check_same_run(folder: Path, stored: dict[str, Any], config: dict[str, Any]) -> None:
    """Raises FaceganError unless the run in `folder` is unfinished and `config` is that of it."""
    changed = changes(stored, config)
    if is_finished(folder) or changed:
        what = "a finished run" if is_finished(folder) else f"a run with another {changed}"
        raise FaceganError(
            f"{folder} has {what} already; resume it by resume={folder} (and a larger "
            "trainer.max_epochs), or choose another folder by hydra.run.dir=…"
        )


def changes(stored: dict[str, Any], config: dict[str, Any]) -> str:
    """The keys in which two configs differ, except for those given with each command."""
    keys = sorted({*stored, *config} - set(PER_COMMAND))
    return ", ".join(key for key in keys if stored.get(key) != config.get(key))


@rank_zero_only
def write_record(folder: Path, **facts: Any) -> None:
    """Adds `facts` to run.json."""
    write_json(folder / RECORD, {**read_record(folder), **facts})


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` has used up its budget."""
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
    """A digest of all that decides a run's weights, except for the length of the training."""
    kept = {key: value for key, value in config.items() if key not in CHANGEABLE}
    if isinstance(data := kept.get("data"), dict):
        kept["data"] = {key: value for key, value in data.items() if key not in MOVABLE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
