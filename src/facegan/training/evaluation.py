"""The evaluation of the generator during its training."""

import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only

from facegan.data.dataset import PackedDataset
from facegan.evaluation.coverage import attribute_coverage
from facegan.evaluation.features import AttributeFeatures, split_features
from facegan.evaluation.metrics import (
    FEW,
    METRICS,
    MIN_FACES,
    Comparison,
    Metric,
    Photographs,
    metrics_for,
)
from facegan.networks.base import Generator
from facegan.networks.latents import latents
from facegan.training.board import boards, coverage_table
from facegan.training.loggers import MetricsLogger
from facegan.training.printing import print_line
from facegan.training.protocols import generative

REHEARSAL_FACES = 200  # enough to estimate how long an evaluation takes
EVALUATION_FACES = 2000  # a compromise between error and time
BEST_FILE = "generator-best.safetensors"
MEMORIZATION_LIMIT = 20_000  # training photographs
MEMORIZED = 0.05  # share of the faces, where 1% is expected


class EvaluateDuringTraining(Callback):
    """Every few epochs, the EMA's distance to the validation faces; keeps the best generator.

    With few validation photographs it is the kernel distance, whose error is logged beside it, and
    with fewer than FEW the training photographs are compared with. Weights that copy training
    photographs are not kept as the best.

    The seeds are the same each time, so that a curve shows the training and not the sample.
    """

    def __init__(
        self,
        folder: Path,
        dataset: PackedDataset,
        metrics: MetricsLogger,
        every: int,
        about: dict[str, str],
    ) -> None:
        """`every`: epochs between two evaluations. `about`: as in `SaveNetworks`."""
        self.folder = folder
        self.about = about
        self.dataset = dataset
        self.metrics = metrics
        self.every = every
        self.best = math.inf
        self.warned = False
        self.photographs: Photographs | None = None  # kept from the first evaluation on
        self.best_images_seen: int | None = None
        self.held_out, self.training = (len(dataset.indices(split)) for split in ("val", "train"))
        # of few photographs a generator can learn each by heart, of many it takes long to look
        self.memorization = FEW <= self.training <= MEMORIZATION_LIMIT
        self.few = self.held_out < MIN_FACES
        self.enough = self.held_out >= FEW or self.memorization
        # the best weights are those with the least
        self.score = "kernel_distance" if self.few else "frechet_distance"

    @property
    def metrics_measured(self) -> list[Metric]:
        """What an evaluation measures of these data."""
        if not self.enough:
            return []
        return [
            metric
            for metric in (metrics_for(FEW) if self.few else METRICS)
            if metric.during_training or (self.memorization and metric.name == "memorization")
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_images_seen": self.best_images_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
        self.best_images_seen = state_dict["best_images_seen"]

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.extractor = AttributeFeatures(self.dataset.image_size)
        training = self.training
        if not self.enough:
            print_line(
                trainer,
                f"no evaluation during training: it needs {FEW} photographs, there are {training}",
            )
        elif self.few:
            many = self.held_out >= FEW
            judges = f"{self.held_out} validation" if many else f"the {training} training"
            print_line(trainer, f"evaluation by {judges} photographs: {self.score} with its error")

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.enough or (trainer.current_epoch + 1) % self.every:
            return
        module = generative(pl_module)
        faces = self._compare(module.ema)
        scores = self._scores(faces)
        self._log_coverage(trainer, faces, module.images_seen)
        copies = self._copies(trainer, scores) and self.best < math.inf
        improved = scores[self.score] < self.best and not copies
        if improved:
            self.best = scores[self.score]
        scores[f"best_{self.score}"] = self.best
        self.metrics.write(trainer, scores, module.images_seen)
        # for EarlyStopping; not by self.log, which repeats a value in the epochs without one
        trainer.callback_metrics.update({name: torch.tensor(v) for name, v in scores.items()})
        if improved:
            self.best_images_seen = module.images_seen
            about = {
                "images_seen": str(module.images_seen),
                self.score: str(self.best),
                **self.about,
            }
            module.ema.save_pretrained(self.folder / BEST_FILE, about)
        print_line(trainer, "  ".join(f"{name} {value:.4g}" for name, value in scores.items()))

    def rehearse(self, generator: Generator) -> float:
        """About the seconds that one evaluation takes, measured on a part of its faces."""
        if not self.enough:
            return 0.0
        device = next(generator.parameters()).device
        split_features(self.dataset, "val", self.extractor, device=device)  # kept for the first one
        once = time.perf_counter()
        z = latents(range(REHEARSAL_FACES), generator.latent_dim)
        self.extractor(generator.draw(z), device=device)
        return (time.perf_counter() - once) * EVALUATION_FACES / REHEARSAL_FACES

    def _log_coverage(self, trainer: pl.Trainer, faces: Comparison, images: int) -> None:
        held_out, generated = map(
            self.extractor.has_attributes, (faces.photographs.held_out, faces.images)
        )
        shares = attribute_coverage(held_out, generated, self.extractor.attributes)
        for board in boards(trainer):
            board.add_text("attribute coverage", coverage_table(shares), images)

    def _compare(self, generator: Generator) -> Comparison:
        device = next(generator.parameters()).device
        if self.photographs is None:
            self.photographs = self._load_photographs(device)
        z = latents(range(EVALUATION_FACES), generator.latent_dim)
        return Comparison(self.photographs, self.extractor(generator.draw(z), device=device))

    def _load_photographs(self, device: torch.device) -> Photographs:
        held_out = split_features(self.dataset, "val", self.extractor, device=device)
        training = None
        if self.memorization:
            training = split_features(self.dataset, "train", self.extractor, device=device)
        return Photographs(held_out, training)

    def _scores(self, faces: Comparison) -> dict[str, float]:
        scores = {metric.name: metric.value(faces) for metric in self.metrics_measured}
        if self.few:
            scores["kernel_distance_error"] = faces.kernel_distance.standard_error
            scores["photographs"] = len(faces.photographs.held_out)
        return scores

    def _copies(self, trainer: pl.Trainer, scores: dict[str, float]) -> bool:
        """Whether the generator copies training photographs, which is said once."""
        share = scores.get("memorization", 0)
        if share > MEMORIZED and not self.warned:
            self.warned = True
            print_line(
                trainer,
                f"warning: {share:.0%} of the faces are as close to a training photograph as 1% of "
                "other photographs are: the generator copies; such weights are not kept as the "
                "best ones; try model/augment=ada, or more photographs",
            )
        return share > MEMORIZED
