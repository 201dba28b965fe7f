"""Gradient penalties on the discriminator, each applied at every `interval`-th update."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from facegan.core.checks import check_number

Critic = Callable[[Tensor], Tensor]  # images (B, C, H, W) in [-1, 1] -> logits (B,)
Logs = dict[str, Tensor]  # scalars to log


class Penalty(nn.Module):
    """A term of the discriminator's loss that is added at every `interval`-th update.

    Lazy regularization: the term is multiplied by `interval`, which keeps its mean strength (Karras
    et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B). Penalties
    need second derivatives, which torch.compile does not support, so the critic runs eagerly.
    """

    def __init__(self, interval: int = 1) -> None:
        super().__init__()
        check_number("interval", interval, 1, 10**6)
        self.interval = interval

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        """The penalty, a scalar, for images in [-1, 1] of shape (B, C, H, W)."""
        raise NotImplementedError

    def lazy(self, step: int, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        """`interval` times the penalty at every `interval`-th step, else zero; in float32."""
        if step % self.interval:
            return real.new_zeros(()), {}
        # squared gradients underflow in half precision
        eager = torch.compiler.set_stance("force_eager")
        with eager, torch.autocast(real.device.type, enabled=False):
            value, logs = self.discriminator(critic, real.float(), fake.float())
        return self.interval * value, logs


class NoPenalty(Penalty):
    """No penalty."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        return real.new_zeros(()), {}


class ZeroCenteredPenalty(Penalty):
    """gamma/2 · E ||grad_x D(x)||², on the images that a subclass chooses."""

    def __init__(self, gamma: float, interval: int = 1) -> None:
        super().__init__(interval)
        check_number("gamma", gamma, 0, 10**6, whole=False)
        self.gamma = gamma

    def term(self, critic: Critic, images: Tensor) -> Tensor:
        squared_norms = input_gradients(critic, images).square().sum(dim=(1, 2, 3))  # (B,)
        return self.gamma / 2 * squared_norms.mean()


class R1(ZeroCenteredPenalty):
    """The zero-centered gradient penalty on real images (Mescheder et al. 2018, eq. 9)."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        r1 = self.term(critic, real)
        return r1, {"R1": r1.detach()}


class R2(ZeroCenteredPenalty):
    """The zero-centered gradient penalty on generated images (Mescheder et al. 2018, eq. 10)."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        r2 = self.term(critic, fake)
        return r2, {"R2": r2.detach()}


class R1R2(ZeroCenteredPenalty):
    """R1 + R2 with one gamma (Huang et al. 2024, eq. 3)."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        r1, r2 = self.term(critic, real), self.term(critic, fake)
        return r1 + r2, {"R1": r1.detach(), "R2": r2.detach()}


class GradientPenalty(Penalty):
    """weight · E (||grad_x D(x)|| - 1)² (Gulrajani et al. 2017, eq. 3).

    x is drawn uniformly from the line between a real image and the fake at the same index.

    Use it with `norm: none` in the discriminator: batch norm couples the images of a batch, but the
    penalty is defined per image (section 4 of the paper).
    """

    def __init__(self, weight: float = 10.0, interval: int = 1) -> None:
        super().__init__(interval)
        check_number("weight", weight, 0, 10**6, whole=False)
        self.weight = weight

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        mix = torch.rand(len(real), 1, 1, 1, device=real.device)
        gradients = input_gradients(critic, torch.lerp(real, fake, mix))
        # norm() has the subgradient 0 at zero; sqrt() of a sum would have an infinite one
        penalty = self.weight * (gradients.flatten(1).norm(dim=1) - 1).square().mean()
        return penalty, {"GP": penalty.detach()}


def input_gradients(critic: Critic, images: Tensor) -> Tensor:
    """grad_x D(x): (B, C, H, W) -> (B, C, H, W), differentiable once more."""
    images = images.detach().requires_grad_(True)
    (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradients
