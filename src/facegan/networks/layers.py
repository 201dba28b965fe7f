"""Pieces that several architectures share."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.2  # of leaky ReLUs: Radford et al. 2016, section 4
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "none": lambda channels: nn.Identity(),
}


def norm_layer(name: str, channels: int) -> nn.Module:
    """The normalisation called `name` for (B, channels, H, W)."""
    if name not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {name!r}")
    return NORMS[name](channels)


class SelfModulation(nn.Module):
    """x · (1 + scale(z)) + shift(z), channel by channel: the latents have a say at every depth.

    Chen et al. 2019 ("On Self Modulation for Generative Adversarial Networks"), section 2, with
    the hidden layer of figure 1b, after the norm's own weights. What is linear in z goes past the
    hidden units, of which there are as many as latents.
    """

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(latent_dim, latent_dim)
        self.affine = nn.Linear(2 * latent_dim, 2 * channels)
        nn.init.normal_(self.affine.weight, 0, 0.02)  # a fresh one changes little
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        # (B, C, H, W), (B, latent_dim) -> (B, C, H, W)
        units = F.leaky_relu(self.hidden(z), LEAKY_SLOPE)
        conditioning = torch.cat([z.to(units.dtype), units], dim=1)
        scale, shift = self.affine(conditioning).to(x.dtype)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


class MinibatchStdDev(nn.Module):
    """One more channel: how much the images of a group differ, the same at every place.

    The mean over channels and places of the standard deviation over a group's images, so that a
    discriminator sees missing variety: Karras et al. 2018 ("Progressive Growing of GANs"),
    section 3, in groups as in their code and StyleGAN's. A batch that `group` does not divide is
    one group.
    """

    def __init__(self, group: int = 8) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        # (B, C, H, W) -> (B, C + 1, H, W)
        batch, _, height, width = x.shape
        group = batch if batch % self.group else self.group
        groups = x.float().unflatten(0, (group, -1))
        variance = (groups - groups.mean(dim=0)).square().mean(dim=0)  # var() is slow over dim 0
        # the root's derivative at zero is infinite
        deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
        channel = deviation.repeat(group).to(x.dtype)[:, None, None, None]
        return torch.cat([x, channel.expand(-1, 1, height, width)], dim=1)
