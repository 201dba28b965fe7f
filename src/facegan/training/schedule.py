"""The length of a training, in epochs, images or time, and the learning rates over it."""

import math
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, Timer

from facegan.training.protocols import TrainedModule, generative, trained


class Budget(Callback, ABC):
    """Ends the training and knows its progress."""

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


class TimeBudget(Timer, Budget):
    """The training ends after a time; the time of earlier tries of a resumed run counts."""

    def __init__(self, max_time: timedelta) -> None:
        super().__init__(max_time)
        self.max_time = max_time

    def progress(self, trainer: pl.Trainer, module: TrainedModule, batch_idx: int) -> float:
        return min(self.time_elapsed("train") / self.max_time.total_seconds(), 1.0)

    def __str__(self) -> str:
        return f"{self.max_time} of training"


class LearningRateSchedule(Callback):
    """Every learning rate falls on a half cosine to `final_lr_factor` of its initial value."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        module = generative(pl_module)
        progress = self.budget.progress(trainer, module, batch_idx)
        factor = cosine_decay(progress, module.final_lr_factor)
        for optimizer in module.optimizer_by_name.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor


def cosine_decay(progress: float, final_factor: float) -> float:
    """1 at progress 0, `final_factor` at progress 1, on a half cosine between.

    Loshchilov and Hutter 2017 ("SGDR"), eq. 5, without restarts.
    """
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * progress)) / 2
