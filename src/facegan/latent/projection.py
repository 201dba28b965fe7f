"""Projection: the latent whose image is nearest to a given one, by gradient descent."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from facegan.core.errors import FaceganError
from facegan.core.images import to_float
from facegan.networks.attributes import AttributeNetwork, bundled_classifier
from facegan.networks.base import Generator
from facegan.networks.latents import latents

CANDIDATES = 256  # seeds whose images are compared with the target before the descent
BATCH = 32
STARTS = 3  # the nearest candidates; a descent starts from each
MAX_STEPS = 1000
MAX_SIDE = 4096  # pixels of a target
LEARNING_RATE = 0.1  # of Adam, at the first step; latents have unit variance
PIXELS = 2.0  # weight of the pixels' mean squared difference; that of the features is 1
PRIOR = 0.05  # weight of the latent's mean square, since images far from the mean look worse


@dataclass(frozen=True)
class Projection:
    """A latent, (latent_dim,), and the `Distance` of its image to the target."""

    latent: Tensor
    distance: float
    unrelated: float  # the median distance of other images of the generator


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


def project(generator: Generator, image: Tensor, steps: int = 100) -> Projection:
    """The latent whose image is nearest to `image`, (C, H, W) uint8 of any size.

    The image is resized to the generator's size; it should be cropped as the training images were.
    Adam descends from the STARTS nearest of CANDIDATES random latents (Abdal et al. 2019,
    "Image2StyleGAN", section 4, in the input space). Deterministic on one machine; takes seconds
    on a CPU. Raises FaceganError for other shapes, sides or steps.
    """
    _check(generator, image, steps)
    device = next(generator.parameters()).device
    network = bundled_classifier(generator.image_size).to(device)
    distance = Distance(network, _resized(image.to(device), generator.image_size))
    was_training = generator.training
    generator.eval()
    try:
        starts, unrelated = _nearest_candidates(generator, distance)
        latent, nearest = _descend(generator, distance, starts, steps)
    finally:
        generator.train(was_training)
    return Projection(latent.cpu(), nearest, unrelated)


@torch.no_grad()
def _nearest_candidates(generator: Generator, distance: Distance) -> tuple[Tensor, float]:
    """The STARTS nearest latents, (STARTS, latent_dim), and the median distance of all."""
    z = latents(range(CANDIDATES), generator.latent_dim).to(distance.target.device)
    distances = torch.cat([distance(generator(batch)) for batch in z.split(BATCH)])
    return z[distances.argsort()[:STARTS]], distances.median().item()


def _descend(
    generator: Generator, distance: Distance, starts: Tensor, steps: int
) -> tuple[Tensor, float]:
    """The best latent, (latent_dim,), of all descents, and its distance."""
    z = starts.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = distance(generator(z)) + PRIOR * z.square().mean(dim=1)
        (z.grad,) = torch.autograd.grad(loss.sum(), z)  # none of the parameters
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        distances = distance(generator(z))
    best = int(distances.argmin())
    return z[best].detach(), distances[best].item()


def _resized(image: Tensor, size: int) -> Tensor:
    """(C, H, W) uint8 -> (1, C, size, size) in [-1, 1], antialiased."""
    floats = to_float(image[None])
    return F.interpolate(floats, (size, size), mode="bicubic", antialias=True).clamp(-1, 1)


def _check(generator: Generator, image: Tensor, steps: int) -> None:
    if not 1 <= steps <= MAX_STEPS:
        raise FaceganError(f"steps must be from 1 to {MAX_STEPS}, got {steps}")
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != generator.channels:
        raise FaceganError(
            f"the image must be uint8 ({generator.channels}, H, W), got {image.dtype} "
            f"{tuple(image.shape)}"
        )
    if not 8 <= min(image.shape[1:]) <= max(image.shape[1:]) <= MAX_SIDE:
        raise FaceganError(
            f"the image must have sides of 8 to {MAX_SIDE} pixels, got "
            f"{image.shape[2]}x{image.shape[1]}; resize it"
        )
