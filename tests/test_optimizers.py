"""Spectral descent against singular value decompositions and torch's own Muon."""

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Muon

from facegan.optimizers import SpectralDescent, orthogonalise

RATE = 0.01


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def step(gradient: Tensor) -> Tensor:
    """How one step changes a weight of this gradient, in units of the learning rate."""
    weight = nn.Parameter(torch.zeros_like(gradient))
    weight.grad = gradient
    SpectralDescent([weight], lr=RATE).step()
    return weight.detach() / RATE


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (12, 12)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_singular_vectors_stay_and_singular_values_become_one(
    shape: tuple[int, int], scale: float
) -> None:
    u, _, vt = torch.linalg.svd(noise(*shape), full_matrices=False)
    values = torch.logspace(0, -2, min(shape))  # far apart
    core = u.T @ orthogonalise(scale * u @ values.diag() @ vt) @ vt.T
    assert torch.allclose(core, core.diagonal().diag(), atol=1e-4)
    assert core.diagonal().min() > 0.68
    assert core.diagonal().max() < 1.21


def test_steps_are_those_of_muon_without_momentum() -> None:
    weight = nn.Parameter(torch.zeros(24, 40))
    weight.grad = noise(24, 40)
    muon = Muon([weight], RATE / 0.2, 0.0, 0.0, nesterov=False, adjust_lr_fn="match_rms_adamw")
    muon.step()
    expected = weight.detach() / RATE
    error = (step(noise(24, 40)) - expected).norm() / expected.norm()
    assert error < 0.03  # torch iterates in bf16


@pytest.mark.parametrize("shape", [(16, 3, 4, 4), (8, 16), (256,), (1, 64), (1,)])
def test_entries_change_by_the_learning_rate(shape: tuple[int, ...]) -> None:
    change = step(noise(*shape))
    assert change.square().mean().sqrt().item() == pytest.approx(1, abs=0.15)
    assert (change * noise(*shape)).sum() < 0  # downhill


def test_a_convolution_is_a_matrix_of_its_output_channels() -> None:
    gradient = noise(6, 4, 3, 3)
    assert torch.equal(step(gradient).flatten(1), step(gradient.flatten(1)))
    last = gradient.to(memory_format=torch.channels_last)
    assert torch.allclose(step(last), step(gradient), atol=1e-5)


def test_a_bias_is_one_row() -> None:
    gradient = noise(9)
    assert torch.allclose(step(gradient), -3 * gradient / gradient.norm())


@pytest.mark.parametrize("shape", [(4, 5), (5,)])
def test_next_to_nothing_moves_nothing_far(shape: tuple[int, ...]) -> None:
    assert step(torch.zeros(shape)).count_nonzero() == 0
    for exponent in range(-45, -10):
        assert step(10.0**exponent * noise(*shape)).abs().max() < 2


def test_without_a_gradient_nothing_moves() -> None:
    weight = nn.Parameter(torch.ones(2))
    SpectralDescent([weight], lr=RATE).step()
    assert weight.tolist() == [1, 1]


def test_digits_are_kept_under_autocast() -> None:
    gradient = noise(6, 20)
    expected = step(gradient)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(step(gradient), expected)


def test_a_closure_is_called_with_gradients_and_its_loss_returned() -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SpectralDescent([weight], lr=RATE)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum() / 2
        loss.backward()
        return loss

    assert optimizer.step(closure) == 12.5
    assert torch.allclose(weight, (5 - RATE * 2**0.5) * torch.tensor([0.6, 0.8]))
