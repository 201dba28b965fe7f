"""Pieces that several architectures share."""

from collections.abc import Callable

from torch import Tensor, nn

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
    linear maps in the place of their small perceptrons (figure 1b), after the norm's own weights.
    """

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.scale = nn.Linear(latent_dim, channels)
        self.shift = nn.Linear(latent_dim, channels)
        for part in (self.scale, self.shift):  # a fresh one changes little
            nn.init.normal_(part.weight, 0, 0.02)
            nn.init.zeros_(part.bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        # (B, C, H, W), (B, latent_dim) -> (B, C, H, W)
        return x * (1 + self.scale(z)[:, :, None, None]) + self.shift(z)[:, :, None, None]
