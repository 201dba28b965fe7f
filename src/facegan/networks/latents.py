"""Seeds -> latents. Pure: no files, no device, no network."""

from collections.abc import Iterable

import torch
from torch import Tensor

from facegan.core.errors import FaceganError

MAX_SEED = 2**32 - 1  # the CPU generator's mt19937 takes 32-bit seeds
MAX_SEEDS = 10**6


def latents(seeds: Iterable[int], latent_dim: int) -> Tensor:
    """One z ~ N(0, 1) per seed: (N, latent_dim), float32, on the CPU.

    Each seed has its own random stream, so a latent depends on neither the batch nor the machine.
    """
    drawn = [
        torch.randn(latent_dim, generator=torch.Generator().manual_seed(_checked(seed)))
        for seed in seeds
    ]
    return torch.stack(drawn) if drawn else torch.empty(0, latent_dim)


def _checked(seed: int) -> int:
    if 0 <= seed <= MAX_SEED and seed == int(seed):
        return int(seed)
    raise ValueError(f"a seed must be a whole number from 0 to {MAX_SEED}, got {seed}")


def balanced_latents(seeds: Iterable[int], latent_dim: int) -> Tensor:
    """Latents in pairs z, -z whose mean is 0 and whose second moment is the identity: (2N, D).

    Statistics over them vary less than over as many independent latents: antithetic variates and
    moment matching (Glasserman 2004, "Monte Carlo Methods in Financial Engineering", sections 4.2
    and 4.5). They are made of the latents of N different `seeds`; D = `latent_dim` is at most N.
    """
    drawn = latents(seeds, latent_dim)
    half = torch.linalg.qr(drawn).Q * len(drawn) ** 0.5  # orthogonal columns
    return torch.stack([half, -half], dim=1).flatten(0, 1)


def parse_seeds(text: str) -> list[int]:
    """Parses seeds: "0-3,100" -> [0, 1, 2, 3, 100]. Raises FaceganError."""
    try:
        ranges = [_parse_range(part) for part in text.split(",")]
    except ValueError:
        raise FaceganError(
            f"seeds are numbers and ranges of numbers from 0 to {MAX_SEED}, such as 0-63,100; "
            f"got {text!r}"
        ) from None
    if sum(map(len, ranges)) > MAX_SEEDS:
        raise FaceganError(f"at most {MAX_SEEDS:,} seeds at a time, got {text!r}")
    return [seed for seeds in ranges for seed in seeds]


def _parse_range(part: str) -> range:
    first, dash, last = part.partition("-")
    seeds = range(int(first), int(last if dash else first) + 1)
    if not seeds or seeds[-1] > MAX_SEED:
        raise ValueError(part)
    return seeds
