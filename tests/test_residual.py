"""The contract of a generator and a discriminator, on R3GAN's residual networks."""

import math

import pytest
import torch
from test_networks import SIZES, noise, parameters
from torch import nn

from facegan.gan.penalties import squared_gradient_norms
from facegan.networks.residual import (
    LEAKY_SLOPE,
    ResidualBlock,
    ResidualDiscriminator,
    ResidualGenerator,
)


def tiny_generator(**changes: int) -> ResidualGenerator:
    torch.manual_seed(0)
    return ResidualGenerator(
        **{"latent_dim": 5, "width": 8, "blocks": 1, "image_size": 14, **changes}
    )


def tiny_discriminator(**changes: int) -> ResidualDiscriminator:
    torch.manual_seed(0)
    return ResidualDiscriminator(**{"width": 8, "blocks": 1, "image_size": 14, **changes})


@pytest.mark.parametrize("image_size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_ranges(image_size: int, channels: int) -> None:
    size = {"image_size": image_size, "channels": channels, "width": 32}
    images = tiny_generator(**size)(noise(2, 5))
    assert images.shape == (2, channels, image_size, image_size)
    assert images.abs().max() <= 1
    assert tiny_discriminator(**size)(images).shape == (2,)


def test_one_image_has_one_logit() -> None:
    assert tiny_discriminator()(noise(1, 3, 14, 14)).shape == (1,)


def test_config_rebuilds_a_network() -> None:
    for network in (tiny_generator(blocks=2), tiny_discriminator(blocks=2)):
        twin = type(network)(**network.config)
        twin.load_state_dict(network.state_dict())


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
    torch.manual_seed(0)
    block, x = ResidualBlock(64, depth), noise(2, 64, 5, 5)
    assert torch.equal(block(x), x)
    gain = math.sqrt(2 / (1 + LEAKY_SLOPE**2)) / depth ** (1 / 4)
    assert block.expand.weight.std().item() == pytest.approx(gain / 64**0.5, rel=0.05)
    assert block.mix.weight.std().item() == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.05)


def test_a_block_by_hand() -> None:
    torch.manual_seed(0)
    block, x = ResidualBlock(2, depth=1), noise(3, 2, 4, 4)
    nn.init.normal_(block.project.weight)
    y = torch.einsum("oi,bihw->bohw", block.expand.weight[:, :, 0, 0], x)
    y = torch.where(y > 0, y, LEAKY_SLOPE * y)
    y = torch.conv2d(y, block.mix.weight, padding=1)
    y = torch.where(y > 0, y, LEAKY_SLOPE * y)
    y = torch.einsum("oi,bihw->bohw", block.project.weight[:, :, 0, 0], y)
    assert torch.allclose(block(x), x + y, atol=1e-5)


def test_images_do_not_depend_on_their_batch() -> None:
    generator, z = tiny_generator(), noise(4, 5)
    assert torch.allclose(generator(z)[:1], generator(z[:1]), atol=1e-6)


@pytest.mark.parametrize("blocks", [1, 8])
def test_the_signal_does_not_vanish_in_an_untrained_network(blocks: int) -> None:
    images = tiny_generator(width=64, image_size=64, blocks=blocks)(noise(16, 5))
    logits = tiny_discriminator(width=64, image_size=64, blocks=blocks)(images)
    assert 0.1 < images.std() < 1
    assert 0.05 < logits.std() < 10


def test_a_penalty_differentiates_the_grouped_convolutions_twice() -> None:
    discriminator, images = tiny_discriminator(width=32, image_size=8).double(), noise(2, 3, 8, 8)
    for layer in discriminator.modules():
        if isinstance(layer, ResidualBlock):
            nn.init.normal_(layer.project.weight, 0, 0.1)
    weight, step = discriminator.layers[1].mix.weight, 1e-6

    def penalty() -> torch.Tensor:
        return squared_gradient_norms(discriminator, images.double()).mean()

    penalty().backward()
    slope = weight.grad[0, 0, 1, 1].item()
    values = []
    for change in (step, -2 * step):
        with torch.no_grad():
            weight[0, 0, 1, 1] += change
        values.append(penalty().item())
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)
    assert slope != 0
