"""Distances against closed forms, naive loops, simulations and an independent library."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from facegan.evaluation.distances import (
    GaussianStatistics,
    frechet_distance,
    frechet_interval,
    gaussian_statistics,
    kernel_distance,
    subsample,
)


def normal(count: int, dim: int, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator) + shift


def correlated(count: int, dim: int, seed: int) -> Tensor:
    """Like pooled activations: correlated, not negative, some always 0, not Gaussian."""
    mixing = normal(dim, dim, seed=99) / dim**0.5
    mixing[:, : dim // 8] = 0
    return (normal(count, dim, seed) @ mixing + 0.02 * seed).relu() * (mixing.abs().sum(0) > 0)


def gaussian(mean: list[float], covariance: list[list[float]]) -> GaussianStatistics:
    tensors = (torch.tensor(values, dtype=torch.float64) for values in (mean, covariance))
    return GaussianStatistics(*tensors)


def distance(real: Tensor, fake: Tensor) -> float:
    return frechet_distance(gaussian_statistics(real), gaussian_statistics(fake))


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [
        # diagonal: (difference of means)² + (difference of standard deviations)²
        (([0, 1], [[1, 0], [0, 4]]), ([3, 1], [[9, 0], [0, 1]]), 9 + 4 + 1),
        # rotated by 90 degrees
        (([0, 0], [[1, 0], [0, 9]]), ([0, 0], [[9, 0], [0, 1]]), 8),
        # by 45 degrees: in two dimensions tr (AB)^½ = (tr AB + 2 (det AB)^½)^½
        (([0, 0], [[1, 0], [0, 9]]), ([0, 0], [[5, 4], [4, 5]]), 20 - 2 * math.sqrt(50 + 18)),
    ],
)
def test_frechet_distance_of_gaussians(real, fake, expected: float) -> None:
    assert frechet_distance(gaussian(*real), gaussian(*fake)) == pytest.approx(expected, abs=1e-12)


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
    assert distance(real, fake) == pytest.approx(expected, rel=1e-5)


def test_frechet_interval_contains_the_value_and_narrows() -> None:
    real, fake = correlated(400, 16, seed=1), correlated(1600, 16, seed=2) * 1.5
    statistics = gaussian_statistics(real)
    low, high = frechet_interval(statistics, fake)
    assert 0 < low < distance(real, fake) < high
    few_low, few_high = frechet_interval(statistics, fake[:400])
    assert (few_high - few_low) / (high - low) == pytest.approx(2, rel=0.25)  # 1 / sqrt(N)


def test_frechet_interval_covers_the_expected_distance() -> None:
    # skewed fakes, not Gaussian; the target is the mean over other draws of as many fakes
    statistics = gaussian_statistics(normal(1000, 6, seed=1))

    def fakes(seed: int) -> Tensor:
        return normal(200, 6, seed).square() * 0.5 + 0.3

    draws = [frechet_distance(statistics, gaussian_statistics(fakes(s))) for s in range(1000, 1500)]
    target = sum(draws) / len(draws)
    intervals = [frechet_interval(statistics, fakes(seed), resamples=30) for seed in range(150)]
    coverage = sum(low <= target <= high for low, high in intervals) / len(intervals)
    assert 0.90 <= coverage <= 0.99


def naive_squared_mmd(real: Tensor, fake: Tensor) -> float:
    """Bińkowski et al. 2018, eq. 4, as printed."""

    def kernel(a: Tensor, b: Tensor) -> float:
        return (float(a.double() @ b.double()) / len(a) + 1) ** 3

    n, m = len(real), len(fake)
    within_real = sum(kernel(real[i], real[j]) for i in range(n) for j in range(n) if i != j)
    within_fake = sum(kernel(fake[i], fake[j]) for i in range(m) for j in range(m) if i != j)
    between = sum(kernel(a, b) for a in real for b in fake)
    return within_real / (n * (n - 1)) + within_fake / (m * (m - 1)) - 2 * between / (n * m)


def test_kernel_distance_agrees_with_a_double_loop() -> None:
    real, fake = correlated(15, 8, seed=1), correlated(22, 8, seed=9)
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


def test_kernel_distance_is_unbiased_and_its_standard_error_is_right() -> None:
    pairs = [(normal(150, 4, seed), normal(250, 4, seed + 5000)) for seed in range(300)]
    values = [kernel_distance(real[:20], fake[:30]).value for real, fake in pairs]
    assert np.mean(values) == pytest.approx(0, abs=4 * float(np.std(values)) / 300**0.5)
    shifted = [kernel_distance(real, fake + 0.4) for real, fake in pairs]
    spread = np.std([result.value for result in shifted])
    assert np.mean([result.standard_error for result in shifted]) == pytest.approx(spread, rel=0.15)


def test_subsample_draws_without_replacement() -> None:
    rows = torch.arange(20.0)[:, None]
    drawn = subsample(rows, 12, seed=1)
    assert drawn.unique().numel() == 12
    assert torch.equal(drawn, subsample(rows, 12, seed=1))
    assert not torch.equal(drawn, subsample(rows, 12, seed=2))
    assert torch.equal(subsample(rows, 20).sort(dim=0).values, rows)


GOOD = normal(10, 4, seed=1)


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (lambda: gaussian_statistics(GOOD[:1]), r"with N >= 2, got \(1, 4\)"),
        (lambda: gaussian_statistics(GOOD[0]), r"shape \(N, D\).* got \(4,\)"),
        (lambda: gaussian_statistics(GOOD / 0), "must be finite"),
        (lambda: kernel_distance(GOOD, GOOD[:1]), "fake must have"),
        (lambda: subsample(GOOD, 11), "count must be a whole number from 1 to 10, got 11"),
    ],
)
def test_bad_arguments(compute, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compute()
