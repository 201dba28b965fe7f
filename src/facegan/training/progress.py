"""What a training prints: a summary, a progress bar, the remaining time, its results."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only

from facegan.data.datamodule import FaceDataModule
from facegan.gan.module import GAN
from facegan.latent.movement import LEAST
from facegan.training.budget import Budget
from facegan.training.metrics import MetricsLogger, print_line

WARMUP_STEPS = 2  # of an epoch, which are not timed
FIRST_ESTIMATE, LINE_INTERVAL = 5.0, 10.0  # seconds
# images of 28x28 until a new generator draws eyes, nose and mouth (docs/for-students.md)
ENOUGH = 20_000
SIZES = (64, 56, 32, 28)  # to suggest


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
    device = describe_device(trainer.strategy.root_device)
    if trainer.strategy.root_device.type == "cpu":
        gpu = "a GPU is not used" if torch.cuda.is_available() else "no GPU was found"
        device += f"; {gpu}, which is fine for small models"
    faces = f"faces of {dataset.image_size}x{dataset.image_size}"
    lines = {
        "device": f"{device}; {trainer.precision}",
        "data": ", ".join(f"{n:,} {split}" for split, n in counts.items()) + f" {faces}",
        "parameters": ", ".join(f"{n} {size / 1e6:.2f}M" for n, size in sizes.items() if size),
        "epoch": f"{batches * gan.batch_size:,} images in batches of {gan.batch_size}",
        "folder": str(trainer.default_root_dir),
    }
    for name, text in lines.items():
        print_line(f"{name:11}{text}")


@rank_zero_only
def warn_of_busy_cores() -> None:
    """Call it before the training's own work: a warning if other programs use the CPU's cores."""
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # not on Windows
    if threads > 1 and busy > cores / 2:
        print_line(
            f"warning: about {busy:.1f} of {cores} CPU cores were busy over the last minute, and a "
            f"step waits for the slowest of {threads} threads; if other programs go on, "
            "OMP_NUM_THREADS=1 before the command is many times as fast"
        )


def describe_device(device: torch.device) -> str:
    """The device's name, with the threads of a CPU and the memory of a GPU."""
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' * (threads > 1)}"
    if device.type != "cuda":
        return device.type.upper()
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.1f} GB"


@rank_zero_only
def print_results(folder: Path) -> None:
    """Prints the paths of the results."""
    for pattern in ("samples/*.gif", "*.safetensors", "fit-*profile.txt"):
        for path in sorted(folder.glob(pattern)):
            print_line(str(path))
    if any(folder.glob("events.out.tfevents.*")):
        print_line(f"tensorboard --logdir {folder} shows the curves")


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

    The speed is that of the current epoch's steps. What comes between two epochs (grid, evaluation)
    is expected to take as long as so far. A budget that is too short for faces is warned of.
    """

    def __init__(
        self, budget: Budget, from_weights: bool, estimate: Callable[[pl.Trainer], float]
    ) -> None:
        """`estimate`: the seconds of an evaluation, called before one has been timed."""
        self.budget = budget
        self.from_weights = from_weights
        self.estimate = estimate
        self.ends: list[float] = []  # seconds between two epochs
        self.ended: float | None = None  # clock time
        self.next_line: float | None = None  # clock time

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self._restart(gan)  # a resumed epoch has no start
        self.next_line = self.clock + FIRST_ESTIMATE
        self.warned = False
        total = self.budget.total_images(trainer, gan)
        if total is not None:
            self._warn(gan, total, faster=False)

    def on_train_epoch_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self._restart(gan)
        if self.ended is not None:
            self.ends.append(self.clock - self.ended)

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.ended = time.perf_counter()

    def _restart(self, gan: GAN) -> None:
        self.steps = 0
        self.clock, self.images = time.perf_counter(), gan.images_seen

    @rank_zero_only
    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        now = time.perf_counter()
        self.steps += 1
        if self.steps <= WARMUP_STEPS and now - self.clock < FIRST_ESTIMATE:
            self.clock, self.images = now, gan.images_seen
        elif self.next_line is not None and now >= self.next_line:
            self._print(trainer, gan, (gan.images_seen - self.images) / (now - self.clock))
            has_bar = trainer.progress_bar_callback is not None
            self.next_line = None if has_bar else now + LINE_INTERVAL

    def _print(self, trainer: pl.Trainer, gan: GAN, speed: float) -> None:
        text = f"epoch {trainer.current_epoch + 1}: {gan.images_seen:,} images, "
        text += f"{speed:,.{0 if speed >= 10 else 1}f} images/s"
        seconds = self.budget.seconds_left()
        if seconds is None:
            seconds = self._seconds_left(trainer, gan, speed)
        else:
            self._warn(gan, gan.images_seen + seconds * speed, faster=True)
        print_line(f"{text}, about {format_duration(seconds)} to {self.budget}")

    def _seconds_left(self, trainer: pl.Trainer, gan: GAN, speed: float) -> float:
        total = self.budget.total_images(trainer, gan) or 0
        left = max(total - gan.images_seen, 0)  # the last batch may go beyond
        if not self.ends:
            self.ends.append(self.estimate(trainer))
        ends = math.ceil(left / gan.batch_size / int(trainer.num_training_batches))
        return left / speed + ends * sum(self.ends) / len(self.ends)

    def _warn(self, gan: GAN, total: float, faster: bool) -> None:
        """`faster`: whether more images of a smaller size are in the budget."""
        text = too_short(self.budget, total, gan.image_shape[-1], self.from_weights, faster)
        if text and not self.warned:
            self.warned = True
            print_line(f"warning: {text}")


def too_short(
    budget: Budget, total: float, image_size: int, from_weights: bool, faster: bool
) -> str:
    """Why a budget of about `total` images is too short for faces, and what would do; else empty.

    `faster`: whether time ends the training, and a smaller size makes it faster.
    """

    def enough(size: int) -> float:
        return (LEAST if from_weights else ENOUGH) * (size / 28) ** 2

    def possible(size: int) -> float:
        return total * ((image_size / size) ** 2 if faster else 1)

    if total >= enough(image_size):
        return ""
    smaller = [size for size in SIZES if size < image_size and possible(size) >= enough(size)]
    remedy = f"{budget.times(enough(image_size) / max(total, 1))} would do"
    if smaller:
        remedy += f", or data.image_size={smaller[0]}"
    return (
        f"about {total:,.0f} images are too few for faces of {image_size}x{image_size} pixels, "
        f"which need {enough(image_size):,.0f}; {remedy}"
    )


def format_duration(seconds: float) -> str:
    """A rounded time with its unit: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
