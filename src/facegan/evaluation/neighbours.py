"""Nearest-neighbour metrics: precision, recall, density, coverage, and memorization.

Features are (N, D) float tensors on the CPU, one row per image. All distances are Euclidean and
computed in float64, in chunks. Recall and above all coverage rise with the number of fakes at an
unchanged number of photos (ten fakes per photo cover nearly everything), so compare equal
counts: `precision_recall(test_features, subsample(fake_features, len(test_features)))`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from facegan.evaluation.distances import checked, row_chunks

# Squared distances from a matrix product have errors of about 1e-14 of the largest squared norm.
# A point on the boundary of a ball counts as inside, as does a copy in a ball of radius zero.
ROUNDING = 1e-12
CLOSEST = 0.01  # share of held-out photographs that defines "close to a training face"


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, eq. 2), both in [0, 1].

    Precision is the share of fake (M, D) inside any ball around a row of real (N, D) whose radius
    is the distance to the row's k-th neighbour; recall is the same with the roles exchanged. Raises
    ValueError for a set of k rows or fewer.
    """
    real, fake = _centred_pair(real, fake, k)
    precision = torch.cat([inside.any(dim=1) for inside in _inside_balls(fake, real, k)])
    recall = torch.cat([inside.any(dim=1) for inside in _inside_balls(real, fake, k)])
    return float(precision.double().mean()), float(recall.double().mean())


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, sec. 3.2); density may exceed 1.

    Density is the mean number of balls around real (N, D) that contain a row of fake (M, D), over
    k; coverage is the share of these balls that contain any. If both sets have one distribution,
    density is 1 and coverage 1 - 0.5^k for large N = M. Raises ValueError for a set of k rows or
    fewer.
    """
    real, fake = _centred_pair(real, fake, k)
    inside_count, covered = 0, torch.zeros(len(real), dtype=torch.bool)
    for inside in _inside_balls(fake, real, k):
        inside_count += int(inside.sum())
        covered |= inside.any(dim=0)
    return inside_count / (k * len(fake)), float(covered.double().mean())


def nearest_neighbours(queries: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """For each query (N, D), the distance (N,) float64 to the nearest of references (M, D),
    and its index (N,). A copy has distance 0."""
    queries, references = checked(queries, "queries"), checked(references, "references")
    centre = references.mean(dim=0)
    squared = _squared_distances(queries - centre, references - centre)
    indices = torch.cat([chunk.argmin(dim=1) for chunk in squared])
    # the product finds the neighbour, the difference gives the distance: exactly 0 for copies
    return (queries - references[indices]).norm(dim=1), indices


def leave_one_out(features: Tensor) -> tuple[Tensor, Tensor]:
    """`nearest_neighbours` of each row of (N, D) among the others, without duplicates.

    With duplicates, the closest 1% of distances would be 0.
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


def memorized_share(fake_distances: Tensor, real_distances: Tensor) -> float:
    """The share of generated faces that are unusually close to a training face, in [0, 1].

    `fake_distances` (N,) and `real_distances` (M,) are distances to the nearest training features,
    of generated faces and of held-out photographs. A face is unusually close if it is no farther
    than the closest 1% of held-out photographs. Held-out photographs score 0.01, a generator that
    copies scores 1, and one whose faces resemble no photograph scores 0.
    """
    # "no farther" and not "closer": copies count even if the threshold is 0
    return float((fake_distances <= real_distances.quantile(CLOSEST)).double().mean())


def _centred_pair(real: Tensor, fake: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Both sets in float64 minus the real mean: an offset would cost the distances digits."""
    real, fake = checked(real, "real", at_least=k + 1), checked(fake, "fake", at_least=k + 1)
    centre = real.mean(dim=0)
    return real - centre, fake - centre


def _inside_balls(points: Tensor, centres: Tensor, k: int) -> Iterator[Tensor]:
    """Which points are inside which balls, in chunks of rows: (some of N, M) bool.

    The radius of a ball is the distance from its centre to the k-th nearest other centre.
    """
    radii = _squared_radii(centres, k)
    scale = max(float(points.square().sum(dim=1).max()), float(centres.square().sum(dim=1).max()))
    for squared in _squared_distances(points, centres):
        yield squared <= radii + ROUNDING * scale


def _squared_radii(features: Tensor, k: int) -> Tensor:
    """The squared distance (N,) of each row to its k-th nearest neighbour; the 0-th is itself."""
    chunks = _squared_distances(features, features)
    return torch.cat([chunk.topk(k + 1, largest=False).values[:, -1] for chunk in chunks])


def _squared_distances(points: Tensor, references: Tensor) -> Iterator[Tensor]:
    """Squared distances of points to all references (M, D), in chunks of rows."""
    squares = references.square().sum(dim=1)
    for chunk in row_chunks(points, len(references)):
        squared = torch.addmm(squares, chunk, references.T, alpha=-2)
        yield squared.add_(chunk.square().sum(dim=1, keepdim=True)).clamp_(min=0)
