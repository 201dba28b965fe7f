"""Checkpoints: written atomically with a checksum, rotated; one more before a signal ends a run."""

import hashlib
import io
import itertools
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from facegan.core.errors import out_of_memory
from facegan.core.files import atomic_path, check_form, reading
from facegan.gan.module import GAN
from facegan.training.callbacks import SaveNetworks, recalibrate
from facegan.training.evaluation import EvaluateDuringTraining
from facegan.training.health import check_weights
from facegan.training.interruption import Interruption
from facegan.training.metrics import MetricsFile

FOLDER = "checkpoints"
LAST, BEST = "last.ckpt", "best.ckpt"
FORMAT = 1  # of the entry "facegan" in a checkpoint
DIGEST_BYTES = 32  # of sha256, as the comment of the zip that torch.save writes
AGREE_EVERY = 10  # steps between two agreements of several processes
FORM = {
    "state_dict": {str: torch.Tensor},
    "loops": {"fit_loop": {"epoch_progress": {"current": {"processed": int}}}},
    "callbacks": dict,
    "images_seen": int,
    "facegan": {"format": int, "run": str, "rollbacks": int, "metrics_lines": int},
}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint next to its target and renames it, with a checksum that a read verifies.

    Lightning's method writes to /tmp first, which may be another disk.
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
    """The checkpoint at `path`, on the CPU. Raises DamagedError if a bit has changed.

    Only plain tensors and numbers are loaded.
    """
    with reading(path, "it is no checkpoint of this version of facegan.train"):
        data = path.read_bytes()
        content, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its checksum does not match its content")
        checkpoint: dict[str, Any] = torch.load(
            io.BytesIO(data), map_location="cpu", weights_only=True
        )
        check_form(checkpoint, FORM)
        if checkpoint["facegan"]["format"] != FORMAT:
            raise ValueError(f"format {checkpoint['facegan']['format']}")
        return checkpoint


@contextmanager
def restoring(path: Path | None, trainer: pl.Trainer) -> Iterator[None]:
    """Within the block, an error before the first step is over is one of the checkpoint `path`."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    try:
        yield
    except (
        *(TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError),
    ) as error:
        stepped = any(each.stepped for each in callbacks if isinstance(each, RunCheckpoints))
        if path is None or stepped or out_of_memory(error):
            raise
        with reading(path, "remove it, and the one before it is used"):
            raise ValueError(f"its entries do not fit: {error}") from error


class RunCheckpoints(Checkpoint):
    """Saves the state of the run every few minutes, after every epoch, and before a signal ends it.

    checkpoints/last.ckpt is the newest, previous-1.ckpt the one before it, and best.ckpt that of
    the least Fréchet distance. Lightning calls it after all other callbacks.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        rollbacks: int,
        every: float,
        keep: int,
        metrics: MetricsFile,
        interruption: Interruption,
        networks: SaveNetworks,
        evaluation: EvaluateDuringTraining | None,
    ) -> None:
        """`every`: minutes between two checkpoints. `keep`: how many of the newest are kept."""
        self.folder = folder / FOLDER
        self.identity = identity
        self.rollbacks = rollbacks
        self.interval = 60 * every
        self.keep = keep
        self.metrics = metrics
        self.interruption = interruption
        self.networks = networks
        self.evaluation = evaluation
        self.stepped = False

    def on_save_checkpoint(self, trainer: pl.Trainer, gan: GAN, checkpoint: dict[str, Any]) -> None:
        checkpoint["facegan"] = {
            "format": FORMAT,
            "run": self.identity,
            "rollbacks": self.rollbacks,
            "metrics_lines": self.metrics.lines,
        }

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, gan: GAN, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.stepped = True
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or trainer.should_stop:
            return  # the epoch's end, which saves, comes next
        if trainer.world_size > 1 and batch_idx % AGREE_EVERY:
            return
        interrupted = agreed(trainer, self.interruption.signum is not None)
        if interrupted or agreed(trainer, time.monotonic() - self.saved >= self.interval):
            self.save(trainer, gan)
        if interrupted:
            recalibrate(gan)
            self.networks.write(gan)
            self.interruption.end()

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.save(trainer, gan)
        best = self.evaluation is not None and self.evaluation.best_images_seen == gan.images_seen
        if trainer.is_global_zero and best:
            replace_by_link(self.folder / LAST, self.folder / BEST)
        if agreed(trainer, self.interruption.signum is not None):
            self.interruption.end()

    def save(self, trainer: pl.Trainer, gan: GAN) -> None:
        """Writes last.ckpt; the ones before it move back by one."""
        check_weights(gan)
        for logger in trainer.loggers:
            logger.save()  # what is logged before a checkpoint is not logged again after it
        if trainer.is_global_zero:
            self._shift()
        trainer.save_checkpoint(self.folder / LAST)
        self.saved = time.monotonic()

    def _shift(self) -> None:
        """last.ckpt stays until its successor replaces it, and previous-1.ckpt is linked to it."""
        names = [LAST, *(f"previous-{number}.ckpt" for number in range(1, self.keep))]
        paths = [self.folder / name for name in names]
        for newer, older in reversed([*itertools.pairwise(paths)]):
            if newer.is_file():
                replace_by_link(newer, older)


def agreed(trainer: pl.Trainer, wanted: bool) -> bool:
    """Whether any process of the training wants it; all of them must call this at the same step."""
    if trainer.world_size == 1:
        return wanted
    return trainer.strategy.reduce_boolean_decision(wanted, all=False)


def replace_by_link(source: Path, target: Path) -> None:
    """Makes `target` another name of the file `source`, or a copy if the disk has no links."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
