"""The contract of every architecture: the base classes of generators and discriminators."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegan.core import pretrained
from facegan.core.checks import check_number
from facegan.core.console import progress_bar
from facegan.core.images import to_uint8
from facegan.networks.latents import latents

DRAW_BATCH = 32  # images; larger batches draw no faster on a CPU


class Generator(nn.Module):
    """Latents z ~ N(0, 1), (B, latent_dim) -> images in [-1, 1], (B, channels, size, size).

    A subclass passes all of its constructor arguments to `super().__init__`, which keeps them in
    `config`. A weights file stores it: `Subclass(**generator.config)` rebuilds the network.
    """

    def __init__(self, latent_dim: int, image_size: int, channels: int, **structure: Any) -> None:
        super().__init__()
        check_number("latent_dim", latent_dim, 1, 8192)
        check_number("channels", channels, 1, 4)
        self.latent_dim = latent_dim
        self.image_size = image_size
        self.channels = channels
        self.source: Path | None = None  # the file that the weights were loaded from
        self.config = {
            "latent_dim": latent_dim,
            "image_size": image_size,
            "channels": channels,
            **structure,
        }

    @classmethod
    def from_pretrained(cls, source: str | Path) -> Self:
        """A generator in eval mode: bundled ("full-64"), of a run folder, of a safetensors file.

        Also hf:OWNER/REPOSITORY/FILE and https://…/FILE#sha256=…, which are fetched first.

        Raises `FaceganError` for what is missing, damaged, foreign or of another kind.
        """
        path = pretrained.find(source)
        generator = pretrained.load(path, cls)
        generator.source = path
        return generator

    def save_pretrained(self, path: str | Path, about: dict[str, str] | None = None) -> None:
        """Writes weights and config as one safetensors file; `about` joins its metadata."""
        pretrained.save(self, Path(path), about)

    @torch.no_grad()
    def sample(
        self,
        n: int | None = None,
        seeds: Iterable[int] | None = None,
        truncation: float = 1.0,
    ) -> Tensor:
        """Draws faces: uint8 (N, channels, size, size), on the CPU, in the order of `seeds`.

        Give either `seeds`, one face each, or `n` for the seeds 0 … n-1. `truncation` scales the
        latents: below 1 it trades variety for likelier faces. A seed has the same latent on every
        machine. On one machine it also has the same bytes, whatever other seeds are drawn with it;
        on another machine, device or number of threads, pixels may differ by one level.
        """
        if (n is None) == (seeds is None):
            raise ValueError(f"give n or seeds, one of the two; got n={n}, seeds={seeds}")
        z = latents(range(n or 0) if seeds is None else seeds, self.latent_dim)
        return self.draw(z * truncation)

    @torch.no_grad()
    def draw(self, z: Tensor, progress: str | None = None) -> Tensor:
        """Images of latents, in eval mode: (N, latent_dim) -> uint8 (N, C, H, W), on the CPU.

        `progress` is the title of a progress bar.
        """
        was_training = self.training
        self.eval()
        batches = z.split(DRAW_BATCH)
        if progress:
            batches = progress_bar(batches, desc=progress)
        images = join((to_uint8(self._draw_batch(batch)).cpu() for batch in batches), len(z))
        self.train(was_training)
        return images

    def _draw_batch(self, z: Tensor) -> Tensor:
        """(B, latent_dim) -> (B, C, H, W), as part of a batch of DRAW_BATCH.

        Libraries choose a kernel, and with it the order of a sum, by the shape of a batch. All
        batches have one shape, so that the result for one latent does not depend on the others.
        """
        device = next(self.parameters()).device
        padded = F.pad(z, (0, 0, 0, DRAW_BATCH - len(z))).to(device)
        return self(padded)[: len(z)]


def join(parts: Iterable[Tensor], count: int) -> Tensor:
    """torch.cat of parts with `count` rows in all, of which only one is kept at a time.

    Many small results between the large ones of the layers would fragment the memory.
    """
    whole, start = torch.empty(0), 0
    for part in parts:
        if start == 0:
            channels_last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if channels_last else torch.contiguous_format
            shape = (count, *part.shape[1:])
            whole = torch.empty(shape, dtype=part.dtype, memory_format=layout)
        whole[start : start + len(part)] = part
        start += len(part)
    return whole


class Discriminator(nn.Module):
    """Images in [-1, 1], (B, channels, size, size) -> one logit each, (B,): positive means real."""

    def __init__(self, image_size: int, channels: int, **structure: Any) -> None:
        super().__init__()
        self.image_size = image_size
        self.channels = channels
        self.config = {"image_size": image_size, "channels": channels, **structure}
