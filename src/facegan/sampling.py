"""Seeds -> latents. Pure: no files, no device, no network."""

from collections.abc import Iterable

import torch
from torch import Tensor


def latents(seeds: Iterable[int], latent_dim: int) -> Tensor:
    """One z ~ N(0, 1) per seed: (N, latent_dim), float32, on the CPU.

    Each seed has a stream of its own, so a face depends on neither batch nor machine.
    """
    return torch.stack([_latent(seed, latent_dim) for seed in seeds])


def _latent(seed: int, latent_dim: int) -> Tensor:
    return torch.randn(latent_dim, generator=torch.Generator().manual_seed(seed))


def parse_seeds(text: str) -> list[int]:
    """Seeds as a user types them: "0-3,100" -> [0, 1, 2, 3, 100]. Raises ValueError."""
    try:
        return [seed for part in text.split(",") for seed in _parse_range(part.strip())]
    except ValueError:
        raise ValueError(
            f"seeds are numbers and ranges of numbers from 0 up, such as 0-63,100; got {text!r}"
        ) from None


def _parse_range(part: str) -> range:
    first, _, last = part.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if not seeds:
        raise ValueError(part)
    return seeds
