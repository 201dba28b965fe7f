"""Every loss on chosen logits: closed forms, torch's functions, gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegan.gan.losses import (
    AdversarialLoss,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    RelativisticPairing,
    Wasserstein,
)

REAL, FAKE = [2.0, -0.5, 0.25], [-3.0, 0.5, 1.5]
LOSSES = [
    NonSaturating(),
    NonSaturating(label_smoothing=0.1),
    Minimax(),
    LeastSquares(),
    Hinge(),
    Wasserstein(),
    RelativisticPairing(),
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


def logits(values: list[float]) -> Tensor:
    return torch.tensor(values).requires_grad_(True)


def both_objectives(loss: AdversarialLoss, real: list[float], fake: list[float]) -> list[float]:
    """The values of the discriminator's and of the generator's objective."""
    on_real, on_fake = logits(real), logits(fake)
    objectives = loss.discriminator(on_real, on_fake), loss.generator(on_fake, on_real.detach())
    return [objective.item() for objective in objectives]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def log_d(logit: float) -> float:
    """log D(x), where D is the probability of being real."""
    return math.log(1 / (1 + math.exp(-logit)))


def test_non_saturating() -> None:
    discriminator = -mean([log_d(r) for r in REAL]) - mean([log_d(-f) for f in FAKE])
    generator = -mean([log_d(f) for f in FAKE])
    assert both_objectives(NonSaturating(), REAL, FAKE) == pytest.approx([discriminator, generator])


def test_label_smoothing_moves_the_target_of_real_images_only() -> None:
    on_real = -mean([0.9 * log_d(r) + 0.1 * log_d(-r) for r in REAL])
    discriminator = on_real - mean([log_d(-f) for f in FAKE])
    generator = -mean([log_d(f) for f in FAKE])
    smooth = NonSaturating(label_smoothing=0.1)
    assert both_objectives(smooth, REAL, FAKE) == pytest.approx([discriminator, generator])


def test_label_smoothing_has_its_minimum_at_the_smoothed_probability() -> None:
    real, fake = logits([math.log(0.9 / 0.1)]), logits([0.0])  # D(real) = 0.9
    NonSaturating(label_smoothing=0.1).discriminator(real, fake).backward()
    assert real.grad.item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("label_smoothing", [-0.1, 0.5, 1.0])
def test_label_smoothing_out_of_range(label_smoothing: float) -> None:
    with pytest.raises(ValueError, match=rf"\[0, 0.5\), got {label_smoothing}; try 0 or 0.1"):
        NonSaturating(label_smoothing)


def test_minimax_is_zero_sum() -> None:
    generator = mean([log_d(-f) for f in FAKE])
    discriminator = -mean([log_d(r) for r in REAL]) - generator
    assert both_objectives(Minimax(), REAL, FAKE) == pytest.approx([discriminator, generator])


def test_minimax_saturates_where_non_saturating_does_not() -> None:
    slopes = []
    for loss in (Minimax(), NonSaturating()):
        fake = logits([-10.0])  # the discriminator is confident
        loss.generator(fake, torch.tensor([10.0])).backward()
        slopes.append(fake.grad.item())
    assert slopes == pytest.approx([-1 / (1 + math.exp(10)), -1 / (1 + math.exp(-10))])


def test_least_squares() -> None:
    # real: 1² + 1.5² + .75² = 3.8125; fake to 0: 9 + .25 + 2.25; fake to 1: 16 + .25 + .25
    expected = [(3.8125 + 11.5) / 6, 16.5 / 6]
    assert both_objectives(LeastSquares(), REAL, FAKE) == pytest.approx(expected)


def test_hinge() -> None:
    # real: 0 + 1.5 + .75; fake: 0 + 1.5 + 2.5; the fakes' mean is -1/3
    assert both_objectives(Hinge(), REAL, FAKE) == pytest.approx([(2.25 + 4) / 3, 1 / 3])


def test_wasserstein() -> None:
    # the means are 1.75/3 and -1/3
    assert both_objectives(Wasserstein(), REAL, FAKE) == pytest.approx([-2.75 / 3, 1 / 3])


def test_relativistic_pairing() -> None:
    differences = [r - f for r, f in zip(REAL, FAKE, strict=True)]
    expected = [-mean([log_d(d) for d in differences]), -mean([log_d(-d) for d in differences])]
    assert both_objectives(RelativisticPairing(), REAL, FAKE) == pytest.approx(expected)


def test_relativistic_pairing_depends_on_differences_only() -> None:
    shifted = both_objectives(RelativisticPairing(), [r + 5 for r in REAL], [f + 5 for f in FAKE])
    assert shifted == pytest.approx(both_objectives(RelativisticPairing(), REAL, FAKE))


def torch_objectives(loss: AdversarialLoss, real: Tensor, fake: Tensor) -> list[Tensor]:
    """The same objectives in terms of `torch.nn.functional`: discriminator, generator."""
    one, zero = torch.ones_like(real), torch.zeros_like(real)
    bce, mse = F.binary_cross_entropy_with_logits, F.mse_loss
    match loss:
        case Minimax():
            return [bce(real, one) + bce(fake, zero), -bce(fake, zero)]
        case NonSaturating(label_smoothing=s):
            return [bce(real, one - s) + bce(fake, zero), bce(fake, one)]
        case LeastSquares():
            return [(mse(real, one) + mse(fake, zero)) / 2, mse(fake, one) / 2]
        case Hinge():
            margins = [F.margin_ranking_loss(x, zero, y, 1) for x, y in ((real, one), (fake, -one))]
            return [sum(margins), -fake.mean()]
        case Wasserstein():
            return [F.l1_loss(fake, real - 99) - 99, F.l1_loss(fake, zero + 99) - 99]
        case RelativisticPairing():
            return [F.soft_margin_loss(real - fake, one), F.soft_margin_loss(real - fake, -one)]
    raise AssertionError(loss)


@every_loss
def test_agrees_with_torch(loss: AdversarialLoss) -> None:
    real, fake = 3 * torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    expected = [value.item() for value in torch_objectives(loss, real, fake)]
    assert both_objectives(loss, real.tolist(), fake.tolist()) == pytest.approx(expected, abs=2e-5)


@every_loss
def test_the_discriminators_objective_raises_real_and_lowers_fake_logits(
    loss: AdversarialLoss,
) -> None:
    real, fake = logits([0.3, -0.6]), logits([0.2, 0.7])
    loss.discriminator(real, fake).backward()
    assert (real.grad < 0).all()  # descent raises D(real)
    assert (fake.grad > 0).all()  # and lowers D(fake)


@every_loss
def test_the_generators_objective_raises_fake_logits(loss: AdversarialLoss) -> None:
    fake = logits([-0.2, 0.7])
    loss.generator(fake, torch.tensor([0.3, -0.6])).backward()
    assert (fake.grad < 0).all()


@every_loss
def test_extreme_logits_stay_finite(loss: AdversarialLoss) -> None:
    values = both_objectives(loss, [-1e4, 1e4], [1e4, -1e4])
    assert all(map(math.isfinite, values))
