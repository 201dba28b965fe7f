"""The evaluation of the generator during its training."""

import math
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks as lightning
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only

from facegan.core.errors import FaceganError
from facegan.core.tables import markdown_table
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
from facegan.gan.module import GAN
from facegan.networks.base import Generator
from facegan.training.callbacks import SaveNetworks
from facegan.training.checkpoints import Interruption
from facegan.training.metrics import MetricsLogger, print_line, tensorboards

REHEARSAL_FACES = 200  # enough to estimate how long an evaluation takes
EVALUATION_FACES = 2000  # a compromise between error and time
MEMORIZATION_LIMIT = 20_000  # training photographs
MEMORIZED = 0.05  # share of the faces, where 1% is expected


class EvaluateDuringTraining(Callback):
    """Every few epochs, the EMA's distance to the validation faces; keeps the best generator.

    With few validation photographs it is the kernel distance, which is logged with its error, and
    with fewer than FEW the training photographs take their place. Weights that copy training
    photographs are not kept as the best.

    The seeds are the same each time, so that a curve shows the training and not the sample.
    """

    def __init__(
        self,
        dataset: PackedDataset,
        metrics: MetricsLogger,
        every: int,
        networks: SaveNetworks,
        interruption: Interruption,
    ) -> None:
        """`every`: epochs between two evaluations."""
        self.interruption = interruption
        self.networks = networks
        self.dataset = dataset
        self.metrics = metrics
        self.every = every
        self.best = math.inf
        self.warned = False
        self.photographs: Photographs | None = None  # from `prepare` on
        self.held_out, self.training = (len(dataset.indices(split)) for split in ("val", "train"))
        # a generator can memorize few photographs; the search among many takes long
        self.memorization = FEW <= self.training <= MEMORIZATION_LIMIT
        self.few = self.held_out < MIN_FACES
        self.enough = self.held_out >= FEW or self.memorization
        # the best weights are those with the least
        self.score = "kernel_distance" if self.few else "frechet_distance"

    @property
    def best_distance(self) -> float | None:
        """The least distance so far; None if it was not measured."""
        return self.best if math.isfinite(self.best) else None

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
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    @cached_property
    def extractor(self) -> AttributeFeatures:
        return AttributeFeatures(self.dataset.image_size)

    @rank_zero_only
    def prepare(self, device: torch.device) -> None:
        """Computes the photographs' features, unless they are cached with the data set."""
        if self.enough and self.photographs is None:
            splits = ("val", "train") if self.memorization else ("val",)
            features = (
                split_features(self.dataset, split, self.extractor, device) for split in splits
            )
            self.photographs = Photographs(*features)

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        if not self.enough:
            print_line(
                f"no evaluation during training: it needs {FEW} photographs, there are "
                f"{self.training}"
            )
        elif self.few:
            many = self.held_out >= FEW
            used = f"{self.held_out} validation" if many else f"the {self.training} training"
            print_line(f"evaluation by {used} photographs: {self.score} with its error")

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        if not self.enough or (trainer.current_epoch + 1) % self.every:
            return
        measured = self.interruption.unless_interrupted(lambda: self._measure(gan.ema))
        if measured is None:
            print_line("the evaluation of this epoch is left out")
            return
        faces, scores = measured
        self._log_coverage(trainer, faces, gan.images_seen)
        copies = self._copies(scores) and self.best < math.inf
        improved = scores[self.score] < self.best and not copies
        if improved:
            self.best = scores[self.score]
        scores[f"best_{self.score}"] = self.best
        self.metrics.write(trainer, scores, gan.images_seen)
        # for EarlyStopping; not by self.log, which repeats a value in the epochs without one
        trainer.callback_metrics.update({name: torch.tensor(v) for name, v in scores.items()})
        if improved:
            self.networks.write_best(gan, **{self.score: str(self.best)})
        print_line("  ".join(f"{name} {value:.4g}" for name, value in scores.items()))

    def rehearse(self, generator: Generator) -> float:
        """About the seconds that one evaluation takes, measured on a part of its faces."""
        if not self.enough:
            return 0.0
        device = next(generator.parameters()).device
        once = time.perf_counter()
        self.extractor(generator.sample(REHEARSAL_FACES), device=device)
        return (time.perf_counter() - once) * EVALUATION_FACES / REHEARSAL_FACES

    def _log_coverage(self, trainer: pl.Trainer, faces: Comparison, images: int) -> None:
        held_out, generated = map(
            self.extractor.has_attributes, (faces.photographs.held_out, faces.images)
        )
        rows = [
            (share.name.replace("_", " "), f"{share.reference:.1%}", f"{share.generated:.1%}")
            for share in attribute_coverage(held_out, generated, self.extractor.attributes)
        ]
        table = markdown_table(("attribute", "val split", "generated"), rows, "coverage")
        for board in tensorboards(trainer):
            board.add_text("attribute coverage", table, images)

    def _measure(self, generator: Generator) -> tuple[Comparison, dict[str, float]]:
        device = next(generator.parameters()).device
        assert self.photographs is not None  # since `prepare`
        images = self.extractor(generator.sample(EVALUATION_FACES), device=device)
        faces = Comparison(self.photographs, images)
        scores = {metric.name: metric.value(faces) for metric in self.metrics_measured}
        if self.few:
            scores["kernel_distance_error"] = faces.kernel_distance.standard_error
            scores["photographs"] = len(faces.photographs.held_out)
        return faces, scores

    def _copies(self, scores: dict[str, float]) -> bool:
        """Whether the generator copies training photographs, which is reported once."""
        share = scores.get("memorization", 0)
        if share > MEMORIZED and not self.warned:
            self.warned = True
            print_line(
                f"warning: {share:.0%} of the faces are as close to a training photograph as 1% of "
                "other photographs are: the generator copies; such weights are not kept as the "
                "best ones; try model/augment=ada, or more photographs"
            )
        return share > MEMORIZED


def evaluation_seconds(trainer: pl.Trainer) -> float:
    """About the seconds of one evaluation of this training."""
    gan: Any = trainer.lightning_module
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return sum(c.rehearse(gan.ema) for c in callbacks if isinstance(c, EvaluateDuringTraining))


class EarlyStopping(lightning.EarlyStopping):
    """Lightning's, in the epochs that evaluate the generator (`evaluate_every`)."""

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        if self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, gan)
            del trainer.callback_metrics[self.monitor]  # the next epoch has its own value or none


def check_callback(
    name: str, callback: Callback, measured: Sequence[Metric], one_process: bool
) -> None:
    """Raises FaceganError for what is not a callback, or monitors what is not measured.

    `name`: in the config. The generator is evaluated in one process; others would wait for it.
    """
    if not isinstance(callback, Callback):
        raise FaceganError(
            f"callbacks.{name}: {type(callback).__name__} is not a Lightning callback; leave it out"
        )
    if not isinstance(callback, lightning.EarlyStopping):
        return
    if not one_process:
        raise FaceganError(
            f"callbacks.{name}: the generator is evaluated in one process, and the others would "
            "not stop; use one device, or leave it out"
        )
    names = [metric.name for metric in measured]
    if callback.monitor not in names:
        known = ", ".join(names) or "none: set evaluate_every=1, or use more photographs"
        raise FaceganError(
            f"callbacks.{name}.monitor={callback.monitor} is not measured in this training; its "
            f"metrics are {known}"
        )
