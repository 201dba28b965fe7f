"""The registry of metrics: generated faces against photographs, as features.

A new metric is one function and one entry of METRICS. It is then part of the table, of
evaluation.json, of the page and, with `during_training`, of the evaluation during training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from facegan.evaluation import distances, neighbours

MIN_FACES = 50  # on either side; with fewer most metrics are meaningless
PRIMARY = "frechet_distance"  # the metric by which runs are sorted and compared
FEW = 20  # held-out photographs; with fewer the training photographs are used


class Photographs:
    """Features of the held-out photographs, (N, D), and of the training photographs, (M, D).

    `training` may be None for metrics that do not use it. With fewer than FEW held-out photographs,
    the training photographs take their place, each compared with the others.

    `seen`: `held_out` contains training photographs, as papers compute FID. Memorization and the
    values of real photographs, which need others, are then not measured.
    """

    def __init__(
        self, held_out: Tensor, training: Tensor | None = None, *, seen: bool = False
    ) -> None:
        self.seen = seen
        self.leave_one_out = training is not None and len(held_out) < FEW
        self.held_out = held_out
        self.training = training
        if training is not None and self.leave_one_out:
            self.held_out = training

    @cached_property
    def statistics(self) -> distances.GaussianStatistics:
        """Of the held-out photographs."""
        return distances.gaussian_statistics(self.held_out)

    @cached_property
    def held_out_nearest_training(self) -> tuple[Tensor, Tensor]:
        """`nearest_training` of the held-out photographs."""
        if self.training is not None and self.leave_one_out:
            return neighbours.leave_one_out(self.training)
        return self.nearest_training(self.held_out)

    def nearest_training(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (K,) of `images` (K, D) to the nearest training photographs, and their rows."""
        assert self.training is not None
        return neighbours.nearest_neighbours(images, self.training)


class Comparison:
    """Features (K, D) of some images, compared with photographs.

    Results that several metrics share are computed once. With `count`, distances use that many of
    the images, since their bias depends on it.
    """

    def __init__(self, photographs: Photographs, images: Tensor, count: int | None = None) -> None:
        self.photographs = photographs
        self.images = images
        self.sample = images if count is None else distances.subsample(images, count)

    @cached_property
    def statistics(self) -> distances.GaussianStatistics:
        return distances.gaussian_statistics(self.sample)

    @cached_property
    def kernel_distance(self) -> distances.KernelDistance:
        return distances.kernel_distance(self.photographs.held_out, self.sample)

    @cached_property
    def precision_recall(self) -> tuple[float, float]:
        return neighbours.precision_recall(*self._balanced)

    @cached_property
    def density_coverage(self) -> tuple[float, float]:
        return neighbours.density_coverage(*self._balanced)

    @cached_property
    def nearest_training(self) -> tuple[Tensor, Tensor]:
        """The distance of each image to the nearest training photograph, and its row: (K,) each."""
        if self.images is self.photographs.held_out:
            return self.photographs.held_out_nearest_training
        return self.photographs.nearest_training(self.images)

    @cached_property
    def _balanced(self) -> tuple[Tensor, Tensor]:
        """As many held-out photographs as images: recall and coverage depend on the counts."""
        held_out = self.photographs.held_out
        count = min(len(held_out), len(self.sample))
        return distances.subsample(held_out, count), distances.subsample(self.images, count)


@dataclass(frozen=True)
class Quantity:
    """What a report shows."""

    name: str
    label: str
    description: str
    better: Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric(Quantity):
    """A quantity that is computed from features.

    `reference` names the photographs that take the place of the generated faces in the column of
    real photographs. `interval` is of 95%.
    """

    value: Callable[[Comparison], float]
    interval: Callable[[Comparison], tuple[float, float]] | None = None
    standard_error: Callable[[Comparison], float] | None = None
    reference: Literal["training", "held_out"] = "training"
    during_training: bool = False
    least: int = MIN_FACES  # number of held-out photographs


@dataclass(frozen=True)
class Measure:
    """A metric's value, its value for photographs in place of the faces, and its uncertainty.

    `reference` is None if these photographs are those that the faces are compared with.
    """

    value: float
    reference: float | None
    low: float | None = None  # of a 95% interval
    high: float | None = None
    standard_error: float | None = None


def _memorization(faces: Comparison) -> float:
    fake, _ = faces.nearest_training
    held_out, _ = faces.photographs.held_out_nearest_training
    return neighbours.memorized_share(fake, held_out)


METRICS = (
    Metric(
        "frechet_distance",
        "Fréchet distance",
        "distance between Gaussians fitted to generated and held-out faces",
        "lower",
        lambda faces: distances.frechet_distance(faces.photographs.statistics, faces.statistics),
        interval=lambda faces: distances.frechet_interval(
            faces.photographs.statistics, faces.sample
        ),
        during_training=True,
    ),
    Metric(
        "kernel_distance",
        "kernel distance",
        "squared maximum mean discrepancy: unbiased, without the assumption of Gaussians",
        "lower",
        lambda faces: faces.kernel_distance.value,
        standard_error=lambda faces: faces.kernel_distance.standard_error,
        during_training=True,
        least=2,
    ),
    Metric(
        "precision",
        "precision",
        "share of generated faces that lie among the held-out ones: quality",
        "higher",
        lambda faces: faces.precision_recall[0],
        during_training=True,
    ),
    Metric(
        "recall",
        "recall",
        "share of held-out faces that lie among the generated ones: variety",
        "higher",
        lambda faces: faces.precision_recall[1],
        during_training=True,
    ),
    Metric(
        "density",
        "density",
        "how densely held-out faces surround the generated ones: quality, may exceed 1",
        "higher",
        lambda faces: faces.density_coverage[0],
    ),
    Metric(
        "coverage",
        "coverage",
        "share of held-out faces with a generated one nearby: variety",
        "higher",
        lambda faces: faces.density_coverage[1],
    ),
    Metric(
        "memorization",
        "memorization",
        "share of generated faces as close to a training face as the closest 1% of held-out ones",
        "lower",
        _memorization,
        reference="held_out",
        least=2,
    ),
)


OBEDIENCE = Quantity(
    "obedience",
    "obedience",
    "balanced accuracy of a classifier on the labels that the faces were ordered with",
    "higher",
)
QUANTITIES: tuple[Quantity, ...] = (*METRICS, OBEDIENCE)


@dataclass(frozen=True)
class NearestPairs:
    """The generated faces that are closest to a training face, closest first."""

    generated: list[int]  # rows of the generated faces
    training: list[int]  # rows of the training faces, each the nearest to its generated face
    distances: list[float]


def measure(faces: Comparison) -> dict[Metric, Measure]:
    """Every metric of `faces`, with its value for photographs as the reference."""
    photographs = faces.photographs
    assert photographs.training is not None
    references = {"held_out": Comparison(photographs, photographs.held_out)}
    if not (photographs.leave_one_out or photographs.seen):
        references["training"] = Comparison(photographs, photographs.training, len(faces.sample))
    return {
        metric: _measure(metric, faces, references.get(metric.reference))
        for metric in metrics_for(len(photographs.held_out), photographs.seen)
    }


def metrics_for(held_out: int, seen: bool = False) -> list[Metric]:
    """The metrics that are meaningful with this number of photographs; `seen` as in Photographs."""
    metrics = [metric for metric in METRICS if metric.least <= held_out]
    return [metric for metric in metrics if not (seen and metric.reference == "held_out")]


def _measure(metric: Metric, faces: Comparison, reference: Comparison | None) -> Measure:
    low, high = metric.interval(faces) if metric.interval else (None, None)
    error = metric.standard_error(faces) if metric.standard_error else None
    real = metric.value(reference) if reference is not None else None
    return Measure(metric.value(faces), real, low, high, error)


def nearest_pairs(faces: Comparison, count: int = 12) -> NearestPairs:
    """The `count` generated faces that are closest to a training face."""
    far, rows = faces.nearest_training
    first = torch.argsort(far, stable=True)[:count]
    return NearestPairs(first.tolist(), rows[first].tolist(), far[first].tolist())
