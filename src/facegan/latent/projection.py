"""Projection: the latent whose image is nearest to a given one, by gradient descent."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from facegan.core import pretrained
from facegan.core.checks import check_number
from facegan.core.errors import FaceganError
from facegan.core.files import parse_json, read_text, reading, write_json
from facegan.core.images import to_float
from facegan.networks.attributes import AttributeNetwork, bundled_classifier
from facegan.networks.base import Generator, eval_mode

CANDIDATES = 256  # seeds whose images are compared with the target before the descent
BATCH = 32
STARTS = 3  # the nearest candidates; a descent starts from each
LEARNING_RATE = 0.1  # of Adam, at the first step; latents have unit variance
PIXELS = 2.0  # weight of the pixels' mean squared difference; that of the features is 1
PRIOR = 0.05  # weight of the latent's mean square: images far from the mean look worse

T = TypeVar("T")


@dataclass(frozen=True)
class Projection:
    """A latent, (latent_dim,), and the `Distance` of its image to the target."""

    latent: Tensor
    distance: float
    unrelated: float  # the median distance of other images of the generator

    def save(self, path: Path, generator: Generator, **facts: Any) -> None:
        """Writes a JSON file, atomically; `facts`: what else it says."""
        latent = {"weights": pretrained.digest(generator), "latent": self.latent.tolist()}
        distances = {"distance": self.distance, "unrelated": self.unrelated}
        write_json(path, {**latent, **distances, **facts})


def load_latent(path: Path, generator: Generator) -> Tensor:
    """The latent in a file of `Projection.save`, (latent_dim,).

    Raises FaceganError for another file, and for the latent of another generator.
    """
    with reading(path, "project the photograph again"):
        content = parse_json(read_text(path), {"weights": str, "latent": [float | int]})
        if content["weights"] != pretrained.digest(generator):
            raise FaceganError(
                f"{path} is the latent of other weights ({content['weights']}): name those of its "
                "projection by weights="
            )
        latent = torch.tensor(content["latent"], dtype=torch.float32)
        if latent.shape != (generator.latent_dim,) or not latent.isfinite().all():
            raise ValueError(f"latent must be {generator.latent_dim} finite numbers")
    return latent


class Distance:
    """From images to one target: differences of features and of pixels.

    The features are the activations of every block of the attribute classifier, normalized over
    the channels (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a
    Perceptual Metric", eq. 1 without learned weights).
    """

    def __init__(self, network: AttributeNetwork, target: Tensor) -> None:
        """`target`: (1, C, H, W) in [-1, 1]."""
        self.network = network
        self.target = target
        with torch.no_grad():
            self.maps = self._maps(target)

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> (B,)."""
        pixels = (images - self.target).square().mean(dim=(1, 2, 3))
        pairs = zip(self._maps(images), self.maps, strict=True)
        features = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs]
        return torch.stack(features).mean(dim=0) + PIXELS * pixels

    def _maps(self, images: Tensor) -> list[Tensor]:
        colour = self.network.resize(images.expand(-1, 3, -1, -1))
        return [F.normalize(maps, dim=1) for maps in self.network.feature_maps(colour)]


def project(
    generator: Generator, image: Tensor, steps: int = 100, max_seconds: float = math.inf
) -> Projection:
    """The latent whose image is nearest to `image`, (C, H, W) uint8 of any size.

    The image is resized to the generator's size; it should be cropped as the training images were.
    Adam descends from the STARTS nearest of CANDIDATES random latents (Abdal et al. 2019,
    "Image2StyleGAN", section 4, in the input space). Deterministic on one machine; takes seconds
    on a CPU. A slow generator's search ends after `max_seconds` with the nearest latent so far.
    Raises ValueError for another shape or dtype, and for a number of steps out of range.
    """
    end = time.monotonic() + max_seconds
    check_number("steps", steps, 1, 1000)
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != generator.channels:
        expected, got = f"uint8 ({generator.channels}, H, W)", f"{image.dtype} {tuple(image.shape)}"
        raise ValueError(f"image must be {expected}, got {got}")
    size = (generator.image_size, generator.image_size)
    floats = to_float(image[None].to(generator.device))
    target = F.interpolate(floats, size, mode="bicubic", antialias=True).clamp(-1, 1)
    network = bundled_classifier(generator.image_size).to(generator.device)
    distance = Distance(network, target)
    with eval_mode(generator):
        starts, unrelated = _nearest_candidates(generator, distance, end)
        latent, nearest = _descend(generator, distance, starts, steps, end)
    return Projection(latent.cpu(), nearest, unrelated)


@torch.no_grad()
def _nearest_candidates(
    generator: Generator, distance: Distance, end: float
) -> tuple[Tensor, float]:
    """The STARTS nearest latents, (STARTS, latent_dim), and the median distance of all."""
    z = generator.latents(range(CANDIDATES)).to(generator.device)
    batches = _until(end, z.split(BATCH))
    distances = torch.cat([distance(generator(batch)) for batch in batches])
    return z[distances.argsort()[:STARTS]], distances.median().item()


def _descend(
    generator: Generator, distance: Distance, starts: Tensor, steps: int, end: float
) -> tuple[Tensor, float]:
    """The best latent, (latent_dim,), of all descents, and its distance."""
    z = starts.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in _until(end, range(steps)):
        loss = distance(generator(z)) + PRIOR * z.square().mean(dim=1)
        (z.grad,) = torch.autograd.grad(loss.sum(), z)  # not of the weights
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        distances = distance(generator(z))
    best = int(distances.argmin())
    return z[best].detach(), distances[best].item()


def _until(end: float, items: Iterable[T]) -> Iterator[T]:
    """The first of `items`, and more of them until the clock is at `end`."""
    for item in items:
        yield item
        if time.monotonic() > end:
            return
