"""R3GAN's residual networks without normalization (Huang et al. 2024, section 3), small.

The backbone of their config E: inverted bottlenecks with grouped convolutions, initialized so that
every block is the identity. Differences: the paper resamples with the filter [1, 2, 1] and has no
output activation; here upsampling is bilinear, downsampling is a 2x2 mean, and the output is tanh.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.core.checks import check_number
from facegan.core.resolutions import base_and_levels, channels_per_level
from facegan.networks.base import Discriminator, Generator
from facegan.networks.layers import LEAKY_GAIN, LEAKY_SLOPE

EXPANSION = 2
MAX_BLOCKS = 64  # at each size
GROUP = 16  # channels per group of the 3x3 convolution


class ResidualGenerator(Generator):
    """A learned 7x7 (or 4x4) map, scaled per channel by the latents; then blocks and upsampling.

    At 28x28 and `width` 192: 7x7x192 -> 14x14x96 -> 28x28x48 -> 28x28x3, `blocks` at each size.
    """

    def __init__(
        self, latent_dim: int, width: int, blocks: int, image_size: int = 28, channels: int = 3
    ) -> None:
        super().__init__(latent_dim, image_size, channels, width=width, blocks=blocks)
        check_number("blocks", blocks, 1, MAX_BLOCKS)
        base, levels = base_and_levels(image_size)
        widths = channels_per_level(width, levels)
        depth = blocks * len(widths)
        self.basis = nn.Parameter(torch.randn(width, base, base))
        self.weighting = _scaled(nn.Linear(latent_dim, width, bias=False), gain=1)
        layers = _stage(width, blocks, depth)
        for wide, narrow in itertools.pairwise(widths):
            mix = _scaled(nn.Conv2d(wide, narrow, 1, bias=False), gain=1)
            up = nn.Upsample(scale_factor=2, mode="bilinear")
            layers += [mix, up, *_stage(narrow, blocks, depth)]
        layers += [_scaled(nn.Conv2d(widths[-1], channels, 1), gain=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        # (B, latent_dim) -> (B, channels, image_size, image_size)
        return self.layers(self.basis * self.weighting(z)[:, :, None, None])


class ResidualDiscriminator(Discriminator):
    """Blocks and downsampling, a depthwise convolution over the last map, and a linear layer.

    At 28x28 and `width` 192: 28x28x48 -> 14x14x96 -> 7x7x192 -> 192 -> one logit.
    """

    def __init__(self, width: int, blocks: int, image_size: int = 28, channels: int = 3) -> None:
        super().__init__(image_size, channels, width=width, blocks=blocks)
        check_number("blocks", blocks, 1, MAX_BLOCKS)
        base, levels = base_and_levels(image_size)
        widths = channels_per_level(width, levels)[::-1]
        depth = blocks * len(widths)
        from_image = _scaled(nn.Conv2d(channels, widths[0], 1), gain=1)
        layers = [from_image, *_stage(widths[0], blocks, depth)]
        for narrow, wide in itertools.pairwise(widths):
            mix = _scaled(nn.Conv2d(narrow, wide, 1, bias=False), gain=1)
            layers += [nn.AvgPool2d(2), mix, *_stage(wide, blocks, depth)]
        pool = _scaled(nn.Conv2d(width, width, base, groups=width, bias=False), gain=1)
        layers += [pool, nn.Flatten(), _scaled(nn.Linear(width, 1, bias=False), gain=1)]
        self.layers = nn.Sequential(*layers)

    def features(self, images: Tensor) -> Tensor:
        # (B, channels, image_size, image_size) -> (B, width)
        return self.layers[:-1](images)

    def logits(self, features: Tensor) -> Tensor:
        return self.layers[-1](features).flatten().float()


class ResidualBlock(nn.Module):
    """x + project(mix(expand(x))): 1x1 to twice the width, grouped 3x3, 1x1 back to the width.

    Fixup initialization (Zhang et al. 2019, section 3) for a network of `depth` blocks: the first
    two convolutions are scaled by depth^(-1/4), and the last one is zero.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        wide = EXPANSION * width
        gain = LEAKY_GAIN * depth**-0.25
        self.expand = _scaled(nn.Conv2d(width, wide, 1), gain)
        self.mix = _scaled(
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide // math.gcd(wide, GROUP)), gain
        )
        self.project = _scaled(nn.Conv2d(wide, width, 1, bias=False), gain=0)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.expand(x), LEAKY_SLOPE)
        y = F.leaky_relu(self.mix(y), LEAKY_SLOPE)
        return x + self.project(y)


def _stage(width: int, blocks: int, depth: int) -> list[nn.Module]:
    """The blocks at one size, of a network of `depth` blocks."""
    return [ResidualBlock(width, depth) for _ in range(blocks)]


def _scaled(layer: nn.Conv2d | nn.Linear, gain: float) -> nn.Module:
    """Draws weights from N(0, gain²/fan_in) (He et al. 2015, section 2.2); biases are zero."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
