"""Every loss against torch's functions on random logits, and the laws that each promises."""

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


def random_logits() -> Tensor:
    """Of fifty real and fifty generated images: (2, 50)."""
    return 3 * torch.randn(2, 50, generator=torch.Generator().manual_seed(0))


def objectives(loss: AdversarialLoss, real: Tensor, fake: Tensor) -> list[float]:
    """The values of the discriminator's and of the generator's objective."""
    return [loss.discriminator(real, fake).item(), loss.generator(fake, real).item()]


def torch_objectives(loss: AdversarialLoss, real: Tensor, fake: Tensor) -> list[Tensor]:
    """The same objectives in terms of `torch.nn.functional`."""
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
    real, fake = random_logits()
    expected = [value.item() for value in torch_objectives(loss, real, fake)]
    assert objectives(loss, real, fake) == pytest.approx(expected, abs=2e-5)


@every_loss
def test_extreme_logits_stay_finite(loss: AdversarialLoss) -> None:
    values = objectives(loss, torch.tensor([-1e4, 1e4]), torch.tensor([1e4, -1e4]))
    assert all(map(math.isfinite, values))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(Hinge(), 1.0), (LeastSquares(), 0.5), (Wasserstein(), 3.0), (RelativisticPairing(), 3.0)],
)
def test_the_margin_of_real_images(loss: AdversarialLoss, expected: float) -> None:
    assert loss.real_margin(torch.tensor([1.0]), torch.tensor([-2.0])).item() == expected
