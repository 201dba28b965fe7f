"""All measures of one set of generated faces: how good, how varied, how original, how sure."""

from dataclasses import dataclass

import torch
from torch import Tensor

from facegan.evaluation.distances import (
    frechet_distance,
    frechet_interval,
    gaussian_statistics,
    kernel_distance,
    subsample,
)
from facegan.evaluation.neighbours import (
    density_coverage,
    nearest_neighbours,
    originality,
    precision_recall,
)

MIN_FACES = 50  # on either side, under which no measure says anything


@dataclass(frozen=True)
class Measure:
    """One number, and what real photographs score in the place of the generated faces."""

    value: float
    real: float
    low: float | None = None  # of a 95% interval
    high: float | None = None
    standard_error: float | None = None


@dataclass(frozen=True)
class NearestPairs:
    """The generated faces that are nearest to a training face, nearest first."""

    generated: list[int]  # rows of the generated faces
    training: list[int]  # rows of the training faces, each the nearest to its suspect
    distances: list[float]


def measure_distances(held_out: Tensor, training: Tensor, fake: Tensor) -> dict[str, Measure]:
    """Fréchet and kernel distance of `fake` to `held_out`, features (N, D) of any counts.

    The floor is the distance of as many training photographs to the same held-out ones.
    """
    count = min(len(fake), len(training))
    fake, real = subsample(fake, count), subsample(training, count)
    target = gaussian_statistics(held_out)
    low, high = frechet_interval(target, fake)
    kernel = kernel_distance(held_out, fake)
    return {
        "frechet_distance": Measure(
            frechet_distance(target, gaussian_statistics(fake)),
            frechet_distance(target, gaussian_statistics(real)),
            low,
            high,
        ),
        "kernel_distance": Measure(
            kernel.value,
            kernel_distance(held_out, real).value,
            standard_error=kernel.standard_error,
        ),
    }


def measure_manifolds(held_out: Tensor, training: Tensor, fake: Tensor) -> dict[str, Measure]:
    """Precision, recall, density and coverage, with as many faces on either side."""
    count = min(map(len, (held_out, training, fake)))
    target = subsample(held_out, count)
    scores = [
        [*precision_recall(target, some), *density_coverage(target, some)]
        for some in (subsample(fake, count), subsample(training, count))
    ]
    names = ("precision", "recall", "density", "coverage")
    return {name: Measure(value, real) for name, value, real in zip(names, *scores, strict=True)}


def measure_memorization(
    held_out: Tensor, training: Tensor, fake: Tensor, suspects: int = 12
) -> tuple[dict[str, Measure], NearestPairs]:
    """The share of faces that look copied, and the most suspicious of them.

    Copied means: as near to a training face as only 1% of held-out photographs are.
    """
    distances, nearest = nearest_neighbours(fake, training)
    held_out_distances, _ = nearest_neighbours(held_out, training)
    copied = originality(distances, held_out_distances)
    share = (held_out_distances <= copied.threshold).double().mean().item()
    first = torch.argsort(distances, stable=True)[:suspects]
    return {"copied": Measure(copied.share, share)}, NearestPairs(
        first.tolist(), nearest[first].tolist(), distances[first].tolist()
    )
