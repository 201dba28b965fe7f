"""R3GAN's residual networks: their size, their block, their derivatives."""

import math
from functools import partial

import pytest
import torch
from test_networks import noise, parameters, seeded
from torch import nn

from facegan.gan.penalties import input_gradients
from facegan.networks.residual import LEAKY_SLOPE, ResidualBlock, ResidualDiscriminator

tiny_discriminator = partial(seeded, ResidualDiscriminator, width=8, blocks=1, image_size=14)


def test_parameters_of_a_discriminator() -> None:
    block = (8 * 16 + 16) + (16 * 16 * 9 + 16) + 16 * 8  # one group of sixteen channels
    narrow = (4 * 8 + 8) + (8 * 8 * 9 + 8) + 8 * 4
    stem, widen, end = 3 * 4 + 4, 4 * 8, 8 * 7 * 7 + 8
    assert parameters(tiny_discriminator()) == stem + narrow + widen + block + end


def test_the_grouped_convolution_has_sixteen_channels_per_group() -> None:
    for width, seen in ((24, 16), (8, 16), (4, 8), (2, 4)):
        mix = ResidualBlock(width, depth=1).mix
        assert mix.in_channels == 2 * width
        assert mix.weight.shape[1] == seen


@pytest.mark.parametrize("depth", [1, 16])
def test_an_initial_block_is_the_identity_with_scaled_weights(depth: int) -> None:
    block, x = seeded(ResidualBlock, width=64, depth=depth), noise(2, 64, 5, 5)
    assert torch.equal(block(x), x)
    gain = math.sqrt(2 / (1 + LEAKY_SLOPE**2)) / depth ** (1 / 4)
    assert block.expand.weight.std().item() == pytest.approx(gain / 64**0.5, rel=0.05)
    assert block.mix.weight.std().item() == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.05)


def test_a_block_agrees_with_its_formula() -> None:
    block, x = seeded(ResidualBlock, width=2, depth=1), noise(3, 2, 4, 4)
    nn.init.normal_(block.project.weight)
    y = torch.einsum("oi,bihw->bohw", block.expand.weight[:, :, 0, 0], x)
    y = torch.where(y > 0, y, LEAKY_SLOPE * y)
    y = torch.conv2d(y, block.mix.weight, padding=1)
    y = torch.where(y > 0, y, LEAKY_SLOPE * y)
    y = torch.einsum("oi,bihw->bohw", block.project.weight[:, :, 0, 0], y)
    assert torch.allclose(block(x), x + y, atol=1e-5)


def test_a_penalty_differentiates_the_grouped_convolutions_twice() -> None:
    discriminator, images = tiny_discriminator(width=32, image_size=8).double(), noise(2, 3, 8, 8)
    for layer in discriminator.modules():
        if isinstance(layer, ResidualBlock):
            nn.init.normal_(layer.project.weight, 0, 0.1)
    weight, step = discriminator.layers[1].mix.weight, 1e-6

    def penalty() -> torch.Tensor:
        gradients = input_gradients(discriminator, images.double())
        return gradients.square().sum(dim=(1, 2, 3)).mean()

    penalty().backward()
    slope = weight.grad[0, 0, 1, 1].item()
    values = []
    for change in (step, -2 * step):
        with torch.no_grad():
            weight[0, 0, 1, 1] += change
        values.append(penalty().item())
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)
    assert slope != 0
