"""Layers that several architectures use."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_HIDDEN = 65_536  # units of a head
LEAKY_SLOPE = 0.2  # of leaky ReLUs: Radford et al. 2016, section 4
LEAKY_GAIN = nn.init.calculate_gain("leaky_relu", LEAKY_SLOPE)  # He et al. 2015, eq. 15


class SelfModulation(nn.Module):
    """Conditions a feature map on the latents: x · (1 + scale(z)) + shift(z) for each channel.

    Chen et al. 2019 ("On Self Modulation for Generative Adversarial Networks"), section 2, with
    two differences: the norm before it has weights, too, and scale and shift are linear in
    both z and a hidden layer of `latent_dim` units, not in the hidden layer alone.
    """

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(latent_dim, latent_dim)
        self.affine = nn.Linear(2 * latent_dim, 2 * channels)
        nn.init.normal_(self.affine.weight, 0, 0.02)  # close to the identity at the start
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        # (B, C, H, W), (B, latent_dim) -> (B, C, H, W)
        units = F.leaky_relu(self.hidden(z), LEAKY_SLOPE)
        conditioning = torch.cat([z.to(units.dtype), units], dim=1)
        scale, shift = self.affine(conditioning).to(x.dtype)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


class MinibatchStdDev(nn.Module):
    """Appends a channel with the minibatch standard deviation, constant over positions.

    The standard deviation over the images of a group, averaged over channels and positions:
    Karras et al. 2018 ("Progressive Growing of GANs"), section 3, with groups as in their code
    and in StyleGAN's. It shows the discriminator how much images differ, against mode collapse.
    A batch that `group` does not divide is one group.
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
        # 1e-8: the derivative of sqrt at zero is infinite
        stddev = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
        channel = stddev.repeat(group).to(x.dtype)[:, None, None, None]
        return torch.cat([x, channel.expand(-1, 1, height, width)], dim=1)
