"""Interpolation between latents. Pure: no files, no device."""

import torch
from torch import Tensor


def slerp_loop(keyframes: Tensor, frames: int) -> Tensor:
    """A closed path through latents: keyframes (K, D) -> (frames, D).

    The last segment leads back to the first keyframe, so the frames loop. Between two keyframes
    the direction is interpolated on the sphere (slerp: Shoemake 1985) and the norm linearly.
    Linear interpolation would pass through latents of a smaller norm than samples of N(0, 1) have.
    """
    return slerp_path(torch.cat([keyframes, keyframes[:1]]), frames + 1)[:-1]


def slerp_path(keyframes: Tensor, steps: int) -> Tensor:
    """An open path through latents, both ends included: (K, D) -> (steps, D)."""
    position = torch.linspace(0, len(keyframes) - 1, steps, dtype=torch.float64).float()
    segment = position.long().clamp(max=len(keyframes) - 2)
    return slerp(keyframes[segment], keyframes[segment + 1], (position - segment)[:, None])


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Interpolates each row: start, end (N, D) and t (N, 1) in [0, 1] -> (N, D)."""
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    a, b = (z / length.clamp(min=1e-12) for z, length in zip((start, end), lengths, strict=True))
    angle = (a * b).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    turning = ((1 - t) * angle).sin() * a + (t * angle).sin() * b
    # equal directions: the formula below would divide zero by zero
    direction = torch.where(angle < 1e-4, a, turning / angle.sin().clamp(min=1e-6))
    return direction * torch.lerp(*lengths, t)
