"""The length of a training, in epochs, images or time, and the learning rates over it."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from facegan.training.printing import print_line
from facegan.training.protocols import TrainedModule, generative, trained

PYTHON = 3.0  # seconds for the interpreter's own start and end, which nothing measures
MARGIN = 1.5  # of the rehearsal, for grid, weights and checkpoint, which are not rehearsed
COOLDOWN = 0.3  # of the budget (benchmarks/recipes.md, round 12)
ROLLBACK_FACTOR = 0.5  # of the learning rates, at each rollback


class Budget(Callback, ABC):
    """Ends the training and knows its progress."""

    def paused(self) -> AbstractContextManager[None]:
        """Time within the block does not count as training."""
        return nullcontext()

    @abstractmethod
    def progress(self, trainer: pl.Trainer, module: TrainedModule, batch_idx: int) -> float:
        """The part of the training that is over, in [0, 1]."""

    def total_images(self, trainer: pl.Trainer, module: TrainedModule) -> int | None:
        """The number of images in the whole training; None where time ends it."""
        return None

    @abstractmethod
    def __str__(self) -> str:
        """The end of the training, such as "epoch 6"."""


class EpochBudget(Budget):
    """The training ends after `max_epochs` epochs, by the Trainer's own limit."""

    def __init__(self, max_epochs: int) -> None:
        self.max_epochs = max_epochs

    def progress(self, trainer: pl.Trainer, module: TrainedModule, batch_idx: int) -> float:
        epochs = trainer.current_epoch + batch_idx / trainer.num_training_batches
        return min(epochs / self.max_epochs, 1.0)

    def total_images(self, trainer: pl.Trainer, module: TrainedModule) -> int | None:
        return self.max_epochs * int(trainer.num_training_batches) * module.batch_size

    def __str__(self) -> str:
        return f"epoch {self.max_epochs}"


class ImageBudget(Budget):
    """The training ends when the networks have seen `max_images` real images."""

    def __init__(self, max_images: int) -> None:
        self.max_images = max_images

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_when_used_up(trainer, pl_module)  # a finished run that is resumed ends at once

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        self._stop_when_used_up(trainer, pl_module)

    def _stop_when_used_up(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trained(pl_module).images_seen >= self.max_images:
            trainer.should_stop = True

    def progress(self, trainer: pl.Trainer, module: TrainedModule, batch_idx: int) -> float:
        return min(module.images_seen / self.max_images, 1.0)

    def total_images(self, trainer: pl.Trainer, module: TrainedModule) -> int | None:
        return self.max_images

    def __str__(self) -> str:
        return f"{self.max_images:,} images"


class TimeBudget(Budget):
    """The training ends after a time, in which the end of the last epoch and the GIF have a place.

    It is the time of the whole command but for packing, and of the earlier processes of a resumed
    run; a rollback gives no time back. The end of an epoch (grid, weights, evaluation, checkpoint)
    is expected to take as long as the longest so far, or as `rehearse` says; the GIF as `finish`
    says.
    """

    def __init__(self, max_time: timedelta, startup: float = 0.0) -> None:
        """`startup`: seconds that the command has taken already."""
        self.max_time = max_time
        self.rehearse: Callable[[], float] = lambda: 0.0
        self.finish: Callable[[int], float] = lambda epochs: 0.0  # seconds after so many epochs
        self.elapsed = 0.0  # seconds in earlier processes
        self.began = time.monotonic() - startup
        self.started = self.over = False
        self.reserve: float | None = None  # seconds for the end of an epoch
        self.after_epochs = 0.0  # seconds, of `finish`
        self.epoch_ended: float | None = None
        self.step_ended: float | None = None  # of this epoch

    @contextmanager
    def paused(self) -> Iterator[None]:
        before = time.monotonic()
        yield
        self.began += time.monotonic() - before

    def state_dict(self) -> dict[str, Any]:
        return {"elapsed": self.seconds(), "reserve": self.reserve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if not self.started:  # else it is a rollback
            self.elapsed, self.reserve = state_dict["elapsed"], state_dict["reserve"]

    def seconds(self) -> float:
        """Of the run so far."""
        return self.elapsed + time.monotonic() - self.began

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = True
        self.epoch_ended = self.step_ended = None
        self.after_epochs = self.finish(trainer.current_epoch + 1)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.epoch_ended is not None:
            self.reserve = max(self.reserve or 0.0, time.monotonic() - self.epoch_ended)
        self.after_epochs = self.finish(trainer.current_epoch + 1)
        self.step_ended = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epoch_ended = time.monotonic()
        if self.seconds() + (self.reserve or 0.0) >= self._usable():  # no room for one epoch more
            self._stop(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        if self.reserve is None:
            self.reserve = MARGIN * self.rehearse()
        before, self.step_ended = self.step_ended, time.monotonic()
        step = 0.0 if before is None else self.step_ended - before
        if self.seconds() + step >= self._usable():
            self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> None:
        if not self.over:
            print_line(
                trainer,
                f"trainer.max_time={self.max_time} is nearly used up: the training ends after "
                f"{self.seconds():.0f} s; the last files are written",
            )
        self.over = trainer.should_stop = True

    def _usable(self) -> float:
        seconds = self.max_time.total_seconds()
        return max(seconds - (self.reserve or 0.0) - self.after_epochs - PYTHON, seconds / 2)

    def progress(self, trainer: pl.Trainer, module: TrainedModule, batch_idx: int) -> float:
        return 1.0 if self.over else min(self.seconds() / self._usable(), 1.0)

    def __str__(self) -> str:
        return f"{self.max_time} of training"


class LearningRateSchedule(Callback):
    """Every learning rate falls to `final_lr_factor` of its initial value, as `lr_schedule` says.

    Where a finished run goes on with a larger budget, the rates stay where they are, unless
    `restart` lays the schedule over the whole of the new budget. Each rollback halves them. Over
    the first `warmup` images they rise from zero.
    """

    def __init__(
        self, budget: Budget, restart: bool = False, rollbacks: int = 0, warmup: int = 0
    ) -> None:
        self.budget = budget
        self.restart = restart
        self.warmup = warmup
        self.scale = ROLLBACK_FACTOR**rollbacks
        self.finished = False  # the budget was used up when the state was saved
        self.constant = False  # the rates stay at their final values

    def state_dict(self) -> dict[str, bool]:
        return {"finished": self.finished, "constant": self.constant}

    def load_state_dict(self, state_dict: dict[str, bool]) -> None:
        self.finished, self.constant = state_dict["finished"], state_dict["constant"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = generative(pl_module)
        more = self.finished and self.budget.progress(trainer, module, 0) < 1
        self.constant = (self.constant or more) and not self.restart
        if more and module.final_lr_factor != 1 and trainer.is_global_zero:
            print(self._what_happens(), flush=True)

    def _what_happens(self) -> str:
        if self.constant:
            return (
                "the budget of a finished run has grown: its learning rates stay at their final "
                "values; trainer.restart_schedule=true lays the schedule over the new budget"
            )
        return "the schedule of the learning rates is laid over the new budget: they rise again"

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        module = generative(pl_module)
        progress = 1.0 if self.constant else self.budget.progress(trainer, module, batch_idx)
        schedule = SCHEDULES[module.lr_schedule]
        factor = schedule(progress, module.final_lr_factor) * self.scale
        factor *= linear_warmup(module.images_seen + module.batch_size, self.warmup)
        for optimizer in module.optimizer_by_name.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        batches = int(trainer.num_training_batches)
        self.finished = self.budget.progress(trainer, generative(pl_module), batches) >= 1


def cosine_decay(progress: float, final_factor: float) -> float:
    """1 at progress 0, `final_factor` at progress 1, on a half cosine between.

    Loshchilov and Hutter 2017 ("SGDR"), eq. 5, without restarts.
    """
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * progress)) / 2


def cooldown(progress: float, final_factor: float) -> float:
    """1 up to progress 0.7, then on a line to `final_factor` at progress 1.

    Hägele et al. 2024 ("Scaling Laws and Compute-Optimal Training Beyond Fixed Training
    Durations"), section 3.
    """
    over = max(progress - (1 - COOLDOWN), 0) / COOLDOWN
    return 1 + (final_factor - 1) * over


SCHEDULES: dict[str, Callable[[float, float], float]] = {  # by the name in model.lr_schedule
    "cosine": cosine_decay,
    "cooldown": cooldown,
}


def linear_warmup(images: int, warmup: int) -> float:
    """images / warmup, and 1 from `warmup` images on."""
    return min(images / warmup, 1.0) if warmup else 1.0
