"""The magnitude-preserving discriminator: its layers keep unit variance, all weights learn."""

import pytest
import torch

from facegan.networks.magnitude import MPConv2d, MPDiscriminator, MPLinear


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (MPLinear(64, 256), (512, 64)),
        (MPConv2d(32, 64, 3), (16, 32, 32, 32)),
        (MPConv2d(32, 64, 1), (16, 32, 32, 32)),
        (MPConv2d(32, 64, 4, stride=2), (16, 32, 32, 32)),
    ],
)
def test_layers_keep_unit_variance_whatever_the_scale_of_their_weights(
    layer: torch.nn.Module, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    output = layer(x)
    inner = output[..., 2:-2, 2:-2] if output.ndim == 4 else output  # padding lowers the border
    assert inner.var().item() == pytest.approx(1, rel=0.1)
    layer.weight.data *= 3
    torch.testing.assert_close(layer(x), output)


def test_every_weight_gets_a_gradient() -> None:
    discriminator = MPDiscriminator(width=4, max_width=16, hidden=8)
    discriminator(torch.randn(8, 3, 28, 28)).square().sum().backward()
    for name, weight in discriminator.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().sum() > 0, name
