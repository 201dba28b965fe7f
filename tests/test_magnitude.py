"""The magnitude-preserving discriminator: shapes, variance at the start, gradients, rebuilding."""

import pytest
import torch

from facegan.networks.magnitude import MPConv2d, MPDiscriminator, MPLinear


@pytest.mark.parametrize("size", [28, 32, 56, 64, 128])
def test_shapes(size: int) -> None:
    discriminator = MPDiscriminator(width=4, max_width=16, hidden=8, image_size=size)
    assert discriminator(torch.randn(8, 3, size, size)).shape == (8,)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (MPLinear(64, 256), (512, 64)),
        (MPConv2d(32, 64, 3), (16, 32, 32, 32)),
        (MPConv2d(32, 64, 1), (16, 32, 32, 32)),
        (MPConv2d(32, 64, 4, stride=2), (16, 32, 32, 32)),
    ],
)
def test_layers_keep_unit_variance(layer: torch.nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    output = layer(torch.randn(shape))
    inner = output[..., 2:-2, 2:-2] if output.ndim == 4 else output  # padding lowers the border
    assert inner.var().item() == pytest.approx(1, rel=0.1)


def test_scaling_a_weight_changes_nothing() -> None:
    layer = MPConv2d(4, 8, 3)
    images = torch.randn(2, 4, 8, 8)
    before = layer(images)
    layer.weight.data *= 3
    torch.testing.assert_close(layer(images), before)


def test_every_weight_gets_a_gradient() -> None:
    discriminator = MPDiscriminator(width=4, max_width=16, hidden=8)
    discriminator(torch.randn(8, 3, 28, 28)).square().sum().backward()
    for name, weight in discriminator.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().sum() > 0, name


def test_config_rebuilds_the_network() -> None:
    discriminator = MPDiscriminator(width=4, max_width=16, hidden=8, image_size=32)
    again = MPDiscriminator(**discriminator.config)
    again.load_state_dict(discriminator.state_dict())


def test_widths_are_checked() -> None:
    with pytest.raises(ValueError, match="max_width=8"):
        MPDiscriminator(width=16, max_width=8, hidden=8)
