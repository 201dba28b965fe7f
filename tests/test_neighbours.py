"""Nearest-neighbour metrics by hand and against naive numpy."""

import numpy as np
import pytest
import torch
from torch import Tensor

from facegan.evaluation.neighbours import (
    density_coverage,
    leave_one_out,
    memorized_share,
    nearest_neighbours,
    precision_recall,
)


def normal(count: int, dim: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator) * scale + shift


def prdc(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, ...]:
    return (*precision_recall(real, fake, k), *density_coverage(real, fake, k))


def naive_prdc(real: Tensor, fake: Tensor, k: int) -> tuple[float, ...]:
    """Precision, recall, density, coverage from whole distance matrices."""

    def distances(a: Tensor, b: Tensor) -> np.ndarray:
        return np.linalg.norm(a.double().numpy()[:, None] - b.double().numpy()[None], axis=-1)

    real_radii = np.sort(distances(real, real), axis=1)[:, k]
    fake_radii = np.sort(distances(fake, fake), axis=1)[:, k]
    between = distances(real, fake)
    in_real = between <= real_radii[:, None]
    in_fake = between <= fake_radii[None]
    return (
        in_real.any(axis=0).mean(),
        in_fake.any(axis=1).mean(),
        in_real.sum(axis=0).mean() / k,
        in_real.any(axis=1).mean(),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_prdc_agrees_with_a_naive_implementation(k: int) -> None:
    real, fake = normal(120, 3, seed=1), normal(150, 3, seed=2, shift=0.5, scale=0.7)
    assert prdc(real, fake, k) == pytest.approx(naive_prdc(real, fake, k))


def test_prdc_does_not_depend_on_chunks_or_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(90, 4, seed=1), normal(110, 4, seed=2, scale=0.8)
    whole = prdc(real, fake)
    monkeypatch.setattr("facegan.evaluation.distances.CHUNK", 7)
    assert prdc(real, fake) == whole
    assert prdc(real.double() + 1e4, fake.double() + 1e4) == whole


def test_copies_of_one_face_have_precision_and_no_recall() -> None:
    real = normal(200, 32, seed=1) + 5
    copies = real[:1].expand(200, -1)
    precision, recall, _, coverage = prdc(real, copies)
    assert (precision, recall) == (1.0, 1 / 200)  # balls of radius zero contain a copy
    assert coverage < 0.2


def test_nearest_neighbours_agree_with_a_naive_implementation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("facegan.evaluation.distances.CHUNK", 7)
    queries, references = normal(40, 5, seed=1), normal(60, 5, seed=2)
    distances, indices = nearest_neighbours(queries, references)
    whole = (queries.double()[:, None] - references.double()[None]).norm(dim=-1)
    assert torch.equal(indices, whole.argmin(dim=1))
    assert torch.equal(distances, whole.min(dim=1).values)
    within = torch.cdist(queries.double(), queries.double()).fill_diagonal_(torch.inf)
    alone, _ = leave_one_out(torch.cat([queries, queries[:3]]))  # duplicates are left out
    torch.testing.assert_close(alone.sort().values, within.min(dim=1).values.sort().values)


def test_a_copy_is_at_distance_zero() -> None:
    references = normal(2000, 64, seed=1) * 3 + 100
    distances, indices = nearest_neighbours(references.flip(0), references)
    assert distances.count_nonzero() == 0
    assert torch.equal(indices, torch.arange(1999, -1, -1))
    nearly, _ = nearest_neighbours(references + 1e-4, references)
    step = (references + 1e-4).double() - references.double()
    assert torch.allclose(nearly, step.norm(dim=1), rtol=1e-12)


@pytest.mark.parametrize(
    ("fake", "real", "share"),
    [
        ([0.0, 0.5, 1.5, 50.0], range(101), 0.5),  # the first percentile is 1
        (range(101), range(101), 2 / 101),
        ([0.0, 1.0], [0.0, 0.0, 2.0], 0.5),  # held-out photographs that are copies, too
    ],
)
def test_memorized_share_by_hand(fake, real, share: float) -> None:
    assert memorized_share(*(torch.tensor([*values], dtype=float) for values in (fake, real))) == (
        pytest.approx(share)
    )


def test_a_set_needs_k_neighbours() -> None:
    good = normal(10, 4, seed=1)
    with pytest.raises(ValueError, match=r"fake must have .* N >= 4, got \(3, 4\)"):
        precision_recall(good, good[:3])
