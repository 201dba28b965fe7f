"""What nearest neighbours say: precision, recall, density, coverage, and memorization.

Features are (N, D) float tensors on the CPU, one row per image. All distances are Euclidean and
computed in float64, in chunks. Recall and above all coverage rise with the number of fakes at an
unchanged number of photos (ten fakes to a photo cover nearly everything), so compare equal
counts: `precision_recall(test_features, subsample(fake_features, len(test_features)))`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from facegan.evaluation.distances import checked, checked_pair, row_chunks

# Squared distances from a matrix product are off by about 1e-14 of the largest squared norm; a
# point on the rim of a ball is meant to lie inside, and a copy to lie in a ball of radius zero.
ROUNDING = 1e-12


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, eq. 2), both in [0, 1].

    Precision is the share of fake (M, D) inside a ball around a row of real (N, D) that reaches
    to its k-th neighbour; recall is the same with the roles exchanged. Raises ValueError where a
    set has no k neighbours or D differs.
    """
    real, fake = _centred_pair(real, fake, k)
    precision = torch.cat([inside.any(dim=1) for inside in _inside_balls(fake, real, k)])
    recall = torch.cat([inside.any(dim=1) for inside in _inside_balls(real, fake, k)])
    return float(precision.double().mean()), float(recall.double().mean())


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, sec. 3.2); density may exceed 1.

    Density is the mean number of balls around real (N, D) that hold a row of fake (M, D), over
    k; coverage is the share of these balls that hold any. Where both sets come from one
    distribution density is 1 and coverage 1 - 0.5^k for large N = M. Raises ValueError where a
    set has no k neighbours or D differs.
    """
    real, fake = _centred_pair(real, fake, k)
    held, covered = 0, torch.zeros(len(real), dtype=torch.bool)
    for inside in _inside_balls(fake, real, k):
        held += int(inside.sum())
        covered |= inside.any(dim=0)
    return held / (k * len(fake)), float(covered.double().mean())


def nearest_neighbours(queries: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """For every query (N, D) the distance (N,) float64 to its nearest of references (M, D),
    and that one's index (N,); a copy is at distance 0. Raises ValueError where D differs."""
    queries, references = checked_pair(queries, references, ("queries", "references"))
    centre = references.mean(dim=0)
    squared = _squared_distances(queries - centre, references - centre)
    indices = torch.cat([chunk.argmin(dim=1) for chunk in squared])
    # the matrix product finds the neighbour, the difference says how far: exactly 0 for a copy
    return (queries - references[indices]).norm(dim=1), indices


def leave_one_out(features: Tensor) -> tuple[Tensor, Tensor]:
    """As `nearest_neighbours`, of each row of (N, D) among the others; copies of it are left out.

    Photographs that are there twice would otherwise make every distance look large.
    """
    features = torch.unique(checked(features, "features"), dim=0)
    centred = features - features.mean(dim=0)
    rows, start = [], 0
    for squared in _squared_distances(centred, centred):
        count = torch.arange(len(squared))
        squared[count, start + count] = float("inf")
        rows.append(squared.argmin(dim=1))
        start += len(squared)
    nearest = torch.cat(rows)
    return (features - features[nearest]).norm(dim=1), nearest


def memorized_share(
    fake_distances: Tensor, real_distances: Tensor, percentile: float = 1.0
) -> float:
    """The share of generated faces that are unusually close to a training face, in [0, 1].

    `fake_distances` (N,) and `real_distances` (M,) are distances to the nearest training features,
    of generated faces and of held-out photographs. Unusually close means: no farther than the
    given percentile of the real distances. Held-out photographs score percentile / 100 (0.01), a
    generator that copies scores 1, one whose faces resemble no photograph scores 0.
    """
    if not 0 < percentile < 100:
        raise ValueError(
            f"percentile must be between 0 and 100, got {percentile}; try 1.0 for the closest 1%"
        )
    fake = checked(fake_distances[:, None], "fake_distances")
    real = checked(real_distances[:, None], "real_distances")
    threshold = real.quantile(percentile / 100)
    # "no farther than" rather than "closer": a copy counts even where the threshold is 0
    return float((fake <= threshold).double().mean())


def _centred_pair(real: Tensor, fake: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Both sets, checked, around the real mean: an offset would cost the distances digits."""
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k}; try 3 or 5")
    real, fake = checked_pair(real, fake, ("real", "fake"), at_least=k + 1)
    centre = real.mean(dim=0)
    return real - centre, fake - centre


def _inside_balls(points: Tensor, centres: Tensor, k: int) -> Iterator[Tensor]:
    """Which points lie in which balls, chunk by chunk: (some of N, M) bool, rim included.

    A ball reaches from a centre to its k-th nearest fellow.
    """
    radii = _squared_radii(centres, k)
    scale = max(float(points.square().sum(dim=1).max()), float(centres.square().sum(dim=1).max()))
    for squared in _squared_distances(points, centres):
        yield squared <= radii + ROUNDING * scale


def _squared_radii(features: Tensor, k: int) -> Tensor:
    """The squared distance (N,) of each row to its k-th nearest fellow; itself is the 0-th."""
    chunks = _squared_distances(features, features)
    return torch.cat([chunk.topk(k + 1, largest=False).values[:, -1] for chunk in chunks])


def _squared_distances(points: Tensor, references: Tensor) -> Iterator[Tensor]:
    """Squared distances of all references (M, D) from points, some points at a time."""
    squares = references.square().sum(dim=1)
    for chunk in row_chunks(points, len(references)):
        squared = torch.addmm(squares, chunk, references.T, alpha=-2)
        yield squared.add_(chunk.square().sum(dim=1, keepdim=True)).clamp_(min=0)
