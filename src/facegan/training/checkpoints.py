"""Checkpoints: written atomically with a checksum, rotated; one more before a signal ends a run."""

import hashlib
import io
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only

from facegan.core.console import heeded_signals, print_error, print_in_signal_handler
from facegan.core.errors import out_of_memory
from facegan.core.files import check_form, reading, write_bytes
from facegan.gan.module import GAN
from facegan.training.callbacks import SaveNetworks, recalibrate
from facegan.training.health import check_weights
from facegan.training.metrics import MetricsFile

FOLDER = "checkpoints"
LAST, BEST = "last.ckpt", "best.ckpt"
FORMAT = 1  # of the entry "facegan" in a checkpoint
DIGEST_BYTES = 32  # of sha256, as the comment of the zip that torch.save writes
AGREE_EVERY = 10  # steps between two agreements of several processes
T = TypeVar("T")
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
        # the checksum is the comment of the zip, whose length are the last two bytes
        content = buffer.getvalue()[:-2] + DIGEST_BYTES.to_bytes(2, "little")
        write_bytes(Path(path), content + hashlib.sha256(content).digest())

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        return read_checkpoint(Path(path))


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


class InterruptedWorkError(Exception):
    """A signal came during work that can be left out."""


class Interruption(Callback):
    """Remembers SIGINT, SIGTERM and SIGHUP, and SLURM's signal to requeue the job.

    RunCheckpoints reads `signum` at the end of every step, writes a checkpoint, and calls `end`. A
    second signal ends the process at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signum: int | None = None
        self.requeue: Any = None  # Lightning's handler of SLURM's signal
        self.optional = False  # the current work can be left out

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        # Lightning sets its own handlers before this, and restores the earlier ones at the end
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in heeded_signals():
            signal.signal(signum, self.receive)
        if SLURMEnvironment.detect():
            self.requeue = signal.getsignal(signal.SIGUSR1)
            signal.signal(signal.SIGUSR1, self.receive)

    def receive(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise SystemExit(128 + signum)
        self.signum = signum
        print_in_signal_handler(f"{signal.Signals(signum).name}: a checkpoint is written first")
        if self.optional:
            raise InterruptedWorkError

    def unless_interrupted(self, work: Callable[[], T]) -> T | None:
        """What `work` returns; None if a signal has come before or comes meanwhile."""
        self.optional = True
        try:
            return work() if self.signum is None else None
        except InterruptedWorkError:
            return None
        finally:
            self.optional = False

    def end(self) -> NoReturn:
        """Ends the process with the signal's exit code; on SLURM, Lightning requeues the job."""
        signum = self.signum or signal.SIGTERM  # another process of the training got the signal
        if signum == getattr(signal, "SIGUSR1", None) and callable(self.requeue):
            self.requeue(signum, None)
        name = signal.Signals(signum).name
        rank_zero_only(print_error)(
            f"the training was ended by {name}; its state is saved: resume={self.folder} resumes it"
        )
        raise SystemExit(128 + signum)


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
        metrics: MetricsFile,
        interruption: Interruption,
        networks: SaveNetworks,
        every: float,
        keep: int,
    ) -> None:
        """`every`: minutes between two checkpoints. `keep`: how many of the newest are kept."""
        self.folder = folder / FOLDER
        self.identity = identity
        self.rollbacks = rollbacks
        self.metrics = metrics
        self.interruption = interruption
        self.networks = networks
        self.interval = 60 * every
        self.keep = keep
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
        if trainer.is_global_zero and self.networks.best_images_seen == gan.images_seen:
            write_bytes(self.folder / BEST, (self.folder / LAST).read_bytes())
        if agreed(trainer, self.interruption.signum is not None):
            self.interruption.end()

    def save(self, trainer: pl.Trainer, gan: GAN) -> None:
        """Writes last.ckpt; the ones before it move back by one."""
        check_weights(gan)
        for logger in trainer.loggers:
            logger.save()  # what is logged before a checkpoint is not logged again after it
        names = [LAST, *(f"previous-{number}.ckpt" for number in range(1, self.keep))]
        for newer, older in reversed([*itertools.pairwise(names)]):
            if trainer.is_global_zero and (self.folder / newer).is_file():
                os.replace(self.folder / newer, self.folder / older)
        trainer.save_checkpoint(self.folder / LAST)
        self.saved = time.monotonic()


def agreed(trainer: pl.Trainer, wanted: bool) -> bool:
    """Whether any process of the training wants it; all of them must call this at the same step."""
    if trainer.world_size == 1:
        return wanted
    return trainer.strategy.reduce_boolean_decision(wanted, all=False)
