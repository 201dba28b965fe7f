"""Checkpoints: written atomically with a checksum, rotated, and found again."""

import errno
import hashlib
import io
import itertools
import os
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only

from facegan.core.errors import FaceganError
from facegan.core.files import atomic_path
from facegan.training.evaluation import EvaluateDuringTraining
from facegan.training.health import check_weights
from facegan.training.interruption import Interruption
from facegan.training.loggers import JSONLLogger
from facegan.training.protocols import trained

FOLDER = "checkpoints"
LAST, BEST = "last.ckpt", "best.ckpt"
FORMAT = 1  # of the entry "facegan" in a checkpoint
DIGEST_BYTES = 32  # of sha256, as the comment of the zip that torch.save writes
AGREE_EVERY = 10  # steps between two agreements of several processes
REQUIRED = ("state_dict", "loops", "callbacks", "images_seen", "facegan")


class DamagedCheckpointError(FaceganError):
    """A checkpoint that cannot be read as what was written."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its target and renames it, with a checksum that a read verifies.

    Lightning's own writes by way of /tmp, which may be another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()  # torch's message for a full disk does not name the disk
        torch.save(checkpoint, buffer)
        with atomic_path(Path(path)) as temporary:
            temporary.write_bytes(with_checksum(buffer.getbuffer()))

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        return read_checkpoint(Path(path))


def with_checksum(data: memoryview) -> bytes:
    """`data`, a zip without a comment, with the sha256 of all before it as its comment."""
    content = bytes(data[:-2]) + DIGEST_BYTES.to_bytes(2, "little")
    return content + hashlib.sha256(content).digest()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint at `path`, on the CPU. Raises DamagedCheckpointError if a bit has changed."""
    data = path.read_bytes()
    content, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise DamagedCheckpointError(f"{path} is damaged: its checksum does not match its content")
    try:
        checkpoint = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise DamagedCheckpointError(
            f"{path} is no checkpoint of plain tensors and numbers, and nothing else is loaded"
        ) from error
    missing = [key for key in REQUIRED if key not in checkpoint]
    if missing or checkpoint["facegan"].get("format") != FORMAT:
        raise DamagedCheckpointError(f"{path} is no checkpoint of this version of facegan.train")
    return checkpoint


def newest_checkpoint(folder: Path, identity: str) -> tuple[Path, dict[str, Any]] | None:
    """The newest good checkpoint of the run in `folder`, and None if it has written none.

    A damaged one is skipped with a message. Raises FaceganError if all of them are damaged, or if
    the newest was not written by a run of this `identity`.
    """
    skipped: list[str] = []
    for path in candidates(folder):
        try:
            checkpoint = read_checkpoint(path)
        except DamagedCheckpointError as error:
            skipped.append(str(error))
            continue
        check_identity(path, checkpoint, identity)
        for message in skipped:
            rank_zero_only(print)(f"{message}; the one before it is used", flush=True)
        return path, checkpoint
    if skipped:
        raise FaceganError(
            f"{'; '.join(skipped)}; no other checkpoint is left: the run's weights are in "
            f"{folder}/generator.safetensors; start a new run"
        )
    return None


def best_checkpoint(folder: Path, identity: str) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint of the least Fréchet distance; the newest, where none was measured."""
    path = folder / FOLDER / BEST
    if not path.is_file():
        return newest_checkpoint(folder, identity)
    checkpoint = read_checkpoint(path)
    check_identity(path, checkpoint, identity)
    return path, checkpoint


def candidates(folder: Path) -> list[Path]:
    """The checkpoint files of the run in `folder`, the newest first."""
    older = sorted(
        (folder / FOLDER).glob("previous-*.ckpt"), key=lambda path: int(path.stem.split("-")[1])
    )
    paths = [folder / FOLDER / LAST, *older, folder / FOLDER / BEST]
    return [path for path in paths if path.is_file()]


def check_identity(path: Path, checkpoint: dict[str, Any], identity: str) -> None:
    """Raises FaceganError for a checkpoint that a run of another config has written."""
    if checkpoint["facegan"]["run"] != identity:
        raise FaceganError(
            f"{path} was not written by a run with this config.yaml: either file was replaced or "
            "edited; restore it, or start a new run (only trainer.…, checkpoint.…, snapshots.… and "
            "health.… may change, on the command line)"
        )


class RunCheckpoints(Checkpoint):
    """Saves the state of the run every few minutes, after every epoch, and when a signal ends it.

    checkpoints/last.ckpt is the newest, previous-1.ckpt the one before it, and best.ckpt that of
    the least Fréchet distance. Lightning calls it after all other callbacks.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        rollbacks: int,
        minutes: float,
        keep: int,
        metrics: JSONLLogger,
        interruption: Interruption,
        evaluation: EvaluateDuringTraining | None,
    ) -> None:
        self.folder = folder / FOLDER
        self.identity = identity
        self.rollbacks = rollbacks
        self.interval = 60 * minutes
        self.keep = keep
        self.metrics = metrics
        self.interruption = interruption
        self.evaluation = evaluation

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["facegan"] = {
            "format": FORMAT,
            "run": self.identity,
            "rollbacks": self.rollbacks,
            "metrics_lines": self.metrics.lines,
        }

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or trainer.should_stop:
            return  # the epoch's end, which saves, comes next
        if trainer.world_size > 1 and batch_idx % AGREE_EVERY:
            return
        interrupted = agreed(trainer, self.interruption.signum is not None)
        if interrupted or agreed(trainer, time.monotonic() - self.saved >= self.interval):
            self.save(trainer, pl_module)
        if interrupted:
            self.interruption.end()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.save(trainer, pl_module)
        if trainer.is_global_zero and self._is_best(trained(pl_module).images_seen):
            replace_by_link(self.folder / LAST, self.folder / BEST)
        if agreed(trainer, self.interruption.signum is not None):
            self.interruption.end()

    def save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes last.ckpt; the ones before it move back by one."""
        check_weights(pl_module)
        if trainer.is_global_zero:
            self._shift()
        trainer.save_checkpoint(self.folder / LAST)
        self.saved = time.monotonic()

    def _is_best(self, images_seen: int) -> bool:
        return self.evaluation is not None and self.evaluation.best_images_seen == images_seen

    def _shift(self) -> None:
        """last.ckpt stays until its successor replaces it, and previous-1.ckpt is linked to it."""
        names = [LAST, *(f"previous-{number}.ckpt" for number in range(1, self.keep))]
        paths = [self.folder / name for name in names]
        for newer, older in reversed([*itertools.pairwise(paths)]):
            if newer.is_file():
                replace_by_link(newer, older)


def agreed(trainer: pl.Trainer, wanted: bool) -> bool:
    """Whether any process of the training wants it; all of them must ask at the same step."""
    if trainer.world_size == 1:
        return wanted
    return trainer.strategy.reduce_boolean_decision(wanted, all=False)


def replace_by_link(source: Path, target: Path) -> None:
    """Makes `target` another name of the file `source`, or a copy where the disk has no links."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
                raise
            shutil.copyfile(source, temporary)
