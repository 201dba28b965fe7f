"""How long a training lasts, in epochs, images or time, and how much of it is over."""

import math
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, Timer


class ImageBudget(Callback):
    """Ends a training when its networks have seen so many real images."""

    def __init__(self, max_images: int) -> None:
        self.max_images = max_images

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._end(trainer, pl_module)  # what a finished run that is resumed has to do

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        self._end(trainer, pl_module)

    def _end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if images_seen(pl_module) >= self.max_images:
            trainer.should_stop = True


def images_seen(module: pl.LightningModule) -> int:
    """How many training images the module has learnt from."""
    return cast(Any, module).images_seen


def goal(trainer: pl.Trainer) -> tuple[int, str]:
    """How many images the whole training sees, and its end in words; 0 where a clock ends it."""
    for callback in cast(Any, trainer).callbacks:
        if isinstance(callback, ImageBudget):
            return callback.max_images, f"{callback.max_images:,} images"
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        return 0, ""
    per_epoch = int(trainer.num_training_batches) * cast(Any, trainer).datamodule.batch_size
    return trainer.max_epochs * per_epoch, f"epoch {trainer.max_epochs}"


def budget_spent(trainer: pl.Trainer, batch_idx: int, seen: int) -> float:
    """How much of the training is over, in [0, 1]: by epochs, by images (`seen`) or by time."""
    spent = 0.0
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        position = trainer.current_epoch + batch_idx / trainer.num_training_batches
        spent = position / trainer.max_epochs
    for callback in cast(Any, trainer).callbacks:
        if isinstance(callback, ImageBudget):
            spent = seen / callback.max_images
        if isinstance(callback, Timer):
            elapsed, remaining = callback.time_elapsed("train"), callback.time_remaining("train")
            if remaining is not None:
                spent = elapsed / (elapsed + max(remaining, 0))
    return min(spent, 1.0)


def cosine_decay(spent: float, decay_to: float) -> float:
    """1 where nothing is spent, `decay_to` where all is, on a half cosine between.

    Loshchilov and Hutter 2017 ("SGDR"), eq. 5, without restarts.
    """
    return decay_to + (1 - decay_to) * (1 + math.cos(math.pi * spent)) / 2
