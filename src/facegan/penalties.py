"""Gradient penalties on the discriminator, side by side, each lazy by an interval."""

import torch
from torch import Tensor, nn

from facegan.losses import Critic, Logs


class Penalty(nn.Module):
    """What is added to the discriminator's loss at every `interval`-th update.

    Lazy regularisation: the rarer penalty is multiplied by its interval, so that its mean strength
    stays (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B).
    """

    def __init__(self, interval: int = 1) -> None:
        super().__init__()
        if interval < 1:
            raise ValueError(f"interval counts updates and must be at least 1, got {interval}")
        self.interval = interval

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        """The penalty, a scalar, for images in [-1, 1] of shape (B, C, H, W)."""
        raise NotImplementedError

    def lazy(self, step: int, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        """The penalty times its interval at its turn, in fp32; nothing at the other updates."""
        if step % self.interval:
            return real.new_zeros(()), {}
        # squared gradients underflow in half precision
        with torch.autocast(real.device.type, enabled=False):
            value, logs = self.discriminator(critic, real.float(), fake.float())
        return self.interval * value, logs


class NoPenalty(Penalty):
    """The null object: the discriminator is left as it is."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        return real.new_zeros(()), {}


class R1(Penalty):
    """gamma/2 · E ||grad_x D(x)||² on real images (Mescheder et al. 2018, eq. 9)."""

    def __init__(self, gamma: float, interval: int = 1) -> None:
        super().__init__(interval)
        self.gamma = gamma

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        penalty = self.gamma / 2 * squared_gradient_norms(critic, real).mean()
        return penalty, {"R1": penalty.detach()}


class R2(Penalty):
    """gamma/2 · E ||grad_x D(x)||² on generated images (Mescheder et al. 2018, eq. 10)."""

    def __init__(self, gamma: float, interval: int = 1) -> None:
        super().__init__(interval)
        self.gamma = gamma

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        penalty = self.gamma / 2 * squared_gradient_norms(critic, fake).mean()
        return penalty, {"R2": penalty.detach()}


class R1R2(Penalty):
    """R1 + R2 with one gamma (Huang et al. 2024, eq. 3 and section 2.4)."""

    def __init__(self, gamma: float, interval: int = 1) -> None:
        super().__init__(interval)
        self.gamma = gamma

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        r1 = self.gamma / 2 * squared_gradient_norms(critic, real).mean()
        r2 = self.gamma / 2 * squared_gradient_norms(critic, fake).mean()
        return r1 + r2, {"R1": r1.detach(), "R2": r2.detach()}


class GradientPenalty(Penalty):
    """weight · E (||grad_x D(x)|| - 1)², x between pairs (Gulrajani et al. 2017, eq. 3).

    Batch norm in the critic makes the gradients of a batch's images depend on one another, which
    the penalty does not mean (their section 4): use it with `norm: none`.
    """

    def __init__(self, weight: float = 10.0, interval: int = 1) -> None:
        super().__init__(interval)
        self.weight = weight

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        mix = torch.rand(len(real), 1, 1, 1, device=real.device)
        gradients = input_gradients(critic, torch.lerp(real, fake, mix))
        # norm() and not a root of squares, whose derivative at zero is infinite
        penalty = self.weight * (gradients.flatten(1).norm(dim=1) - 1).square().mean()
        return penalty, {"GP": penalty.detach()}


def squared_gradient_norms(critic: Critic, images: Tensor) -> Tensor:
    """||grad_x D(x)||² of each image: (B, C, H, W) -> (B,), differentiable once more."""
    return input_gradients(critic, images).square().sum(dim=(1, 2, 3))


def input_gradients(critic: Critic, images: Tensor) -> Tensor:
    """grad_x D(x): (B, C, H, W) -> (B, C, H, W), differentiable once more."""
    images = images.detach().requires_grad_(True)
    (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradients
