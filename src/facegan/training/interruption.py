"""The signals that end a training, after a checkpoint is written."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities import rank_zero_only

from facegan.core.console import heeded_signals, print_error, print_in_signal_handler
from facegan.gan.module import GAN

T = TypeVar("T")


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
