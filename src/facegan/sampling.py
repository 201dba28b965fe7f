"""Seeds -> latents. Pure: no files, no device, no network."""

from collections.abc import Iterable

import torch
from torch import Tensor

MAX_SEED = 2**32 - 1  # torch's generator on the CPU takes no more bits


def latents(seeds: Iterable[int], latent_dim: int) -> Tensor:
    """One z ~ N(0, 1) per seed: (N, latent_dim), float32, on the CPU.

    Each seed has a stream of its own, so a face depends on neither batch nor machine.
    """
    drawn = [_latent(int(seed), latent_dim) for seed in seeds]
    return torch.stack(drawn) if drawn else torch.empty(0, latent_dim)


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
    first, dash, last = part.partition("-")
    seeds = range(int(first), int(last if dash else first) + 1)
    if not seeds or seeds[-1] > MAX_SEED:
        raise ValueError(part)
    return seeds


def spherical_walk(stations: Tensor, frames: int) -> Tensor:
    """A closed walk through latents: (K, D) -> (frames, D), the last frame just before the first.

    Between two stations the direction turns at a constant rate (Shoemake 1985, slerp) and the
    length changes linearly: a straight line would pass through latents shorter than any draw.
    """
    position = torch.arange(frames) * len(stations) / frames
    leg = position.long()
    start, end = stations[leg], stations[(leg + 1) % len(stations)]
    return _slerp(start, end, (position - leg)[:, None])


def _slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    a, b = (z / length.clamp(min=1e-12) for z, length in zip((start, end), lengths, strict=True))
    angle = (a * b).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    turning = ((1 - t) * angle).sin() * a + (t * angle).sin() * b
    # stations that coincide have no direction to turn in
    direction = torch.where(angle < 1e-4, a, turning / angle.sin().clamp(min=1e-6))
    return direction * torch.lerp(*lengths, t)
