"""Distances between two sets of features: Fréchet and kernel, with their uncertainty.

Features are (N, D) float tensors on the CPU, one row per image; statistics are float64. A Fréchet
distance between finite samples is biased upwards by roughly a constant over each sample's count.
Its reference value is therefore that of as many real photographs in place of the generated faces:

    test = gaussian_statistics(test_features)
    value = frechet_distance(test, gaussian_statistics(fake_features))
    others = subsample(train_features, len(fake_features))  # as many, none of them a test photo
    reference = frechet_distance(test, gaussian_statistics(others))
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from facegan.core.checks import check_number

CHUNK = 1000  # rows of a matrix of distances at a time
CHUNK_ENTRIES = 20_000_000  # and at most this many entries: 160 MB of float64
Z = 1.959963984540054  # the 97.5% quantile of the normal distribution


@dataclass(frozen=True, eq=False)  # tensors have no single truth value
class GaussianStatistics:
    """A Gaussian fitted to features: mean (D,) and covariance (D, D), float64."""

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased estimate, which may be negative, and its standard error."""

    value: float
    standard_error: float


def checked(features: Tensor, name: str, at_least: int = 1) -> Tensor:
    """`features` in float64. Raises ValueError unless they are (N >= at_least, D) and finite."""
    if features.ndim != 2 or len(features) < at_least:
        raise ValueError(
            f"{name} must have the shape (N, D) with N >= {at_least}, got {tuple(features.shape)}"
        )
    if not features.isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return features.double()


def subsample(features: Tensor, count: int, seed: int = 0) -> Tensor:
    """`count` rows (count, D), drawn without replacement; the same seed draws the same rows."""
    check_number("count", count, 1, len(features))
    generator = torch.Generator().manual_seed(seed)
    return features[torch.randperm(len(features), generator=generator)[:count]]


def gaussian_statistics(features: Tensor) -> GaussianStatistics:
    """Mean and covariance (over N - 1) of features (N, D). Raises ValueError for N < 2."""
    features = checked(features, "features", at_least=2)
    mean = features.mean(dim=0)
    centred = features - mean
    return GaussianStatistics(mean, centred.T @ centred / (len(features) - 1))


def frechet_distance(real: GaussianStatistics, fake: GaussianStatistics) -> float:
    """Fréchet distance of two Gaussians (Heusel et al. 2017, eq. 6), squared as in the paper.

    It is called FID only if the features are Inception's.
    """
    # tr (R F)^½ is the sum of the singular values of R^½ F^½. The eigenvalues of R F would need a
    # square root each, which turns rounding of 1e-16 into 1e-8 per dead feature.
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
    real: GaussianStatistics, fake_features: Tensor, resamples: int = 100, seed: int = 0
) -> tuple[float, float]:
    """A 95% bootstrap interval (low, high) of the Fréchet distance of fake features (N, D).

    The value ± z standard errors, estimated from resampled fakes. Percentiles of the resamples
    would be too high: each resample has the bias of a finite sample a second time. The interval
    covers the expected distance of N such fakes from the same photos: how much the value changes
    if other faces are drawn. The reference value shows the bias.
    """
    value = frechet_distance(real, gaussian_statistics(fake_features))
    replicates = _frechet_replicates(real, fake_features.double(), resamples, seed)
    margin = Z * float(replicates.std())
    return max(value - margin, 0.0), value + margin


def _frechet_replicates(
    real: GaussianStatistics, fake: Tensor, resamples: int, seed: int
) -> Tensor:
    """Fréchet distances (resamples,) of fakes (N, D), resampled with replacement."""
    generator = torch.Generator().manual_seed(seed)
    count, mean = len(fake), fake.mean(dim=0)
    root = _square_root(real.covariance)
    centred = fake - mean
    squares = centred.square().sum(dim=1)
    # the distance depends on F through R^½ F R^½ alone: apply the root once, to the features
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

    The paper averages over subsets of 1,000 to save time. One estimate from all of real (N, D) and
    fake (M, D) has the same expectation at any counts, and less variance. The standard error is
    that of both samples (Gretton et al. 2012, the first term of its variance), photos included.
    Raises ValueError for a set of fewer than two rows.
    """
    real, fake = checked(real, "real", at_least=2), checked(fake, "fake", at_least=2)
    real_to_real, fake_to_fake = _kernel_means_within(real), _kernel_means_within(fake)
    real_to_fake, fake_to_real = _kernel_means_between(real, fake)
    value = real_to_real.mean() + fake_to_fake.mean() - 2 * real_to_fake.mean()
    real_variance = 4 * (real_to_real - real_to_fake).var() / len(real)
    fake_variance = 4 * (fake_to_fake - fake_to_real).var() / len(fake)
    return KernelDistance(float(value), float((real_variance + fake_variance).sqrt()))


def _kernel_means_within(features: Tensor) -> Tensor:
    """The mean kernel (N,) of each row with all other rows."""
    means, _ = _kernel_means_between(features, features)
    own = (features.square().mean(dim=1) + 1) ** 3
    return (means * len(features) - own) / (len(features) - 1)


def _kernel_means_between(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The mean kernel of each row of first (N,) with second, and the reverse (M,)."""
    row_means, column_sums = [], torch.zeros(len(second), dtype=torch.float64)
    for rows in row_chunks(first, len(second)):
        kernel = (rows @ second.T).div_(first.shape[1]).add_(1).pow_(3)
        row_means.append(kernel.mean(dim=1))
        column_sums += kernel.sum(dim=0)
    return torch.cat(row_means), column_sums / len(first)


def row_chunks(points: Tensor, columns: int) -> tuple[Tensor, ...]:
    """`points` (N, D) in chunks whose matrices of `columns` columns fit into memory."""
    return points.split(max(1, min(CHUNK, CHUNK_ENTRIES // max(columns, 1))))
