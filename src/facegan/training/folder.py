"""The run folder: its lock, its record, its config, and the checkpoint that a run resumes from."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pytorch_lightning.utilities import rank_zero_only

from facegan.core.errors import DamagedError, FaceganError
from facegan.core.files import remove_temporary_files, write_json
from facegan.core.run_keys import CHANGEABLE, MOVABLE, PER_COMMAND
from facegan.data.recorded import RECORD, read_record
from facegan.training.budget import Budget, EpochBudget
from facegan.training.checkpoints import BEST, FOLDER, LAST, read_checkpoint
from facegan.training.health import UnhealthyError
from facegan.training.metrics import print_line

CONFIG = "config.yaml"
LOCK = ".lock"
LATEST = Path("outputs/latest")
MAX_KEPT = 1000  # checkpoint.keep, at most


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


@dataclass(frozen=True)
class StartingPoint:
    """The beginning of a run, or a checkpoint of an earlier process."""

    identity: str  # of the run, which its checkpoints carry
    checkpoint: Path | None = None
    images_seen: int = 0
    metrics_lines: int = 0
    rollbacks: int = 0
    epochs: int = 0  # that are over
    data: dict[str, str] = field(default_factory=dict)  # the data module's state

    @classmethod
    def at(cls, path: Path, identity: str) -> "StartingPoint":
        """At the checkpoint `path`. Raises FaceganError if another config's run has written it."""
        checkpoint = read_checkpoint(path)
        entry = checkpoint["facegan"]
        if entry["run"] != identity:
            raise FaceganError(
                f"{path} was not written by a run with this config.yaml: either file was replaced "
                "or edited; restore it, or start a new run"
            )
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        return cls(
            identity,
            path,
            checkpoint["images_seen"],
            entry["metrics_lines"],
            entry["rollbacks"],
            progress["processed"],
            checkpoint.get("FaceDataModule", {}),
        )


def starting_point(folder: Path, identity: str, begun: bool, budget: Budget) -> StartingPoint:
    """The newest good checkpoint in `folder`; the beginning if there is none.

    Raises FaceganError for a finished run without checkpoints, and for too small a budget.
    """
    start = newest_checkpoint(folder, identity)
    if start is None and is_finished(folder):
        raise FaceganError(
            f"{folder} has lost its checkpoints, so the run cannot be resumed; its weights are in "
            f"{folder}/generator.safetensors: start a new run"
        )
    if start and isinstance(budget, EpochBudget) and budget.max_epochs < start.epochs:
        raise FaceganError(
            f"trainer.max_epochs={budget.max_epochs}, but the run has {start.epochs} epochs "
            "already; give at least that many"
        )
    if start is not None:
        print_line(f"the run resumes from {start.checkpoint}, after {start.images_seen:,} images")
    elif begun:
        print_line(f"{folder} has no checkpoint yet: the run starts again")
    return start or StartingPoint(identity)


def newest_checkpoint(folder: Path, identity: str, first: str = LAST) -> StartingPoint | None:
    """The checkpoint `first` of the run in `folder`, or else the newest one; None without any.

    A damaged one is skipped with a message. Raises FaceganError if all of them are damaged, or if
    the newest was not written by a run of this `identity`.
    """
    previous = (f"previous-{number}.ckpt" for number in range(1, MAX_KEPT))
    paths = [folder / FOLDER / name for name in dict.fromkeys([first, LAST, *previous, BEST])]
    skipped: list[str] = []
    for path in filter(Path.is_file, paths):
        try:
            start = StartingPoint.at(path, identity)
        except DamagedError as error:
            skipped.append(str(error))
            continue
        for message in skipped:
            print_line(f"{message}; the one before it is used")
        return start
    if skipped:
        raise FaceganError(
            f"{'; '.join(skipped)}; no other checkpoint is left: the run's weights are in "
            f"{folder}/generator.safetensors; start a new run"
        )
    return None


def roll_back(
    folder: Path, start: StartingPoint, error: UnhealthyError, rollback: bool, max_rollbacks: int
) -> StartingPoint:
    """The best checkpoint, from which the run resumes with lower learning rates.

    Raises `error` without `rollback`, without a checkpoint, and after `max_rollbacks`.
    """
    number = start.rollbacks + 1
    allowed = rollback and number <= max_rollbacks
    point = newest_checkpoint(folder, start.identity, BEST) if allowed else None
    if point is None:
        raise error
    print_line(
        f"{error}\nrollback {number} of {max_rollbacks}: the run goes back to {point.checkpoint}, "
        f"after {point.images_seen:,} images, with half of the learning rates"
    )
    # a rollback that is repeated after a kill replaces the first one
    before = read_record(folder).get("rollbacks", [])[: start.rollbacks]
    event = {"reason": str(error), "back_to_images": point.images_seen}
    write_record(folder, rollbacks=[*before, event])
    return replace(point, rollbacks=number)
