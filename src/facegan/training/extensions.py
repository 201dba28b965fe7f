"""Loggers and callbacks that a user adds by the config groups `logger` and `callbacks`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    Callback,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)
from pytorch_lightning.callbacks import EarlyStopping as LightningEarlyStopping
from pytorch_lightning.loggers import Logger

from facegan.cli.config import ConfigError, accepted, instantiate

MANUAL = "needs Lightning's automatic optimization, and a GAN is optimized manually; leave it out"
CONFLICTS: dict[type[Callback], str] = {
    ModelCheckpoint: "would be a second writer of checkpoints/; the run keeps its last state and "
    "its best generator by itself: leave it out",
    Timer: "would be a second end of the training; give trainer.max_time=00:10:00 instead",
    ProgressBar: "would be a second progress bar; leave it out",
    BatchSizeFinder: MANUAL,
    GradientAccumulationScheduler: MANUAL,
    LearningRateFinder: MANUAL,
    StochasticWeightAveraging: MANUAL,
    WeightAveraging: "would be a second moving average; set model.ema_halflife instead",
}


class EarlyStopping(LightningEarlyStopping):
    """Lightning's, in the epochs that evaluate the generator (`evaluate_every`)."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)
            del trainer.callback_metrics[self.monitor]  # it is no measurement of the next epoch


def extra_loggers(nodes: Mapping[str, Any], folder: Path, images_seen: int) -> list[Logger]:
    """The loggers of the config group `logger`, which write to the run folder."""
    offered = {"save_dir": folder, "images_seen": images_seen}
    loggers = []
    for name, node in nodes.items():
        try:
            loggers.append(instantiate(node, f"logger.{name}", **accepted(node, offered)))
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"logger={name}: {error}; install it by pip install -e '.[{name}]'"
            ) from error
    return loggers


def extra_callbacks(nodes: Mapping[str, Any], one_process: bool) -> dict[str, Callback]:
    """The callbacks of the config group `callbacks` by name.

    Raises ConfigError for what cannot work.
    """
    callbacks = {name: instantiate(node, f"callbacks.{name}") for name, node in nodes.items()}
    for name, callback in callbacks.items():
        for kind, reason in CONFLICTS.items():
            if isinstance(callback, kind):
                raise ConfigError(f"callbacks.{name}: {kind.__name__} {reason}")
        if isinstance(callback, LightningEarlyStopping) and not one_process:
            raise ConfigError(
                f"callbacks.{name}: the generator is evaluated in one process, and the others "
                "would not stop; use one device, or leave it out"
            )
    return callbacks


def check_monitors(callbacks: Mapping[str, Callback], measured: Sequence[str]) -> None:
    """Raises ConfigError for a callback that monitors a metric which is not in `measured`.

    It would wait for the metric during the whole training.
    """
    for name, callback in callbacks.items():
        if isinstance(callback, LightningEarlyStopping) and callback.monitor not in measured:
            known = ", ".join(measured) or "none: set evaluate_every=1, or use more photographs"
            raise ConfigError(
                f"callbacks.{name}.monitor={callback.monitor} is not measured in this training; "
                f"its metrics are {known}"
            )
