"""What a training prints: the progress bar, the remaining time, a line per epoch."""

import shutil
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only

from facegan.training.loggers import MetricsLogger
from facegan.training.printing import has_progress_bar, print_line
from facegan.training.protocols import TrainedModule, trained
from facegan.training.schedule import Budget

WARMUP_STEPS, WARMUP = 3, 2.5  # steps, or seconds, that are not timed; the first step never is
FIRST_ESTIMATE, LINE_INTERVAL = 5.0, 9.0  # seconds
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
        images = trained(pl_module).images_seen
        values = [f"{name} {value:.4g}" for name, value in self.metrics.latest.items()]
        parts = [f"epoch {trainer.current_epoch + 1}: {images:,} images", *values]
        print_line(trainer, fold(parts) if has_progress_bar(trainer) else "  ".join(parts))


def fold(parts: Sequence[str]) -> str:
    """Lines of at most the terminal's width, broken between `parts`, never within one."""
    text = "  ".join(part.replace(" ", "\xa0") for part in parts)
    width = shutil.get_terminal_size().columns
    return textwrap.fill(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ).replace("\xa0", " ")


class Heartbeat:
    """Calls a function every few seconds in a thread, also while a step takes long."""

    def __init__(self, call: Callable[[], None], interval: float) -> None:
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(call, interval), daemon=True)
        self.thread.start()

    def _run(self, call: Callable[[], None], interval: float) -> None:
        while not self.stopped.wait(interval):
            call()

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()


class ETA(Callback):
    """Prints the remaining time after a few seconds; where there is no bar, a line every ten.

    The clock is reset at each epoch, since grids and evaluation run between epochs.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.announced = False
        self.heartbeat: Heartbeat | None = None
        self.epoch_ended: float | None = None  # None within an epoch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restart()  # an epoch that a resumed run goes on with has no start of its own
        if trainer.is_global_zero and not has_progress_bar(trainer):
            module = trained(pl_module)
            self.heartbeat = Heartbeat(
                lambda: print_line(trainer, self.status(trainer, module)), LINE_INTERVAL
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restart()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epoch_ended = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._stop()

    def _restart(self) -> None:
        self.steps = 0
        self.began = time.perf_counter()
        self.epoch_ended = None
        self.speed: float | None = None  # images/s

    def _stop(self) -> None:
        if self.heartbeat is not None:
            self.heartbeat.stop()
            self.heartbeat = None

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        module = trained(pl_module)
        now = time.perf_counter()
        self.steps += 1
        warm = self.steps > WARMUP_STEPS or now - self.began >= WARMUP
        if self.steps == 1 or not warm:
            self.start = (now, module.images_seen)
            return
        clock, images = self.start
        self.speed = (module.images_seen - images) / (now - clock)
        if not self.announced and now - self.began >= FIRST_ESTIMATE:
            self._announce(trainer, module)

    def status(self, trainer: pl.Trainer, module: TrainedModule) -> str:
        """What the training does and, once some steps are timed, when it will end."""
        text = f"epoch {trainer.current_epoch + 1}: {module.images_seen:,} images"
        if self.epoch_ended is not None:
            seconds = time.perf_counter() - self.epoch_ended
            return f"{text}; saving and evaluating the generator, {seconds:.0f} s so far"
        if self.speed is None:
            return f"{text}; the first steps are timed"
        remaining = self._remaining(trainer, module)
        left = "" if remaining is None else f", about {format_duration(remaining)} to {self.budget}"
        return f"{text}, {self.speed:,.{0 if self.speed >= 10 else 1}f} images/s{left}"

    def _remaining(self, trainer: pl.Trainer, module: TrainedModule) -> float | None:
        total = self.budget.total_images(trainer, module)
        if total is None or self.speed is None:
            return None
        return (total - module.images_seen) / self.speed

    def _announce(self, trainer: pl.Trainer, module: TrainedModule) -> None:
        self.announced = True
        print_line(trainer, self.status(trainer, module))
        seconds = self._remaining(trainer, module)
        on_cpu = trainer.strategy.root_device.type == "cpu"
        if seconds is not None and seconds > SLOW_SECONDS and on_cpu:
            print_line(
                trainer,
                f"{format_duration(seconds)} is long: model=lite is the recipe for a CPU and takes "
                "minutes; or lower trainer.max_epochs",
            )


def format_duration(seconds: float) -> str:
    """A rounded time with its unit: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
