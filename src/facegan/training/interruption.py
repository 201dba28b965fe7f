"""Signals during a training: they end it after a checkpoint."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities import rank_zero_only

from facegan.core.console import heeded_signals, print_error, print_in_signal_handler


class Interruption(Callback):
    """Takes note of SIGINT, SIGTERM and SIGHUP, and of SLURM's signal to requeue the job.

    The callback that writes checkpoints asks for `signum` at the end of every step, writes one, and
    calls `end`. A second signal ends the process at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signum: int | None = None
        self.requeue: Any = None  # Lightning's handler of SLURM's signal

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
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

    def end(self) -> NoReturn:
        """Ends the process with the signal's exit code; on SLURM, Lightning requeues the job."""
        signum = self.signum or signal.SIGTERM  # another process of the training got the signal
        if signum == getattr(signal, "SIGUSR1", None) and callable(self.requeue):
            self.requeue(signum, None)
        self._say_how_to_resume(signal.Signals(signum).name)
        raise SystemExit(128 + signum)

    @rank_zero_only
    def _say_how_to_resume(self, name: str) -> None:
        print_error(
            f"the training was ended by {name}; its state is saved: go on by resume={self.folder}"
        )
