"""The run folder: its lock, its record, and which config it was started with."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pytorch_lightning.utilities import rank_zero_only

from facegan.core.errors import FaceganError
from facegan.core.files import remove_temporary_files, write_json
from facegan.core.run_keys import CHANGEABLE, MOVABLE
from facegan.data.recorded import RECORD, read_record

CONFIG = "config.yaml"
LOCK = ".lock"
LATEST = Path("outputs/latest")
PER_COMMAND = ("resume", "trust")  # given with each command


def is_rank_zero() -> bool:
    """Whether this is the process that writes, of all that train together."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Within the block, no other process can train in `folder`.

    The operating system releases the lock when the process ends, however it ends. Raises
    FaceganError if another process has it.
    """
    if not is_rank_zero():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise FaceganError(
            f"{folder} is in use by another training; wait for its end, stop it, or choose another "
            "folder by hydra.run.dir=…"
        ) from error
    try:
        remove_temporary_files(folder)
        yield
    finally:
        if [path.name for path in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()  # the run has not begun: the command removes the folder
        lock.release()


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
        for left in LATEST.parent.glob(".latest.*"):  # by a process that was killed
            left.unlink(missing_ok=True)
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
