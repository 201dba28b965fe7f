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
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._end(trainer, pl_module)

    def _end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if cast(Any, pl_module).images_seen >= self.max_images:
            trainer.should_stop = True


def budget_spent(trainer: pl.Trainer, batch_idx: int, images_seen: int) -> float:
    """How much of the training is over, in [0, 1]: by epochs, by images or by time."""
    spent = 0.0
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        position = trainer.current_epoch + batch_idx / trainer.num_training_batches
        spent = position / trainer.max_epochs
    for callback in cast(Any, trainer).callbacks:
        if isinstance(callback, ImageBudget):
            spent = images_seen / callback.max_images
        if isinstance(callback, Timer) and callback.time_remaining("train") is not None:
            elapsed = callback.time_elapsed("train")
            spent = elapsed / (elapsed + max(callback.time_remaining("train") or 0, 0))
    return min(spent, 1.0)


def cosine_decay(spent: float, decay_to: float) -> float:
    """1 where nothing is spent, `decay_to` where all is, on a half cosine between.

    Loshchilov and Hutter 2017 ("SGDR"), eq. 5, without restarts.
    """
    return decay_to + (1 - decay_to) * (1 + math.cos(math.pi * spent)) / 2
