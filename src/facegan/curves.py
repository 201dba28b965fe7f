"""A training in numbers, against images seen: TensorBoard, metrics.jsonl, the progress bar."""

import json
import math
import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from facegan.budget import goal, images_seen
from facegan.errors import FaceganError
from facegan.files import replacing

ESTIMATE_AFTER = 100  # steps
WARM_UP = 5  # steps that tell nothing of the speed
SLOW_SECONDS = 2 * 60 * 60  # on a CPU: time to name a lighter recipe


class RunTensorBoard(TensorBoardLogger):
    """TensorBoard's events right in the run folder, whose config.yaml holds the hyperparameters."""

    NAME_HPARAMS_FILE = "config.yaml"

    def __init__(self, folder: Path, after: int) -> None:
        """Events of an earlier try with a step over `after` are hidden."""
        super().__init__(
            folder.parent, folder.name, version="", default_hp_metric=False, purge_step=after + 1
        )

    @rank_zero_only
    def log_hyperparams(self, params: Any, metrics: Any = None, step: int | None = None) -> None:
        """Shows the config on TensorBoard's page of hyperparameters, which wants a metric."""
        super().log_hyperparams(params, metrics or {"hp/images": 0}, step)


class JsonLines(Logger):
    """metrics.jsonl: one JSON object a line, appended, with the step under "images"."""

    def __init__(self, path: Path, after: int) -> None:
        """Lines of an earlier try with more than `after` images are dropped."""
        super().__init__()
        self.path = path
        self._forget(after)

    @rank_zero_only
    def _forget(self, after: int) -> None:
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        if lines and not lines[-1].endswith("\n"):  # the try was killed while it wrote this one
            lines[-1] = json.dumps({"images": math.inf})
        kept = [line for line in lines if json.loads(line)["images"] <= after]
        if len(kept) < len(lines):
            with replacing(self.path) as temporary:
                temporary.write_text("".join(kept))

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """The run folder's config.yaml has them already."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"images": step, **metrics}) + "\n")


class Curves(Callback):
    """Means of what a step logs, the speed and the learning rates, every few steps.

    Sums stay on the device, so that it is waited for only when they are read. Stops a training
    whose losses are no longer numbers.
    """

    def __init__(self, every: int) -> None:
        """`every`: steps between two readings."""
        self.every = every
        self.sums: dict[str, Tensor] = {}
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.latest: dict[str, float] = {}
        self.seconds = 0.0  # of training, over all the tries of a run
        self.clock, self.images = 0.0, 0  # at the last reading

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.clock, self.images = time.perf_counter(), images_seen(pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # what lies between two epochs, pictures and measures, counts as time but not as speed
        self._pass_time()

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
            self._read(trainer, pl_module)

    def _read(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        means = {name: (total / self.counts[name]).item() for name, total in self.sums.items()}
        self.sums.clear()
        self.counts.clear()
        images, before = images_seen(pl_module), self.images
        self.images = images
        self.latest = {**means, "images_per_second": (images - before) / self._pass_time()}
        rates = {
            f"learning_rate/{i}": optimizer.param_groups[0]["lr"]
            for i, optimizer in enumerate(trainer.optimizers)
        }
        told = {**self.latest, **rates, "epoch": trainer.current_epoch + 1, "seconds": self.seconds}
        for logger in trainer.loggers:
            logger.log_metrics(told, step=images)
        _check_finite(means, images)

    def _pass_time(self) -> float:
        """The seconds since it was last called, which join the run's."""
        now = time.perf_counter()
        passed, self.clock = now - self.clock, now
        self.seconds += passed
        return passed

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.counts:  # an epoch's last steps, wherever it ended
            self._read(trainer, pl_module)
        self._tell(trainer, pl_module)

    @rank_zero_only
    def _tell(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in self.latest.items())
        images = images_seen(pl_module)
        say(trainer, f"epoch {trainer.current_epoch + 1}: {images:,} images  {numbers}")


class ProgressBar(TQDMProgressBar):
    """Lightning's bar with the newest numbers of the curves."""

    def __init__(self, curves: Curves) -> None:
        super().__init__(refresh_rate=10)
        self.curves = curves

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return {name: f"{value:.3g}" for name, value in self.curves.latest.items()}


class Estimate(Callback):
    """After the first hundred steps, how long it will all take."""

    def __init__(self) -> None:
        self.steps = 0
        self.start = (0.0, 0)  # (clock, images)

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        self.steps += 1
        if self.steps == WARM_UP:
            self.start = (time.perf_counter(), images_seen(pl_module))
        elif self.steps == ESTIMATE_AFTER:
            self._tell(trainer, images_seen(pl_module))

    def _tell(self, trainer: pl.Trainer, images: int) -> None:
        clock, before = self.start
        speed = (images - before) / (time.perf_counter() - clock)
        total, end = goal(trainer)
        if not total:
            return
        seconds = (total - images) / speed
        say(trainer, f"{speed:,.0f} images/s: about {duration(seconds)} to {end}")
        if trainer.strategy.root_device.type == "cpu" and seconds > SLOW_SECONDS:
            say(
                trainer,
                "that is long: model=lite is the recipe for a CPU; or lower trainer.max_epochs",
            )


def seconds(trainer: pl.Trainer) -> float:
    """How long the run has been training, over all its tries."""
    return next(c for c in trainer.callbacks if isinstance(c, Curves)).seconds  # type: ignore[attr-defined]


def say(trainer: pl.Trainer, text: str) -> None:
    """Prints a line, above the progress bar where there is one."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, ProgressBar) and bar.is_enabled:
        bar.print(text)
    else:
        print(text, flush=True)


def duration(seconds: float) -> str:
    """A time as a person says it: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _check_finite(means: dict[str, float], images: int) -> None:
    lost = [name for name, value in means.items() if not math.isfinite(value)]
    if lost:
        raise FaceganError(
            f"{', '.join(lost)} became nan or infinite after {images:,} images: the training has "
            "diverged; try half of the learning rates, or a stronger model/penalty; "
            "the last good epoch is in checkpoints/"
        )
