"""The length of a training, in epochs, images or time, and the learning rates over it."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from facegan.core.checks import MANY, check_choice, check_number
from facegan.gan.module import GAN
from facegan.training.metrics import print_line

END = 5.0  # seconds for the GIF and the interpreter's end, which are not measured
RESERVE = 0.1  # of the budget, for the end of an epoch, until one has been timed
GRID_SECONDS = 300.0  # between two grids, at most
GRIDS = 10  # at least, in a training that time ends
COOLDOWN = 0.3  # of the budget (benchmarks/recipes.md, round 12)
ROLLBACK_FACTOR = 0.5  # of the learning rates, at each rollback


class Budget(Callback, ABC):
    """Ends the training and measures its progress."""

    # images of an epoch at least: with few photographs, grids, evaluations and checkpoints would
    # take longer than the training between them
    epoch_images = 10_000
    grid_seconds = GRID_SECONDS  # between two grids within an epoch

    def paused(self) -> AbstractContextManager[None]:
        """Time within the block does not count as training."""
        return nullcontext()

    @abstractmethod
    def progress(self, trainer: pl.Trainer, gan: GAN, batch_idx: int) -> float:
        """The part of the training that is over, in [0, 1]."""

    @abstractmethod
    def __str__(self) -> str:
        """The end of the training, such as "epoch 6"."""


class EpochBudget(Budget):
    """The training ends after `max_epochs` epochs, by the Trainer's own limit."""

    epoch_images = 0  # one pass over the data set

    def __init__(self, max_epochs: int) -> None:
        check_number("max_epochs", max_epochs, 1, 10**6)
        self.max_epochs = max_epochs

    def progress(self, trainer: pl.Trainer, gan: GAN, batch_idx: int) -> float:
        epochs = trainer.current_epoch + batch_idx / trainer.num_training_batches
        return min(epochs / self.max_epochs, 1.0)

    def __str__(self) -> str:
        return f"epoch {self.max_epochs}"


class ImageBudget(Budget):
    """The training ends when the networks have seen `max_images` real images."""

    grid_seconds = 60.0  # a few thousand images may be the whole training

    def __init__(self, max_images: int) -> None:
        check_number("max_images", max_images, 1, MANY)
        self.max_images = max_images

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.on_train_batch_end(trainer, gan)  # a finished run that is resumed ends at once

    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        if gan.images_seen >= self.max_images:
            trainer.should_stop = True

    def progress(self, trainer: pl.Trainer, gan: GAN, batch_idx: int) -> float:
        return min(gan.images_seen / self.max_images, 1.0)

    def __str__(self) -> str:
        return f"{self.max_images:,} images"


class TimeBudget(Budget):
    """The training ends after a time, which includes the last evaluation and the GIF.

    It is the time of the whole command except for what runs share (packing, features), and of
    the earlier processes of a resumed run. A rollback does not give time back. The end of an epoch
    (grid, weights, evaluation, checkpoint) is expected to take as long as the longest so far.
    """

    def __init__(self, max_time: timedelta, startup: float = 0.0) -> None:
        """`startup`: seconds that the command has taken so far."""
        self.max_time = max_time
        self.grid_seconds = min(GRID_SECONDS, max_time.total_seconds() / GRIDS)
        self.elapsed = 0.0  # seconds in earlier processes
        self.began = time.monotonic() - startup
        self.started = self.over = False
        self.reserve: float | None = None  # seconds for the end of an epoch
        self.epoch_ended: float | None = None

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

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.started, self.epoch_ended = True, None
        left = max(self.max_time.total_seconds() - self.seconds(), 0.0)
        end = time.strftime("%H:%M:%S", time.localtime(time.time() + left))
        print_line(f"trainer.max_time={self.max_time}: the training ends at {end}")

    def on_train_epoch_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        if self.epoch_ended is not None:
            self.reserve = max(self.reserve or 0.0, time.monotonic() - self.epoch_ended)

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.epoch_ended = time.monotonic()
        if self.seconds() + (self.reserve or 0.0) >= self._usable():  # one more epoch does not fit
            self._stop(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        if self.seconds() >= self._usable():
            self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> None:
        if not self.over:
            print_line(
                f"trainer.max_time={self.max_time} is nearly used up: the training ends after "
                f"{self.seconds():.0f} s; the last files are written"
            )
        self.over = trainer.should_stop = True

    def _usable(self) -> float:
        seconds = self.max_time.total_seconds()
        reserve = RESERVE * seconds if self.reserve is None else self.reserve
        return max(seconds - reserve - END, seconds / 2)

    def progress(self, trainer: pl.Trainer, gan: GAN, batch_idx: int) -> float:
        return 1.0 if self.over else min(self.seconds() / self._usable(), 1.0)

    def __str__(self) -> str:
        return f"{self.max_time} of training"


class LearningRateSchedule(Callback):
    """Every learning rate falls to `final_lr_factor` of its initial value, as `lr_schedule` says.

    The schedule covers the budget. With "cooldown", the rates fall over the last 0.3 of it, or from
    `cooldown_after` images on if these come first; then they fall further, as `cooldown` says. If a
    finished run is resumed with a larger budget, the rates stay at their final values, unless
    `restart`. Each rollback halves them. Over the first `warmup` images they rise from zero. Raises
    ValueError for values out of range.
    """

    def __init__(
        self,
        budget: Budget,
        restart: bool = False,
        rollbacks: int = 0,
        warmup: int = 0,
        lr_schedule: str = "cosine",
        final_lr_factor: float = 1.0,
        cooldown_after: int | None = None,
    ) -> None:
        check_choice("lr_schedule", lr_schedule, ("cosine", "cooldown"))
        check_number("final_lr_factor", final_lr_factor, 0, 100, whole=False)
        if cooldown_after is not None:
            check_number("cooldown_after", cooldown_after, 1, MANY)
        self.budget = budget
        self.lr_schedule = lr_schedule
        self.final_lr_factor = final_lr_factor
        self.cooldown_after = cooldown_after
        self.cooldown_start = 1 - COOLDOWN  # as a part of the budget
        self.restart = restart
        self.warmup = warmup
        self.scale = ROLLBACK_FACTOR**rollbacks
        self.finished = False  # the budget was used up when the state was saved
        self.constant = False  # the rates stay at their final values

    def state_dict(self) -> dict[str, Any]:
        names = ("finished", "constant", "cooldown_start")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        more = self.finished and self.budget.progress(trainer, gan, 0) < 1
        self.constant = (self.constant or more) and not self.restart
        if more and self.final_lr_factor != 1 and trainer.is_global_zero:
            print_line(
                "the budget of a finished run has grown: its learning rates stay at their final "
                "values; trainer.restart_schedule=true starts the schedule again"
                if self.constant
                else "the schedule of the learning rates covers the new budget: they rise again"
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, gan: GAN, batch: Any, batch_idx: int
    ) -> None:
        progress = 1.0 if self.constant else self.budget.progress(trainer, gan, batch_idx)
        factor = self.factor(progress, gan.images_seen) * self.scale
        if self.warmup:
            factor *= min((gan.images_seen + gan.batch_size) / self.warmup, 1.0)
        for optimizer in gan.optimizer_by_name.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def factor(self, progress: float, images: int) -> float:
        """Of the initial learning rates, when this part of the budget is over."""
        if self.lr_schedule == "cosine":
            return cosine_decay(progress, self.final_lr_factor)
        if self.cooldown_after is not None and images < self.cooldown_after:
            self.cooldown_start = min(progress, 1 - COOLDOWN)
        return cooldown(progress, self.final_lr_factor, self.cooldown_start)

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        batches = int(trainer.num_training_batches)
        self.finished = self.budget.progress(trainer, gan, batches) >= 1


def cosine_decay(progress: float, final_factor: float) -> float:
    """1 at progress 0, `final_factor` at progress 1, on a half cosine between.

    Loshchilov and Hutter 2017 ("SGDR"), eq. 5, without restarts.
    """
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * progress)) / 2


def cooldown(progress: float, final_factor: float, start: float = 1 - COOLDOWN) -> float:
    """1 up to progress `start`, then linear to a final factor at progress 1.

    Hägele et al. 2024 ("Scaling Laws and Compute-Optimal Training Beyond Fixed Training
    Durations"), section 3. That factor is `final_factor` for a start at 0.7. Before, it is
    proportional to the start: the longer the cooldown, the lower its end.
    """
    final = final_factor * (start / (1 - COOLDOWN))
    over = max(progress - start, 0) / (1 - start)
    return 1 + (final - 1) * over
