"""SpectralDescent against singular value decompositions and torch's Adam."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from facegan.gan.optimizers import SpectralDescent, orthogonalize

RATE = 0.01
BETA2 = 0.9


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def step(gradient: Tensor) -> Tensor:
    """The change of a weight by one step with this gradient, in units of the learning rate."""
    weight = nn.Parameter(torch.zeros_like(gradient))
    weight.grad = gradient
    SpectralDescent([weight], RATE, BETA2).step()
    return weight.detach() / RATE


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (12, 12)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_singular_vectors_are_kept_and_singular_values_become_about_one(
    shape: tuple[int, int], scale: float
) -> None:
    u, _, vt = torch.linalg.svd(noise(*shape), full_matrices=False)
    values = torch.logspace(0, -2, min(shape))
    core = u.T @ orthogonalize(scale * u @ values.diag() @ vt) @ vt.T
    assert torch.allclose(core, core.diagonal().diag(), atol=1e-4)
    assert core.diagonal().min() > 0.68
    assert core.diagonal().max() < 1.21


@pytest.mark.parametrize("shape", [(16, 3, 4, 4), (8, 16), (16, 8)])
def test_the_root_mean_square_of_a_step_is_the_learning_rate(shape: tuple[int, ...]) -> None:
    change = step(noise(*shape))
    assert change.square().mean().sqrt().item() == pytest.approx(1, abs=0.15)
    assert (change * noise(*shape)).sum() < 0  # downhill


def test_a_convolutions_weight_is_a_matrix_of_its_first_dimension() -> None:
    gradient = noise(6, 4, 3, 3)
    assert torch.equal(step(gradient).flatten(1), step(gradient.flatten(1)))
    last = gradient.to(memory_format=torch.channels_last)
    assert torch.allclose(step(last), step(gradient), atol=1e-5)


@pytest.mark.parametrize("shape", [(9,), (1,), (1, 20), (1, 4, 3, 3)])
def test_biases_and_single_outputs_take_adams_steps(shape: tuple[int, ...]) -> None:
    ours, theirs = nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(shape))
    optimizers = [
        SpectralDescent([ours], RATE, BETA2),
        Adam([theirs], RATE, betas=(0.0, BETA2)),
    ]
    for seed in range(5):
        ours.grad = theirs.grad = 10.0**seed * noise(*shape, seed=seed)
        for optimizer in optimizers:
            optimizer.step()
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_saved_state_continues_the_same_steps() -> None:
    weights = [nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(4))]
    optimizer = SpectralDescent(weights, RATE, BETA2)

    def some_steps(seeds: range) -> list[Tensor]:
        for seed in seeds:
            for weight in weights:
                weight.grad = noise(*weight.shape, seed=seed)
            optimizer.step()
        return [weight.detach().clone() for weight in weights]

    middle, state = some_steps(range(2)), copy.deepcopy(optimizer.state_dict())
    end = some_steps(range(2, 4))
    for weight, before in zip(weights, middle, strict=True):
        weight.data.copy_(before)
    optimizer = SpectralDescent(weights, RATE, BETA2)
    optimizer.load_state_dict(state)
    for expected, weight in zip(end, some_steps(range(2, 4)), strict=True):
        assert torch.equal(expected, weight)


@pytest.mark.parametrize("shape", [(4, 5), (5,)])
def test_tiny_gradients_give_bounded_steps(shape: tuple[int, ...]) -> None:
    assert step(torch.zeros(shape)).count_nonzero() == 0
    for exponent in range(-45, -10):
        assert step(10.0**exponent * noise(*shape)).abs().max() < 2


def test_a_weight_without_a_gradient_is_not_changed() -> None:
    weight = nn.Parameter(torch.ones(2))
    SpectralDescent([weight], RATE, BETA2).step()
    assert weight.tolist() == [1, 1]


def test_a_step_under_autocast_is_computed_in_float32() -> None:
    gradient = noise(6, 20)
    expected = step(gradient)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(step(gradient), expected)


def test_a_closure_is_called_with_gradients_and_its_loss_returned() -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SpectralDescent([weight], RATE, BETA2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum() / 2
        loss.backward()
        return loss

    assert optimizer.step(closure) == 12.5
    assert torch.allclose(weight, torch.tensor([3 - RATE, 4 - RATE]))
