"""The learning rates over a training."""

import math
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from facegan.core.checks import MANY, check_choice, check_number
from facegan.gan.module import GAN
from facegan.training.budget import Budget
from facegan.training.metrics import print_line

COOLDOWN = 0.3  # of the budget (benchmarks/recipes.md, round 12)
ROLLBACK_FACTOR = 0.5  # of the learning rates, at each rollback


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
