"""Distances against closed forms, naive loops, simulations and two independent libraries."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from facegan.evaluation.distances import (
    GaussianStatistics,
    frechet_distance,
    frechet_interval,
    gaussian_statistics,
    kernel_distance,
    subsample,
)


def normal(count: int, dim: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator) * scale + shift


def correlated(count: int, dim: int, seed: int) -> Tensor:
    """Like pooled activations: correlated, never negative, some always 0, not Gaussian."""
    mixing = normal(dim, dim, seed=99) / dim**0.5
    mixing[:, : dim // 8] = 0
    return (normal(count, dim, seed) @ mixing + 0.02 * seed).relu() * (mixing.abs().sum(0) > 0)


def diagonal(mean: list[float], variances: list[float]) -> GaussianStatistics:
    covariance = torch.tensor(variances, dtype=torch.float64).diag()
    return GaussianStatistics(torch.tensor(mean, dtype=torch.float64), covariance, 100)


def distance(real: Tensor, fake: Tensor) -> float:
    return frechet_distance(gaussian_statistics(real), gaussian_statistics(fake))


class Passthrough(nn.Module):
    """The features as they are: torchmetrics asks for a network."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def test_statistics_agree_with_numpy() -> None:
    features = correlated(50, 8, seed=1)
    statistics = gaussian_statistics(features)
    np.testing.assert_allclose(statistics.mean, features.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        statistics.covariance, np.cov(features.double().numpy().T), rtol=1e-12, atol=1e-15
    )
    assert statistics.count == 50


def test_frechet_distance_of_diagonal_gaussians() -> None:
    # sum of (difference of means)² + (difference of standard deviations)²
    real, fake = diagonal([0, 1, 2], [1, 4, 0]), diagonal([3, 1, 2], [9, 1, 0])
    assert frechet_distance(real, fake) == pytest.approx(9 + 4 + 1, abs=1e-12)


def test_frechet_distance_of_rotated_gaussians() -> None:
    # a rotation by 90 degrees swaps the variances 1 and 9, by 45 degrees it does not commute
    first, swapped = diagonal([0, 0], [1, 9]), diagonal([0, 0], [9, 1])
    assert frechet_distance(first, swapped) == pytest.approx(8, abs=1e-12)
    turned = GaussianStatistics(
        first.mean, torch.tensor([[5.0, 4.0], [4.0, 5.0]], dtype=torch.float64), 100
    )
    # in two dimensions tr (AB)^½ = (tr AB + 2 (det AB)^½)^½
    assert frechet_distance(first, turned) == pytest.approx(20 - 2 * math.sqrt(50 + 18), abs=1e-12)


def test_frechet_distance_is_symmetric_and_zero_for_itself() -> None:
    first, second = correlated(100, 16, seed=1), correlated(80, 16, seed=2)
    assert distance(first, first) == pytest.approx(0, abs=1e-12)
    assert distance(first, second) == pytest.approx(distance(second, first), rel=1e-12)


def test_frechet_distance_of_singular_covariances() -> None:
    few = correlated(10, 64, seed=1)  # rank 9 of 64
    assert distance(few, few) == pytest.approx(0, abs=1e-12)
    assert distance(few, few + 0.5) == pytest.approx(64 * 0.25, rel=1e-6)
    copies = few[:1].expand(30, -1)  # no variance at all
    real = gaussian_statistics(few)
    expected = (real.mean - few[0]).square().sum() + real.covariance.trace()
    assert distance(few, copies) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("count", [40, 500])  # fewer rows than features, and more
def test_frechet_distance_agrees_with_torch_fidelity(count: int) -> None:
    real, fake = correlated(600, 64, seed=1), correlated(count, 64, seed=2)
    statistics = [fid_features_to_statistics(features.double()) for features in (real, fake)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert distance(real, fake) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert distance(real, fake) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_agrees_with_torchmetrics() -> None:
    real, fake = correlated(600, 64, seed=1), correlated(500, 64, seed=2)
    metric = FrechetInceptionDistance(feature=Passthrough(64))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert distance(real, fake) == pytest.approx(float(metric.compute()), rel=1e-4)


def test_frechet_interval_contains_the_value_and_narrows() -> None:
    real, fake = correlated(400, 16, seed=1), correlated(1600, 16, seed=2) * 1.5
    statistics = gaussian_statistics(real)
    low, high = frechet_interval(statistics, fake)
    assert 0 < low < distance(real, fake) < high
    few_low, few_high = frechet_interval(statistics, fake[:400])
    assert (few_high - few_low) / (high - low) == pytest.approx(2, rel=0.25)  # 1 / sqrt(N)
    loose_low, loose_high = frechet_interval(statistics, fake, level=0.5)
    assert (loose_high - loose_low) / (high - low) == pytest.approx(0.6745 / 1.96, rel=1e-3)


def test_frechet_interval_depends_on_the_seed_alone() -> None:
    statistics, fake = gaussian_statistics(normal(99, 8, seed=1)), normal(99, 8, seed=2)
    first = frechet_interval(statistics, fake, resamples=10, seed=3)
    assert frechet_interval(statistics, fake, resamples=10, seed=3) == first
    assert frechet_interval(statistics, fake, resamples=10, seed=4) != first


def test_frechet_interval_covers_the_expected_distance() -> None:
    # skewed fakes, not Gaussian; the target is the mean over other draws of as many fakes
    statistics = gaussian_statistics(normal(1000, 6, seed=1))

    def fakes(seed: int) -> Tensor:
        return normal(200, 6, seed).square() * 0.5 + 0.3

    draws = [
        frechet_distance(statistics, gaussian_statistics(fakes(seed))) for seed in range(1000, 2000)
    ]
    target = sum(draws) / len(draws)
    intervals = [frechet_interval(statistics, fakes(seed), resamples=50) for seed in range(200)]
    coverage = sum(low <= target <= high for low, high in intervals) / len(intervals)
    assert 0.90 <= coverage <= 0.99


def naive_squared_mmd(real: Tensor, fake: Tensor) -> float:
    """Bińkowski et al. 2018, eq. 4, as it is printed."""

    def kernel(a: Tensor, b: Tensor) -> float:
        return (float(a.double() @ b.double()) / len(a) + 1) ** 3

    n, m = len(real), len(fake)
    within_real = sum(kernel(real[i], real[j]) for i in range(n) for j in range(n) if i != j)
    within_fake = sum(kernel(fake[i], fake[j]) for i in range(m) for j in range(m) if i != j)
    between = sum(kernel(a, b) for a in real for b in fake)
    return within_real / (n * (n - 1)) + within_fake / (m * (m - 1)) - 2 * between / (n * m)


def test_kernel_distance_agrees_with_a_double_loop() -> None:
    real, fake = correlated(15, 8, seed=1), correlated(22, 8, seed=2)
    assert kernel_distance(real, fake).value == pytest.approx(naive_squared_mmd(real, fake))


@pytest.mark.parametrize(("limit", "value"), [("CHUNK", 7), ("CHUNK_ENTRIES", 500)])
def test_kernel_distance_does_not_depend_on_the_chunks(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fake = correlated(50, 8, seed=1), correlated(70, 8, seed=2)
    whole = kernel_distance(real, fake)
    monkeypatch.setattr(f"facegan.evaluation.distances.{limit}", value)
    chunked = kernel_distance(real, fake)
    assert chunked.value == pytest.approx(whole.value, rel=1e-10)
    assert chunked.standard_error == pytest.approx(whole.standard_error, rel=1e-10)


def test_kernel_distance_agrees_with_torch_fidelity() -> None:
    real, fake = correlated(300, 64, seed=1), correlated(300, 64, seed=9)
    expected = kid_features_to_metric(
        real.double(),
        fake.double(),
        kid_subsets=1,
        kid_subset_size=300,
        kid_kernel="poly",
        verbose=False,
    )["kernel_inception_distance_mean"]
    value = kernel_distance(real, fake).value
    assert value == pytest.approx(expected, rel=1e-4)
    assert abs(value) > 1e-3  # so that the agreement is not trivial


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all")
def test_kernel_distance_agrees_with_torchmetrics() -> None:
    real, fake = correlated(300, 64, seed=1), correlated(300, 64, seed=9)
    metric = KernelInceptionDistance(feature=Passthrough(64), subsets=1, subset_size=300)
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    expected, _ = metric.compute()
    assert kernel_distance(real, fake).value == pytest.approx(float(expected), rel=1e-4)


def test_kernel_distance_agrees_with_the_mean_over_subsets() -> None:
    real, fake = correlated(400, 16, seed=1), correlated(800, 16, seed=9)
    subsets = kid_features_to_metric(
        real.double(),
        fake.double(),
        kid_subsets=200,
        kid_subset_size=100,
        kid_kernel="poly",
        verbose=False,
        rng_seed=1,
    )
    noise = subsets["kernel_inception_distance_std"] / 200**0.5
    expected = subsets["kernel_inception_distance_mean"]
    assert kernel_distance(real, fake).value == pytest.approx(expected, abs=4 * noise)


def test_kernel_distance_is_unbiased() -> None:
    values = [
        kernel_distance(normal(20, 4, seed), normal(30, 4, seed + 5000)).value
        for seed in range(400)
    ]
    assert sum(values) / 400 == pytest.approx(0, abs=4 * float(np.std(values)) / 20)


def test_standard_error_of_the_kernel_distance() -> None:
    results = [
        kernel_distance(normal(150, 4, seed), normal(250, 4, seed + 5000, shift=0.4))
        for seed in range(300)
    ]
    spread = np.std([result.value for result in results])
    assert np.mean([result.standard_error for result in results]) == pytest.approx(spread, rel=0.15)


def test_subsample_draws_without_replacement() -> None:
    rows = torch.arange(20.0)[:, None]
    drawn = subsample(rows, 12, seed=1)
    assert drawn.unique().numel() == 12
    assert torch.equal(drawn, subsample(rows, 12, seed=1))
    assert not torch.equal(drawn, subsample(rows, 12, seed=2))
    assert torch.equal(subsample(rows, 20).sort(dim=0).values, rows)


def test_bad_arguments() -> None:
    good = normal(10, 4, seed=1)
    bad = good.clone()
    bad[3, 2] = float("nan")
    with pytest.raises(ValueError, match="2 rows or more, got 1"):
        gaussian_statistics(good[:1])
    with pytest.raises(ValueError, match="in 1 of 10 rows"):
        gaussian_statistics(bad)
    with pytest.raises(ValueError, match=r"shape \(N, D\), got \(4,\)"):
        gaussian_statistics(good[0])
    with pytest.raises(ValueError, match="got 4 and 3"):
        distance(good, good[:, :3])
    with pytest.raises(ValueError, match="got 4 and 3"):
        kernel_distance(good, good[:, :3])
    with pytest.raises(ValueError, match="fake must have 2 rows"):
        kernel_distance(good, good[:1])
    with pytest.raises(ValueError, match=r"try 100 and 0\.95"):
        frechet_interval(gaussian_statistics(good), good, level=95)
    with pytest.raises(ValueError, match="the 10 rows there are, got 11"):
        subsample(good, 11)
