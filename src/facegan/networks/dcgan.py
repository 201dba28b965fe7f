"""DCGAN (Radford et al. 2016) for images of 4·2^k or 7·2^k pixels, such as 28x28."""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from facegan.core.checks import check_choice, check_number
from facegan.core.resolutions import MAX_WIDTH, base_and_levels, channels_per_level
from facegan.networks.base import Discriminator, Generator
from facegan.networks.layers import LEAKY_SLOPE, MAX_HIDDEN, MinibatchStdDev, SelfModulation

NORMS = ("batch", "none")
INIT_STD = 0.02  # Radford et al. 2016, section 4


class DCGANGenerator(Generator):
    """A linear layer, then transposed convolutions that double the size and halve the channels.

    At 28x28 and `width` 1024: 7x7x1024 -> 14x14x512 -> 28x28x256 -> 28x28x3. Every layer but the
    last has batch norm, leaky ReLU and dropout; the last has tanh. With `modulated`, a
    `SelfModulation` follows every norm. A `negative_slope` of 0 makes the leaky ReLUs ReLUs.
    """

    def __init__(
        self,
        latent_dim: int,
        width: int,
        image_size: int = 28,
        channels: int = 3,
        dropout: float = 0.0,
        norm: str = "batch",
        modulated: bool = False,
        negative_slope: float = LEAKY_SLOPE,
    ) -> None:
        super().__init__(
            latent_dim,
            image_size,
            channels,
            width=width,
            dropout=dropout,
            norm=norm,
            modulated=modulated,
            negative_slope=negative_slope,
        )
        check_number("dropout", dropout, 0, 0.99, whole=False)
        check_choice("norm", norm, NORMS)
        check_number("negative_slope", negative_slope, 0, 1, whole=False)
        base, levels = base_and_levels(image_size)
        widths = channels_per_level(width, levels)
        plain = norm == "none"

        def finish(depth: int) -> list[nn.Module]:
            normalize = nn.Identity() if plain else nn.BatchNorm2d(depth)
            modulate = [SelfModulation(latent_dim, depth)] if modulated else []
            activate = nn.LeakyReLU(negative_slope, inplace=True)
            return [normalize, *modulate, activate, nn.Dropout(dropout)]

        dense = nn.Linear(latent_dim, base * base * width, bias=plain)
        layers = [dense, nn.Unflatten(1, (width, base, base)), *finish(width)]
        for wide, narrow in itertools.pairwise(widths):
            up = nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=plain)
            layers += [up, *finish(narrow)]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        _init_weights(self.layers, norm, negative_slope)

    def forward(self, z: Tensor) -> Tensor:
        # (B, latent_dim) -> (B, channels, image_size, image_size)
        x = z
        for layer in self.layers:
            x = layer(x, z) if isinstance(layer, SelfModulation) else layer(x)
            if self.training and isinstance(layer, nn.Unflatten):
                # as the gradients of the convolutions: mixed memory formats are slow
                x = x.contiguous(memory_format=torch.channels_last)
        return x


class DCGANDiscriminator(Discriminator):
    """Strided convolutions down to 4x4 or 3x3, then a convolution that covers the whole map.

    At 28x28 and `width` 64: 14x14x64 -> 7x7x128 -> 3x3x256 -> one logit. Leaky ReLU throughout,
    batch norm except on the first layer. With `spectral_norm`, every layer's weights are divided by
    their largest singular value (Miyato et al. 2018, eq. 8). `max_width` limits the
    channels. With `hidden` > 0 the head has one hidden layer of that many units; with
    `minibatch_stddev` a `MinibatchStdDev` channel is added to its input.
    """

    def __init__(
        self,
        width: int,
        image_size: int = 28,
        channels: int = 3,
        dropout: float = 0.0,
        norm: str = "batch",
        spectral_norm: bool = False,
        max_width: int | None = None,
        hidden: int = 0,
        minibatch_stddev: bool = False,
    ) -> None:
        super().__init__(
            image_size,
            channels,
            width=width,
            dropout=dropout,
            norm=norm,
            spectral_norm=spectral_norm,
            max_width=max_width,
            hidden=hidden,
            minibatch_stddev=minibatch_stddev,
        )
        base_and_levels(image_size)
        check_number("width", width, 1, MAX_WIDTH)
        check_number("dropout", dropout, 0, 0.99, whole=False)
        if max_width is not None:
            check_number("max_width", max_width, 1, MAX_WIDTH)
        check_choice("norm", norm, NORMS)
        layers: list[nn.Module] = []
        side, wide, narrow = image_size, channels, width
        while side > 4:
            plain = norm == "none" or not layers
            layers += [
                nn.Conv2d(wide, narrow, 4, stride=2, padding=1, bias=plain),
                nn.Identity() if plain else nn.BatchNorm2d(narrow),
                nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
                nn.Dropout(dropout),
            ]
            side, wide, narrow = side // 2, narrow, min(2 * narrow, max_width or 2 * narrow)
        layers += _head(wide, side, hidden, minibatch_stddev)
        self.layers = nn.Sequential(*layers)
        _init_weights(self.layers, norm)
        if spectral_norm:
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    parametrizations.spectral_norm(layer)

    def features(self, images: Tensor) -> Tensor:
        # (B, channels, image_size, image_size) -> (B, hidden) or (B, C, 4, 4) or (B, C, 3, 3)
        return self.layers[:-2](images)

    def logits(self, features: Tensor) -> Tensor:
        return self.layers[-2:](features).float()


def _head(channels: int, side: int, hidden: int, minibatch_stddev: bool) -> list[nn.Module]:
    """The layers from the last feature map, (B, channels, side, side), to the logits, (B,)."""
    check_number("hidden", hidden, 0, MAX_HIDDEN)
    if not hidden and minibatch_stddev:
        raise ValueError("minibatch_stddev needs hidden units, got hidden=0; try 256")
    if not hidden:
        return [nn.Conv2d(channels, 1, side), nn.Flatten(0)]
    stddev = [MinibatchStdDev()] if minibatch_stddev else []
    return [
        *stddev,
        nn.Flatten(),
        nn.Linear((channels + len(stddev)) * side * side, hidden),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        nn.Linear(hidden, 1),
        nn.Flatten(0),
    ]


def _init_weights(layers: nn.Sequential, norm: str, negative_slope: float = LEAKY_SLOPE) -> None:
    """Draws weights from N(0, 0.02²) (Radford et al. 2016, section 4).

    Without norm layers, activations would vanish at this scale. The standard deviation is then
    that of He et al. 2015, which keeps the variance of the activations constant.
    """
    for module in layers:
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            std = kaiming_std(module, negative_slope) if norm == "none" else INIT_STD
            nn.init.normal_(module.weight, 0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, INIT_STD)


def kaiming_std(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, negative_slope: float) -> float:
    """gain / √fan_in: the standard deviation of He et al. 2015, eq. 15, for leaky ReLU."""
    fan_in = layer.weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):  # weight: (in, out, k, k); a stride skips inputs
        fan_in = layer.weight[:, 0].numel() // math.prod(layer.stride)
    return nn.init.calculate_gain("leaky_relu", negative_slope) / fan_in**0.5
