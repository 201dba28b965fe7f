"""What a training prints: the progress bar, the remaining time, a line per epoch."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only

from facegan.training.loggers import MetricsLogger
from facegan.training.protocols import TrainedModule, trained
from facegan.training.schedule import Budget

WARMUP_STEPS = 3  # are not timed
FIRST_ESTIMATE, LINE_INTERVAL = 5.0, 10.0  # seconds
SLOW_SECONDS = 2 * 60 * 60  # on a CPU: a reason to name a lighter recipe


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, with epochs counted from 1 and the speed; losses go to the epoch's line."""

    def __init__(self, metrics: MetricsLogger) -> None:
        super().__init__(refresh_rate=10)
        self.metrics = metrics

    def on_train_epoch_start(self, trainer: pl.Trainer, *arguments: Any) -> None:
        super().on_train_epoch_start(trainer, *arguments)
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}")

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        latest = self.metrics.latest
        return {name: f"{latest[name]:.3g}" for name in ("D_loss", "G_loss") if name in latest}


class EpochSummary(Callback):
    """One line per epoch: the images seen and the newest means."""

    def __init__(self, metrics: MetricsLogger) -> None:
        self.metrics = metrics

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in self.metrics.latest.items())
        images = trained(pl_module).images_seen
        print_line(trainer, f"epoch {trainer.current_epoch + 1}: {images:,} images  {numbers}")


class ETA(Callback):
    """Prints the remaining time after a few seconds, and every ten seconds where no bar does.

    The clock is reset at each epoch, since grids and evaluation run between epochs.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.announced = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restart()  # an epoch that a resumed run goes on with has no start of its own

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restart()

    def _restart(self) -> None:
        self.steps = 0
        self.printed = time.perf_counter()

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        module = trained(pl_module)
        now = time.perf_counter()
        self.steps += 1
        if self.steps <= WARMUP_STEPS:
            self.start = (now, module.images_seen)
            return
        if not self.announced and now - self.start[0] >= FIRST_ESTIMATE:
            self._announce(trainer, module)
        elif now - self.printed >= LINE_INTERVAL and not has_progress_bar(trainer):
            self._print(trainer, module)

    def _speed(self, module: TrainedModule) -> float:
        clock, images = self.start
        return (module.images_seen - images) / (time.perf_counter() - clock)

    def _remaining(self, trainer: pl.Trainer, module: TrainedModule) -> float | None:
        total = self.budget.total_images(trainer, module)
        return (total - module.images_seen) / self._speed(module) if total is not None else None

    def _announce(self, trainer: pl.Trainer, module: TrainedModule) -> None:
        self.announced = True
        seconds = self._remaining(trainer, module)
        self._print(trainer, module)
        on_cpu = trainer.strategy.root_device.type == "cpu"
        if seconds is not None and seconds > SLOW_SECONDS and on_cpu:
            print_line(
                trainer,
                f"{format_duration(seconds)} is long: model=lite is the recipe for a CPU and takes "
                "minutes; or lower trainer.max_epochs",
            )

    def _print(self, trainer: pl.Trainer, module: TrainedModule) -> None:
        self.printed = time.perf_counter()
        seconds = self._remaining(trainer, module)
        left = f", about {format_duration(seconds)} to {self.budget}" if seconds is not None else ""
        print_line(
            trainer,
            f"epoch {trainer.current_epoch + 1}: {module.images_seen:,} images, "
            f"{self._speed(module):,.0f} images/s{left}",
        )


def has_progress_bar(trainer: pl.Trainer) -> bool:
    """Whether a bar is drawn."""
    bar = trainer.progress_bar_callback
    return isinstance(bar, ProgressBar) and bar.is_enabled


def print_line(trainer: pl.Trainer, text: str) -> None:
    """Prints a line, above the progress bar where there is one."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, ProgressBar) and bar.is_enabled:
        bar.print(text)
    else:
        print(text, flush=True)


def format_duration(seconds: float) -> str:
    """A rounded time with its unit: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
