"""Distances between two sets of features: Fréchet and kernel, with their uncertainty.

Features are (N, D) float tensors on the CPU, one row per image; statistics are float64. A Fréchet
distance between finite samples is biased upwards by roughly a constant over each sample's count.
Its reference value is therefore that of as many real photographs in the place of the generated
faces:

    test = gaussian_statistics(test_features)
    value = frechet_distance(test, gaussian_statistics(fake_features))
    others = subsample(train_features, len(fake_features))  # as many, none of them a test photo
    reference = frechet_distance(test, gaussian_statistics(others))

Where there are fewer such photographs than generated faces, `subsample` the faces to their count.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 1000  # rows of a matrix of distances at a time
CHUNK_ENTRIES = 20_000_000  # and at most so many entries: 160 MB of float64


@dataclass(frozen=True, eq=False)  # tensors have no single truth value
class GaussianStatistics:
    """A Gaussian fitted to features: mean (D,) and covariance (D, D), float64, of `count` rows."""

    mean: Tensor
    covariance: Tensor
    count: int


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased estimate, which may fall below zero, and its standard error."""

    value: float
    standard_error: float


def checked(features: Tensor, name: str, at_least: int = 1) -> Tensor:
    """The features in float64. Raises ValueError unless (N >= at_least, D) and finite."""
    if features.ndim != 2:
        raise ValueError(
            f"{name} must have the shape (N, D), got {tuple(features.shape)}; "
            "give one row of features per image"
        )
    if len(features) < at_least:
        raise ValueError(
            f"{name} must have {at_least} rows or more, got {len(features)}; give more images"
        )
    if not features.isfinite().all():
        bad = int((~features.isfinite()).any(dim=1).sum())
        raise ValueError(
            f"{name} must be finite, got NaN or infinity in {bad} of {len(features)} rows; "
            "look at the images and the weights they come from"
        )
    return features.double()


def checked_pair(
    first: Tensor, second: Tensor, names: tuple[str, str], at_least: int = 1
) -> tuple[Tensor, Tensor]:
    """Both sets, checked and in float64. Raises ValueError where their D differ."""
    _check_dimensions(first.shape[-1], second.shape[-1], names)
    return checked(first, names[0], at_least), checked(second, names[1], at_least)


def _check_dimensions(first: int, second: int, names: tuple[str, str]) -> None:
    if first != second:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of features, "
            f"got {first} and {second}; take both from the same feature network"
        )


def subsample(features: Tensor, count: int, seed: int = 0) -> Tensor:
    """`count` rows (count, D), drawn without replacement; the same seed draws the same rows."""
    if not 1 <= count <= len(features):
        raise ValueError(
            f"count must be between 1 and the {len(features)} rows there are, got {count}; "
            "ask for fewer or give more images"
        )
    generator = torch.Generator().manual_seed(seed)
    return features[torch.randperm(len(features), generator=generator)[:count]]


def gaussian_statistics(features: Tensor) -> GaussianStatistics:
    """Mean and covariance (over N - 1) of features (N, D). Raises ValueError below two rows."""
    features = checked(features, "features", at_least=2)
    mean = features.mean(dim=0)
    centred = features - mean
    return GaussianStatistics(mean, centred.T @ centred / (len(features) - 1), len(features))


def frechet_distance(real: GaussianStatistics, fake: GaussianStatistics) -> float:
    """Fréchet distance of two Gaussians (Heusel et al. 2017, eq. 6), squared as in the paper.

    It is called FID only where the features are Inception's. Raises ValueError where D differs.
    """
    _check_dimensions(len(real.mean), len(fake.mean), ("real", "fake"))
    # tr (R F)^½ is the sum of the singular values of R^½ F^½. Unlike the eigenvalues of R F they
    # need no root of their own, which would turn rounding of 1e-16 into 1e-8 per dead feature.
    roots = _square_root(real.covariance) @ _square_root(fake.covariance)
    overlap = torch.linalg.svdvals(roots).sum()
    traces = real.covariance.trace() + fake.covariance.trace()
    distance = (real.mean - fake.mean).square().sum() + traces - 2 * overlap
    return max(float(distance), 0.0)


def _square_root(covariance: Tensor) -> Tensor:
    """The symmetric root of a covariance matrix, singular or not."""
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    return (vectors * eigenvalues.clamp(min=0).sqrt()) @ vectors.T


def frechet_interval(
    real: GaussianStatistics,
    fake_features: Tensor,
    resamples: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """A bootstrap interval (low, high) for the Fréchet distance of fake features (N, D).

    The value ± z standard errors, these from resampled fakes. Percentiles of the resamples would
    not do: each resample carries the bias of a finite sample a second time, and lies too high.
    What is covered is the expected distance of N such fakes from these same photos: how far the
    number moves when other faces are drawn. The bias itself shows in the reference value.
    """
    if resamples < 2 or not 0 < level < 1:
        raise ValueError(
            "resamples must be 2 or more and level between 0 and 1, "
            f"got {resamples} and {level}; try 100 and 0.95"
        )
    value = frechet_distance(real, gaussian_statistics(fake_features))
    replicates = _frechet_replicates(real, fake_features.double(), resamples, seed)
    z = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64))
    margin = float(z * replicates.std())
    return max(value - margin, 0.0), value + margin


def _frechet_replicates(
    real: GaussianStatistics, fake: Tensor, resamples: int, seed: int
) -> Tensor:
    """Fréchet distances (resamples,) of fakes (N, D) that are drawn again with replacement."""
    generator = torch.Generator().manual_seed(seed)
    count, mean = len(fake), fake.mean(dim=0)
    root = _square_root(real.covariance)
    centred = fake - mean
    squares = centred.square().sum(dim=1)
    # F enters the distance through R^½ F R^½ alone, so the root is taken once, on the features
    mapped = centred @ root
    distances = []
    for _ in range(resamples):
        drawn = torch.randint(count, (count,), generator=generator)
        weights = drawn.bincount(minlength=count).double()
        shift = weights @ centred / count
        rows = weights.nonzero()[:, 0]  # 37% are not drawn: leave them out of the product
        weighted = mapped[rows] * weights[rows].sqrt()[:, None]
        mapped_shift = shift @ root
        product = weighted.T @ weighted - count * mapped_shift.outer(mapped_shift)
        overlap = torch.linalg.eigvalsh(product / (count - 1)).clamp(min=0).sqrt().sum()
        trace = (weights @ squares - count * shift.square().sum()) / (count - 1)
        mean_term = (mean + shift - real.mean).square().sum()
        distances.append(mean_term + real.covariance.trace() + trace - 2 * overlap)
    return torch.stack(distances)


def kernel_distance(real: Tensor, fake: Tensor) -> KernelDistance:
    """Kernel distance: unbiased squared MMD under (x·y / D + 1)³ (Bińkowski et al. 2018, eq. 4).

    The paper averages it over subsets of 1,000 to save time; here it is taken once over all of
    real (N, D) and fake (M, D), which has the same expectation at any counts and less variance.
    The standard error is that of both samples (Gretton et al. 2012, the first term of its
    variance), photos included. Raises ValueError below two rows or where D differs.
    """
    real, fake = checked_pair(real, fake, ("real", "fake"), at_least=2)
    real_to_real, fake_to_fake = _kernel_means_within(real), _kernel_means_within(fake)
    real_to_fake, fake_to_real = _kernel_means_between(real, fake)
    value = real_to_real.mean() + fake_to_fake.mean() - 2 * real_to_fake.mean()
    real_variance = 4 * (real_to_real - real_to_fake).var() / len(real)
    fake_variance = 4 * (fake_to_fake - fake_to_real).var() / len(fake)
    return KernelDistance(float(value), float((real_variance + fake_variance).sqrt()))


def _kernel_means_within(features: Tensor) -> Tensor:
    """The mean kernel (N,) of each row with all rows but itself."""
    means, _ = _kernel_means_between(features, features)
    own = (features.square().mean(dim=1) + 1) ** 3
    return (means * len(features) - own) / (len(features) - 1)


def row_chunks(points: Tensor, columns: int) -> tuple[Tensor, ...]:
    """`points` (N, D) in parts, for matrices of `columns` columns that memory has room for."""
    return points.split(max(1, min(CHUNK, CHUNK_ENTRIES // max(columns, 1))))


def _kernel_means_between(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The mean kernel of each row of first (N,) with second, and the other way round (M,)."""
    row_means, column_sums = [], torch.zeros(len(second), dtype=torch.float64)
    for rows in row_chunks(first, len(second)):
        kernel = (rows @ second.T).div_(first.shape[1]).add_(1).pow_(3)
        row_means.append(kernel.mean(dim=1))
        column_sums += kernel.sum(dim=0)
    return torch.cat(row_means), column_sums / len(first)
