"""Metrics against the number of images seen: TensorBoard and metrics.jsonl."""

import json
import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.tensorboard.summary import hparams

from facegan.core.files import atomic_path, named_errors
from facegan.training.events import EventWriter
from facegan.training.health import check_losses
from facegan.training.protocols import TrainedModule, trained

HPARAMS_METRICS = (
    "best_frechet_distance",
    "frechet_distance",
    "kernel_distance",
    "precision",
    "recall",
    "images_per_second",
)


class RunTensorBoard(Logger):
    """TensorBoard's event files in the run folder itself."""

    def __init__(self, save_dir: Path, images_seen: int = 0) -> None:
        """Events of an earlier process with a step over `images_seen` are hidden."""
        super().__init__()
        self.folder = save_dir
        self.images_seen = images_seen

    @property
    def name(self) -> str:
        return "tensorboard"

    @property
    def version(self) -> str:
        return ""

    @cached_property
    @rank_zero_experiment
    def experiment(self) -> EventWriter:
        """The writer; on other ranks than the first, one that writes nothing."""
        return EventWriter(self.folder, self.images_seen)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        for name, value in metrics.items():
            self.experiment.add_scalar(name, value, step)

    @rank_zero_only
    def log_hyperparams(self, params: Any, metrics: Any = None, step: int | None = None) -> None:
        """Fills TensorBoard's table of hyperparameters, whose columns are HPARAMS_METRICS.

        The table shows the newest value of the curve of each name.
        """
        for summary in hparams(flatten(params), dict.fromkeys(HPARAMS_METRICS, 0.0)):
            self.experiment.events.add_summary(summary, step)


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested hyperparameters as {"model/loss/_target_": …}, with what is no number as text."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, int | float) else str(value)
    return flat


class JSONLLogger(Logger):
    """metrics.jsonl: one JSON object per line, with the step under "images"."""

    def __init__(self, path: Path, lines: int) -> None:
        """Keeps the first `lines` lines of an earlier process, which its checkpoint counts."""
        super().__init__()
        self.path = path
        self.lines = lines
        self._truncate()

    @rank_zero_only
    def _truncate(self) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        if len(lines) > self.lines:
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(b"".join(lines[: self.lines]))

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Nothing: the run folder's config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.lines += 1
        with named_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"images": step, **metrics}) + "\n")


class MetricsLogger(Callback):
    """Logs the means of a step's outputs, the speed and the learning rates every few steps.

    Sums stay on the device, which is synchronized only when they are logged. Raises FaceganError
    when a loss is not finite.
    """

    def __init__(self, every: int) -> None:
        """`every`: steps between two log entries."""
        self.every = every
        self.sums: dict[str, Tensor] = {}
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.latest: dict[str, float] = {}
        self.seconds = 0.0  # of training, over all tries of a run
        self.clock, self.images = 0.0, 0  # at the last log entry

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]
        self.sums = dict(state_dict["sums"])
        self.counts.update(state_dict["counts"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.clock = time.perf_counter()
        device = pl_module.device
        self.sums = {name: total.to(device) for name, total in self.sums.items()}
        self.images = trained(pl_module).images_seen

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # grids and evaluation between two epochs count as time, but not for the speed
        self._advance_clock()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        for name, value in outputs.items():
            value = value.float()  # sums of bfloat16 lose digits
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] += 1
        if (batch_idx + 1) % self.every == 0:
            self._log_means(trainer, trained(pl_module))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.counts:  # the last steps of an epoch
            self._log_means(trainer, trained(pl_module))

    def write(self, trainer: pl.Trainer, metrics: Mapping[str, float], images: int) -> None:
        """Sends `metrics` and the seconds of training so far to every logger."""
        for logger in trainer.loggers:
            logger.log_metrics({**metrics, "seconds": self.seconds}, step=images)

    def _log_means(self, trainer: pl.Trainer, module: TrainedModule) -> None:
        means = {name: (total / self.counts[name]).item() for name, total in self.sums.items()}
        self.sums.clear()
        self.counts.clear()
        images = module.images_seen - self.images
        self.images = module.images_seen
        self.latest = {**means, "images_per_second": images / self._advance_clock()}
        rates = {
            f"learning_rate/{name}": optimizer.param_groups[0]["lr"]
            for name, optimizer in module.optimizer_by_name.items()
        }
        metrics = {**self.latest, **rates, "epoch": trainer.current_epoch + 1}
        self.write(trainer, metrics, self.images)
        check_losses(means, self.images)

    def _advance_clock(self) -> float:
        """The seconds since the last call, which are added to `seconds`."""
        now = time.perf_counter()
        passed, self.clock = now - self.clock, now
        self.seconds += passed
        return passed
