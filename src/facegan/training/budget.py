"""The length of a training: a number of epochs, of images, or a time."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from facegan.core.checks import MANY, check_number
from facegan.gan.module import GAN
from facegan.training.callbacks import GIF_FRAMES
from facegan.training.metrics import print_line

PYTHON = 3.0  # seconds for the interpreter's start and end, which are not measured
GIF_SECONDS = 0.05  # for a frame of the GIF
MARGIN = 1.5  # of the estimate, for grid, weights and checkpoint, which it leaves out
GRID_SECONDS = 300.0  # between two grids, at most
GRIDS = 10  # at least, in a training that time ends


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

    def total_images(self, trainer: pl.Trainer, gan: GAN) -> int | None:
        """The number of images in the whole training; None if time ends it."""
        return None

    def seconds_left(self) -> float | None:
        """The seconds to the end; None unless time ends the training."""
        return None

    @abstractmethod
    def times(self, factor: float) -> str:
        """The override for a budget that is `factor` times as large, rounded up."""

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

    def total_images(self, trainer: pl.Trainer, gan: GAN) -> int | None:
        return self.max_epochs * int(trainer.num_training_batches) * gan.batch_size

    def times(self, factor: float) -> str:
        return f"trainer.max_epochs={math.ceil(factor * self.max_epochs)}"

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

    def total_images(self, trainer: pl.Trainer, gan: GAN) -> int | None:
        return self.max_images

    def times(self, factor: float) -> str:
        return f"trainer.max_images={math.ceil(factor * self.max_images)}"

    def __str__(self) -> str:
        return f"{self.max_images:,} images"


class TimeBudget(Budget):
    """The training ends after a time, which includes the last evaluation and the GIF.

    It is the time of the whole command except for what runs share (packing, features), and of
    the earlier processes of a resumed run. A rollback does not give time back. The end of an epoch
    (grid, weights, evaluation, checkpoint) is expected to take as long as the longest so far.
    """

    def __init__(
        self,
        max_time: timedelta,
        startup: float = 0.0,
        estimate: Callable[[pl.Trainer], float] = lambda trainer: 0.0,
    ) -> None:
        """`startup`: seconds that the command has taken so far.

        `estimate`: the seconds of an evaluation, called after the first step.
        """
        self.max_time = max_time
        self.estimate = estimate
        self.grid_seconds = min(GRID_SECONDS, max_time.total_seconds() / GRIDS)
        self.elapsed = 0.0  # seconds in earlier processes
        self.preparation = 0.0  # seconds that do not count
        self.began = time.monotonic() - startup
        self.started = self.over = False
        self.reserve: float | None = None  # seconds for the end of an epoch
        self.frames = 0  # of the GIF
        self.epoch_ended: float | None = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        before = time.monotonic()
        yield
        self.preparation += time.monotonic() - before
        self.began += time.monotonic() - before

    def state_dict(self) -> dict[str, Any]:
        return {"elapsed": self.seconds(), "reserve": self.reserve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if not self.started:  # else it is a rollback
            self.elapsed, self.reserve = state_dict["elapsed"], state_dict["reserve"]

    def seconds(self) -> float:
        """Of the run so far."""
        return self.elapsed + time.monotonic() - self.began

    def seconds_left(self) -> float:
        return max(self.max_time.total_seconds() - self.seconds(), 0.0)

    def times(self, factor: float) -> str:
        minutes = math.ceil(factor * self.max_time.total_seconds() / 60)
        return f"trainer.max_time={minutes // 60:02}:{minutes % 60:02}:00"

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.started = True
        self.epoch_ended = None
        end = time.strftime("%H:%M:%S", time.localtime(time.time() + self.seconds_left()))
        text = f"trainer.max_time={self.max_time}: the training ends at {end}"
        if self.preparation > 1:
            text += f"; the preparation of the data, {self.preparation:.0f} s, does not count"
        print_line(text)

    def on_train_epoch_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        if self.epoch_ended is not None:
            self.reserve = max(self.reserve or 0.0, time.monotonic() - self.epoch_ended)
        self.frames = min(trainer.current_epoch + 1 + GRIDS, GIF_FRAMES)

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.epoch_ended = time.monotonic()
        if self.seconds() + (self.reserve or 0.0) >= self._usable():  # one more epoch does not fit
            self._stop(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        if self.reserve is None:
            self.reserve = MARGIN * self.estimate(trainer)
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
        end = (self.reserve or 0.0) + GIF_SECONDS * self.frames + PYTHON
        return max(seconds - end, seconds / 2)

    def progress(self, trainer: pl.Trainer, gan: GAN, batch_idx: int) -> float:
        return 1.0 if self.over else min(self.seconds() / self._usable(), 1.0)

    def __str__(self) -> str:
        return f"{self.max_time} of training"
