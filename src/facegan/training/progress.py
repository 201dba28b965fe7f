"""What a training prints: a summary, a progress bar, the remaining time, its results."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only

from facegan.data.datamodule import FaceDataModule
from facegan.gan.module import GAN
from facegan.training.devices import describe_device
from facegan.training.metrics import MetricsLogger, print_line
from facegan.training.schedule import Budget

WARMUP_STEPS = 2  # of an epoch, which are not timed
FIRST_ESTIMATE, LINE_INTERVAL = 5.0, 10.0  # seconds


@rank_zero_only
def print_summary(gan: GAN, data: FaceDataModule, trainer: pl.Trainer) -> None:
    """Prints device, data, parameters, length of an epoch and folder."""
    dataset = data.dataset
    counts = dataset.manifest["counts"]
    sizes = {
        name: sum(p.numel() for p in part.parameters() if p.requires_grad)
        for name, part in gan.named_children()
    }
    batches, limit = data.passes * counts["train"] // gan.batch_size, trainer.limit_train_batches
    batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
    faces = f"faces of {dataset.image_size}x{dataset.image_size}"
    lines = {
        "device": f"{describe_device(trainer.strategy.root_device)}; {trainer.precision}",
        "data": ", ".join(f"{n:,} {split}" for split, n in counts.items()) + f" {faces}",
        "parameters": ", ".join(f"{n} {size / 1e6:.2f}M" for n, size in sizes.items() if size),
        "epoch": f"{batches * gan.batch_size:,} images in batches of {gan.batch_size}",
        "folder": str(trainer.default_root_dir),
    }
    for name, text in lines.items():
        print_line(f"{name:11}{text}")


@rank_zero_only
def print_results(folder: Path) -> None:
    """Prints the paths of the results."""
    for pattern in ("samples/*.gif", "*.safetensors", "fit-*profile.txt"):
        for path in sorted(folder.glob(pattern)):
            print_line(str(path))
    if any(folder.glob("events.out.tfevents.*")):
        print_line(f"tensorboard --logdir {folder} shows the curves")
    else:
        print_line(f"{folder / 'metrics.jsonl'}: the curves")


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, with epochs counted from 1 and the newest losses."""

    def __init__(self, metrics: MetricsLogger) -> None:
        super().__init__(refresh_rate=10)
        self.metrics = metrics

    def on_train_epoch_start(self, trainer: pl.Trainer, *arguments: Any) -> None:
        super().on_train_epoch_start(trainer, *arguments)
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}")

    def get_metrics(self, trainer: pl.Trainer, gan: GAN) -> dict[str, Any]:
        latest = self.metrics.latest
        return {name: f"{latest[name]:.3g}" for name in ("D_loss", "G_loss") if name in latest}


class ETA(Callback):
    """Prints the remaining time after a few seconds; without a progress bar, every ten seconds.

    The clock starts again with each epoch, since grids and evaluation run between epochs.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.next_line: float | None = None  # clock time

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self._restart()  # a resumed epoch has no start
        self.next_line = self.clock + FIRST_ESTIMATE

    def on_train_epoch_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self._restart()

    def _restart(self) -> None:
        self.steps = 0
        self.clock = time.perf_counter()

    @rank_zero_only
    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        now = time.perf_counter()
        self.steps += 1
        if self.steps <= WARMUP_STEPS:
            self.clock, self.images = now, gan.images_seen
        elif self.next_line is not None and now >= self.next_line:
            self._print(trainer, gan, (gan.images_seen - self.images) / (now - self.clock))
            has_bar = trainer.progress_bar_callback is not None
            self.next_line = None if has_bar else now + LINE_INTERVAL

    def _print(self, trainer: pl.Trainer, gan: GAN, speed: float) -> None:
        text = f"epoch {trainer.current_epoch + 1}: {gan.images_seen:,} images, "
        text += f"{speed:,.{0 if speed >= 10 else 1}f} images/s"
        total = self.budget.total_images(trainer, gan)
        if total is not None:
            seconds = (total - gan.images_seen) / speed
            text += f", about {format_duration(seconds)} to {self.budget}"
        print_line(text)


def format_duration(seconds: float) -> str:
    """A rounded time with its unit: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
