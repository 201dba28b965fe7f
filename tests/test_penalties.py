"""Penalties on critics whose gradients are known: linear (w) and quadratic (a·x)."""

import pytest
import torch
from torch import Tensor

from facegan.gan.penalties import (
    R1,
    R1R2,
    R2,
    GradientPenalty,
    NoPenalty,
    Penalty,
)

REAL = torch.tensor([[3.0, 0, 0, 4], [0, 1, 0, 0]]).view(2, 1, 2, 2)  # norms 5 and 1
FAKE = torch.tensor([[0.0, 2, 0, 0], [2, 2, 2, 2]]).view(2, 1, 2, 2)  # norms 2 and 4
PENALTIES = [R1(1.0), R2(1.0), R1R2(1.0), GradientPenalty()]
every_penalty = pytest.mark.parametrize("kind", [type(penalty) for penalty in PENALTIES])


class Linear:
    """D(x) = w·x, so that grad_x D = w."""

    def __init__(self, *w: float) -> None:
        self.w = torch.tensor(w, dtype=torch.float32, requires_grad=True)

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.w


class Quadratic:
    """D(x) = a/2 · ||x||², so that grad_x D = a·x."""

    def __init__(self, a: float) -> None:
        self.a = torch.tensor(float(a), requires_grad=True)

    def __call__(self, images: Tensor) -> Tensor:
        return self.a / 2 * images.square().flatten(1).sum(1)


@pytest.mark.parametrize(
    ("penalty", "linear", "quadratic"),
    [
        (R1(0.5), 0.25 * 30, 0.25 * 4 * (25 + 1) / 2),
        (R2(0.5), 0.25 * 30, 0.25 * 4 * (4 + 16) / 2),
        (R1R2(0.5), 0.25 * 60, 0.25 * 4 * (26 + 20) / 2),
    ],
)
def test_zero_centered_penalties(penalty: Penalty, linear: float, quadratic: float) -> None:
    assert penalty.discriminator(Linear(1, 2, 3, 4), REAL, FAKE)[0].item() == linear
    assert penalty.discriminator(Quadratic(2), REAL, FAKE)[0].item() == quadratic


@pytest.mark.parametrize("penalty", [R1(0.7), R2(0.7), R1R2(0.7)])
def test_second_derivative_against_finite_differences(penalty: Penalty) -> None:
    noise = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=noise).double() for shape in ((4, 3), (3,))]

    def value(first: Tensor, second: Tensor) -> Tensor:
        def critic(images: Tensor) -> Tensor:
            return (images.flatten(1) @ first).tanh() @ second

        return penalty.discriminator(critic, REAL.double() / 4, FAKE.double() / 4)[0]

    torch.autograd.gradcheck(value, [weight.requires_grad_(True) for weight in weights])


def test_gradient_penalty_and_its_derivative() -> None:
    penalty, critic = GradientPenalty(weight=10), Linear(0, 3, 4, 0)
    value, _ = penalty.discriminator(critic, REAL, FAKE)
    value.backward()
    assert value.item() == 10 * (5 - 1) ** 2
    expected = 2 * 10 * (5 - 1) * critic.w.detach() / 5  # d/dw 10·(||w|| - 1)²
    assert torch.allclose(critic.w.grad, expected)
    value, _ = penalty.discriminator(Quadratic(2), REAL, REAL)  # both ends are equal
    assert value.item() == pytest.approx(10 * (9**2 + 1**2) / 2)


def test_gradient_penalty_of_a_flat_critic_has_a_finite_gradient() -> None:
    critic = Linear(0, 0, 0, 0)  # as with a last layer that is initialized to zero
    value, _ = GradientPenalty(weight=10).discriminator(critic, REAL, FAKE)
    value.backward()
    assert value.item() == 10
    assert critic.w.grad.isfinite().all()


def test_gradient_penalty_interpolates_between_pairs() -> None:
    seen, critic = [], Linear(1, 2, 3, 4)
    real, fake = torch.zeros(100, 1, 2, 2), torch.ones(100, 1, 2, 2)
    GradientPenalty().discriminator(lambda x: seen.append(x) or critic(x), real, fake)
    weights = seen[0].flatten(1)
    assert (weights == weights[:, :1]).all()  # one weight for all pixels of a pair
    assert ((weights >= 0) & (weights <= 1)).all()
    assert len(weights[:, 0].unique()) == 100  # and another one for each pair


@every_penalty
def test_lazy_keeps_the_mean_strength_and_logs_it(kind: type[Penalty]) -> None:
    lazy, critic = kind(2.0, interval=4), Linear(1, 2, 3, 4)
    once = lazy.discriminator(critic, REAL, FAKE)[0].item()
    values = [lazy.lazy(step, critic, REAL, FAKE)[0].item() for step in range(8)]
    assert values == [4 * once, 0, 0, 0, 4 * once, 0, 0, 0]
    _, logs = lazy.lazy(0, critic, REAL, FAKE)
    assert sum(logs.values()) == once
    assert not any(part.requires_grad for part in logs.values())


@pytest.mark.parametrize(("penalty", "step"), [(R1(2.0, interval=4), 3), (NoPenalty(), 0)])
def test_a_penalty_of_zero_does_not_call_the_critic(penalty: Penalty, step: int) -> None:
    value, logs = penalty.lazy(step, lambda images: pytest.fail("called"), REAL, FAKE)
    assert (value.item(), value.shape, value.requires_grad, logs) == (0, (), False, {})


@every_penalty
def test_runs_in_fp32_under_autocast(kind: type[Penalty]) -> None:
    seen, linear = [], Linear(1, 2, 3, 4)

    def critic(images: Tensor) -> Tensor:
        logits = linear(images)
        seen.append((torch.is_autocast_enabled("cpu"), images.dtype, logits.dtype))
        return logits

    with torch.autocast("cpu", dtype=torch.bfloat16):
        kind(1.0).lazy(0, critic, REAL.bfloat16(), FAKE.bfloat16())
        assert torch.is_autocast_enabled("cpu")
    assert set(seen) == {(False, torch.float32, torch.float32)}


@every_penalty
def test_the_images_get_no_gradient(kind: type[Penalty]) -> None:
    real, fake = REAL.clone().requires_grad_(True), FAKE.clone().requires_grad_(True)
    kind(1.0).lazy(0, Quadratic(2), real, fake)[0].backward()
    assert real.grad is None
    assert fake.grad is None
