"""Interpolation between latents. Pure: no files, no device."""

import torch
from torch import Tensor


def slerp_loop(keyframes: Tensor, frames: int) -> Tensor:
    """A closed walk through latents: (K, D) -> (frames, D), the last frame just before the first.

    Between two keyframes the direction turns at a constant rate (Shoemake 1985, slerp) and the
    length changes linearly: a straight line would pass through latents shorter than any draw.
    """
    position = torch.arange(frames) * len(keyframes) / frames
    segment = position.long()
    start, end = keyframes[segment], keyframes[(segment + 1) % len(keyframes)]
    return slerp(start, end, (position - segment)[:, None])


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    a, b = (z / length.clamp(min=1e-12) for z, length in zip((start, end), lengths, strict=True))
    angle = (a * b).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    turning = ((1 - t) * angle).sin() * a + (t * angle).sin() * b
    # keyframes that coincide have no direction to turn in
    direction = torch.where(angle < 1e-4, a, turning / angle.sin().clamp(min=1e-6))
    return direction * torch.lerp(*lengths, t)
