"""A residual discriminator of magnitude-preserving layers, for a million images and more.

Every convolution and linear layer normalizes the weights of each output to unit length, as the
magnitude-preserving layers of Karras et al. 2024 ("Analyzing and Improving the Training Dynamics of
Diffusion Models", section 2.3) do. Weights start as N(0, 1), so that a learning rate is a relative
change and means the same at every width and image size. Stored weights are not projected back to
unit length, which the paper does: they grow, and the relative change falls slowly with them.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegan.core.checks import check_number
from facegan.core.resolutions import MAX_WIDTH, base_and_levels
from facegan.networks.base import Discriminator
from facegan.networks.layers import LEAKY_GAIN, LEAKY_SLOPE, MAX_HIDDEN, MinibatchStdDev


class MPDiscriminator(Discriminator):
    """A convolution at full size, residual blocks that halve the size to 4x4 or 3x3, a head.

    `width` is the number of channels at full size. It doubles with each halving of the size up to
    `max_width`. At 28x28, `width` 64 and `max_width` 256: 28x28x64 -> 14x14x128 -> 7x7x256 ->
    3x3x256 -> `hidden` units -> one logit. The hidden units also see the standard deviation over
    the batch (`MinibatchStdDev`).
    """

    def __init__(
        self, width: int, max_width: int, hidden: int, image_size: int = 28, channels: int = 3
    ) -> None:
        super().__init__(image_size, channels, width=width, max_width=max_width, hidden=hidden)
        base, levels = base_and_levels(image_size)
        check_number("width", width, 1, MAX_WIDTH)
        check_number("max_width", max_width, width, MAX_WIDTH)
        check_number("hidden", hidden, 1, MAX_HIDDEN)
        halvings = levels + (base == 7)
        widths = [min(width << level, max_width) for level in range(halvings + 1)]
        self.from_image = MPConv2d(channels, width, 3)
        self.blocks = nn.Sequential(
            *(DiscriminatorBlock(*pair) for pair in itertools.pairwise(widths))
        )
        side = image_size >> halvings
        self.stddev = MinibatchStdDev()
        self.hidden = MPLinear((widths[-1] + 1) * side * side, hidden)
        self.logit = MPLinear(hidden, 1)
        self.gain = nn.Parameter(torch.ones(()))

    def features(self, images: Tensor) -> Tensor:
        # (B, channels, image_size, image_size) -> (B, hidden)
        x = self.stddev(_activate(self.blocks(self.from_image(images))))
        return _activate(self.hidden(x.flatten(1)))

    def logits(self, features: Tensor) -> Tensor:
        return self.logit(features).flatten().float() * self.gain


class DiscriminatorBlock(nn.Module):
    """(skip + two convolutions) / √2, at half of the size: Karras et al. 2020 (StyleGAN2), fig. 7.

    The second convolution is strided, the skip averages 2x2 pixels and is mixed by a 1x1
    convolution.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = MPConv2d(inputs, inputs, 3)
        self.conv2 = MPConv2d(inputs, outputs, 4, stride=2)
        self.mix = MPConv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # (B, inputs, H, W) -> (B, outputs, H // 2, W // 2)
        y = self.conv2(_activate(self.conv1(_activate(x))))
        return (self.mix(F.avg_pool2d(x, 2)) + y) * math.sqrt(0.5)


class MPConv2d(nn.Module):
    """A convolution that keeps unit variance: weights of unit length for each output channel."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = (kernel - 1) // 2
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        # (B, inputs, H, W) -> (B, outputs, H // stride, W // stride)
        weight = F.normalize(self.weight.flatten(1), dim=1).view_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class MPLinear(nn.Module):
    """A linear layer that keeps unit variance: weights of unit length for each output."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.normalize(self.weight, dim=1), self.bias)


def _activate(x: Tensor) -> Tensor:
    """Leaky ReLU with the gain that keeps the variance of a normal input."""
    return F.leaky_relu(x, LEAKY_SLOPE) * LEAKY_GAIN
