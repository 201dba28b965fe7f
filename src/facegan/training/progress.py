"""What a training prints: a summary, a progress bar, the remaining time, its results."""

import math
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only

from facegan.data.datamodule import FaceDataModule
from facegan.gan.module import GAN
from facegan.latent.movement import LEAST
from facegan.training.metrics import MetricsLogger, print_line
from facegan.training.schedule import Budget

FIRST_ESTIMATE, LINE_INTERVAL = 5.0, 10.0  # seconds
# images of 28x28 until a new generator draws eyes, nose and mouth (docs/for-students.md)
ENOUGH = 20_000


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

    It is extrapolated from all that came after the first step: steps, grids, evaluations. A budget
    that is too short for faces is warned of.
    """

    def __init__(self, budget: Budget, from_weights: bool) -> None:
        self.budget = budget
        self.enough = LEAST if from_weights else ENOUGH  # images of 28x28

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.first: tuple[float, float, int] | None = None  # clock time, progress, images
        self.warned = False

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, gan: GAN, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        progress = self.budget.progress(trainer, gan, batch_idx + 1)
        if self.first is None:
            self.first, self.next_line = (now, progress, gan.images_seen), now + FIRST_ESTIMATE
        elif now >= self.next_line:
            self._print(trainer, gan, now, progress)
            has_bar = trainer.progress_bar_callback is not None
            self.next_line = math.inf if has_bar else now + LINE_INTERVAL

    def _print(self, trainer: pl.Trainer, gan: GAN, now: float, progress: float) -> None:
        assert self.first is not None
        clock, begun, images = self.first
        speed = (gan.images_seen - images) / (now - clock)
        left = (now - clock) * (1 - progress) / max(progress - begun, 1e-9)
        self._warn(gan, gan.images_seen + speed * left)
        print_line(
            f"epoch {trainer.current_epoch + 1}: {gan.images_seen:,} images, "
            f"{speed:,.{0 if speed >= 10 else 1}f} images/s, "
            f"about {format_duration(left)} to {self.budget}"
        )

    def _warn(self, gan: GAN, total: float) -> None:
        """Warns once if a budget of about `total` images is too short for faces."""
        size = gan.image_shape[-1]
        enough = self.enough * (size / 28) ** 2
        if total < enough and not self.warned:
            self.warned = True
            print_line(
                f"warning: about {total:,.0f} images are too few for faces of {size}x{size} "
                f"pixels, which need {enough:,.0f}: give {enough / total:.1f} times the budget, or "
                "a smaller data.image_size"
            )


def format_duration(seconds: float) -> str:
    """A rounded time with its unit: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
