"""What a run logs against the number of images seen: metrics.jsonl, TensorBoard, lines of text."""

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from facegan.core.checks import check_number
from facegan.core.files import check_regular, named_errors, write_bytes
from facegan.core.images import to_pil
from facegan.core.nested import flatten
from facegan.core.run_files import METRICS_FILE, read_lines
from facegan.evaluation.metrics import METRICS
from facegan.gan.module import GAN

HPARAMS_METRICS = (
    "best_frechet_distance",
    "frechet_distance",
    "kernel_distance",
    "precision",
    "recall",
    "images_per_second",
)


@rank_zero_only
def print_line(text: str) -> None:
    """Prints a line once for all processes, above the progress bar if one is drawn."""
    tqdm.write(text)
    print(end="", flush=True)


class RunTensorBoard(TensorBoardLogger):
    """Lightning's logger with its event files in the run folder itself.

    Events of an earlier process with a step over `images_seen` are hidden.
    """

    def __init__(self, save_dir: Path, images_seen: int = 0) -> None:
        super().__init__(save_dir, name="", version="", purge_step=images_seen + 1)

    @rank_zero_only
    def log_hyperparams(self, params: Any, metrics: Any = None, step: int | None = None) -> None:
        """Fills the table of hyperparameters, and lays out the page "Custom Scalars".

        The columns of the table are HPARAMS_METRICS, the newest values of the curves. Lightning's
        method would add a first value to each curve.
        """
        flat = flatten(params, "/").items()
        values = {name: v if isinstance(v, int | float) else str(v) for name, v in flat}
        for summary in hparams(values, dict.fromkeys(HPARAMS_METRICS, 0.0)):
            self.experiment.file_writer.add_summary(summary, step)
        self.experiment.add_custom_scalars(layout())

    @rank_zero_only
    def save(self) -> None:
        """Flushes the event file. Lightning's method would also write hparams.yaml."""
        self.experiment.flush()


class RunCSV(CSVLogger):
    """Lightning's logger of a table, csv/metrics.csv in the run folder.

    It begins with the rows of metrics.jsonl, which a resumed run keeps up to its checkpoint.
    """

    def __init__(self, save_dir: Path, name: str = "csv", version: str = "") -> None:
        super().__init__(save_dir, name, version)
        if not Path(self.log_dir).resolve().is_relative_to(Path(save_dir).resolve()):
            raise ValueError(f"name must be a folder inside of the run, got {name}/{version}")

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        begins = self._experiment is None
        writer = super().experiment
        for line in read_lines(Path(self.save_dir) / METRICS_FILE) if begins else ():
            writer.log_metrics(line, step=line.pop("images"))
        return writer


def layout() -> dict[str, dict[str, list[Any]]]:
    """The page "Custom Scalars": category -> title -> chart. A tag is a regular expression."""
    return {
        "training": {
            "losses": ["Multiline", ["^D_loss$", "^G_loss$"]],
            "D's logits": ["Multiline", ["^D_real_logits$", "^D_fake_logits$"]],
            "penalties": ["Multiline", ["^R1$", "^R2$", "^GP$"]],
        },
        "quality": {
            metric.label: ["Multiline", [f"^{metric.name}$"]]
            for metric in METRICS
            if metric.during_training
        },
        "speed": {
            "images per second": ["Multiline", ["^images_per_second$"]],
            "learning rates": ["Multiline", ["^learning_rate/"]],
        },
    }


def tensorboards(trainer: pl.Trainer) -> list[SummaryWriter]:
    """The writers of TensorBoard's event files."""
    return [each.experiment for each in trainer.loggers if isinstance(each, TensorBoardLogger)]


def log_image(trainer: pl.Trainer, name: str, image: Tensor, images_seen: int) -> None:
    """Logs an image, (C, H, W) uint8, to every logger that accepts images."""
    for board in tensorboards(trainer):
        board.add_image(name, image, images_seen)
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [to_pil(image)], step=images_seen)
        elif isinstance(logger, MLFlowLogger):
            file = f"{name}/{images_seen:09}.png"
            logger.experiment.log_image(str(logger.run_id), to_pil(image), artifact_file=file)


class MetricsFile:
    """metrics.jsonl: one JSON object per line, with the step under "images"."""

    def __init__(self, path: Path, lines: int = 0) -> None:
        """Keeps the first `lines` lines of an earlier process, which its checkpoint counted."""
        self.path = path
        self.lines = lines
        check_regular(path)
        written = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        if len(written) > lines and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            write_bytes(path, b"".join(written[:lines]))

    @rank_zero_only
    def write_line(self, values: Mapping[str, Any]) -> None:
        self.lines += 1
        with named_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


class MetricsLogger(Callback):
    """Logs the means of a step's outputs, the speed and the learning rates every few steps.

    Sums stay on the device, which is synchronized only when they are logged. The newest means are
    printed after every epoch.
    """

    def __init__(self, every: int, file: MetricsFile) -> None:
        """`every`: steps between two log entries."""
        check_number("log_every_n_steps", every, 1, 10**6)
        self.every = every
        self.file = file
        self.sums: dict[str, Tensor] = {}
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.latest: dict[str, float] = {}
        self.seconds = 0.0  # of training, over all processes of the run
        self.clock, self.images = 0.0, 0  # at the last log entry

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]
        self.sums = dict(state_dict["sums"])
        self.counts.update(state_dict["counts"])

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.clock = time.perf_counter()
        self.sums = {name: total.to(gan.device) for name, total in self.sums.items()}
        self.images = gan.images_seen

    def on_train_epoch_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        # grids and evaluation between two epochs count as time, but not for the speed
        self._advance_clock()

    def on_train_batch_end(
        self, trainer: pl.Trainer, gan: GAN, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        for name, value in outputs.items():
            value = value.float()  # sums of bfloat16 lose digits
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] += 1
        if (batch_idx + 1) % self.every == 0:
            self._log_means(trainer, gan)

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        if self.counts:  # the last steps of an epoch
            self._log_means(trainer, gan)
        values = [f"{name} {value:.4g}" for name, value in self.latest.items()]
        first = f"epoch {trainer.current_epoch + 1}: {gan.images_seen:,} images"
        print_line("  ".join([first, *values]))

    def write(self, trainer: pl.Trainer, metrics: Mapping[str, float], images: int) -> None:
        """Logs `metrics` and the seconds of training so far to the file and every logger."""
        values = {**metrics, "seconds": self.seconds}
        self.file.write_line({"images": images, **values})
        for logger in trainer.loggers:
            logger.log_metrics(values, step=images)

    def _log_means(self, trainer: pl.Trainer, gan: GAN) -> None:
        means = {name: (total / self.counts[name]).item() for name, total in self.sums.items()}
        self.sums.clear()
        self.counts.clear()
        images = gan.images_seen - self.images
        self.images = gan.images_seen
        self.latest = {**means, "images_per_second": images / self._advance_clock()}
        rates = {
            f"learning_rate/{name}": optimizer.param_groups[0]["lr"]
            for name, optimizer in gan.optimizer_by_name.items()
        }
        metrics = {**self.latest, **rates, "epoch": trainer.current_epoch + 1}
        self.write(trainer, metrics, self.images)

    def _advance_clock(self) -> float:
        """The seconds since the last call, which are added to `seconds`."""
        now = time.perf_counter()
        passed, self.clock = now - self.clock, now
        self.seconds += passed
        return passed
