"""Adversarial losses, side by side. Every one sees a critic: images (B, C, H, W) -> logits (B,)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]
Logs = dict[str, Tensor]


class AdversarialLoss(nn.Module):
    """A pair of objectives that share one critic.

    Both methods take `critic` and two batches of images in [-1, 1], (B, C, H, W), and return the
    loss to minimise, a scalar, with what is worth a curve. Gradients flow into whatever in
    `critic`, `real` and `fake` asks for them: the caller detaches and freezes.
    """

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        """What the discriminator minimises."""
        raise NotImplementedError

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        """What the generator minimises."""
        raise NotImplementedError

    def readout(self, logits: Tensor) -> Tensor:
        """What a curve of the discriminator's verdict shows: here, the mean of the raw logits."""
        return logits.detach().mean()

    def _discriminator_logs(self, loss: Tensor, real: Tensor, fake: Tensor) -> Logs:
        verdicts = {"D_real": self.readout(real), "D_fake": self.readout(fake)}
        return {"D_loss": loss.detach(), **verdicts}


class NonSaturating(AdversarialLoss):
    """The logistic loss whose generator maximises log D(G(z)) (Goodfellow et al. 2014, section 3).

    `label_smoothing` = s moves the real photographs' target from 1 to 1 - s, the fakes' stays at
    0: one-sided label smoothing (Salimans et al. 2016, section 3.4).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 0.5:
            raise ValueError(
                f"label_smoothing must lie in [0, 0.5), got {label_smoothing}; try 0 or 0.1"
            )
        self.label_smoothing = label_smoothing

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        real_logits, fake_logits = critic(real), critic(fake)
        smooth = self.label_smoothing
        on_real = (1 - smooth) * F.softplus(-real_logits) + smooth * F.softplus(real_logits)
        loss = on_real.mean() + F.softplus(fake_logits).mean()
        return loss, self._discriminator_logs(loss, real_logits, fake_logits)

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        loss = F.softplus(-critic(fake)).mean()
        return loss, {"G_loss": loss.detach()}

    def readout(self, logits: Tensor) -> Tensor:
        """The mean probability of being real."""
        return logits.detach().sigmoid().mean()


class Minimax(NonSaturating):
    """The original zero-sum game: G minimises log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1).

    Its gradient vanishes where the discriminator is sure; `NonSaturating` is the cure.
    """

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        loss = -F.softplus(critic(fake)).mean()
        return loss, {"G_loss": loss.detach()}


class LeastSquares(AdversarialLoss):
    """Least squares with the targets 0 and 1 (Mao et al. 2017, eq. 9)."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        real_logits, fake_logits = critic(real), critic(fake)
        loss = 0.5 * (real_logits - 1).square().mean() + 0.5 * fake_logits.square().mean()
        return loss, self._discriminator_logs(loss, real_logits, fake_logits)

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        loss = 0.5 * (critic(fake) - 1).square().mean()
        return loss, {"G_loss": loss.detach()}


class Hinge(AdversarialLoss):
    """The hinge loss (Lim and Ye 2017; Miyato et al. 2018, eqs. 16 and 17)."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        real_logits, fake_logits = critic(real), critic(fake)
        loss = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
        return loss, self._discriminator_logs(loss, real_logits, fake_logits)

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        loss = -critic(fake).mean()
        return loss, {"G_loss": loss.detach()}


class Wasserstein(AdversarialLoss):
    """The Kantorovich-Rubinstein dual of the earth mover's distance (Arjovsky et al. 2017, eq. 2).

    It bounds nothing by itself: the critic must be kept Lipschitz, by a gradient penalty.
    """

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        real_logits, fake_logits = critic(real), critic(fake)
        loss = fake_logits.mean() - real_logits.mean()
        return loss, self._discriminator_logs(loss, real_logits, fake_logits)

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        loss = -critic(fake).mean()
        return loss, {"G_loss": loss.detach()}


class RelativisticPairing(AdversarialLoss):
    """Each fake is judged against the real image it is paired with (Huang et al. 2024, eq. 2).

    Theirs is maximised with f(t) = -softplus(-t); here its negative is minimised.
    The critic must see real and fake apart: batch norm over both at once makes this loss collapse.
    """

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        real_logits, fake_logits = critic(real), critic(fake)
        loss = F.softplus(fake_logits - real_logits).mean()
        return loss, self._discriminator_logs(loss, real_logits, fake_logits)

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        with torch.no_grad():
            real_logits = critic(real)  # no gradient reaches the generator through it
        loss = F.softplus(real_logits - critic(fake)).mean()
        return loss, {"G_loss": loss.detach()}
