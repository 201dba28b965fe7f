"""A small classifier of CelebA's attributes; the evaluation uses its pooled features."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegan.core import pretrained
from facegan.core.checks import check_number
from facegan.core.console import progress_bar
from facegan.core.images import to_float
from facegan.core.resolutions import base_and_levels

BUNDLED_SIZES = (28, 64)  # of attributes-28 and attributes-64
BATCH = 250  # images at a time


class AttributeNetwork(nn.Module):
    """Images in [-1, 1], (B, 3, size, size) -> one logit per attribute, (B, A).

    Seven 3x3 convolutions, each with batch norm and ReLU; three have stride 2: 28 -> 14 -> 7 -> 4.
    From 56 pixels on the first one is strided too, so that its output is 28 or 32 pixels wide.
    The features are the spatial mean of the last feature map: (B, 8·width).

    Raises ValueError for an impossible `image_size` and for an empty `attributes`.
    """

    def __init__(
        self, attributes: Sequence[str], width: int = 32, image_size: int = 28, dropout: float = 0.0
    ) -> None:
        super().__init__()
        base, _ = base_and_levels(image_size)
        stem_stride = max(image_size // (28 if base == 7 else 32), 1)
        if not attributes:
            raise ValueError("attributes must name at least one attribute; take data with labels")
        check_number("width", width, 1, 1024)
        check_number("dropout", dropout, 0, 0.99, whole=False)
        self.attributes = tuple(attributes)
        self.image_size = image_size
        self.config: dict[str, Any] = {"attributes": list(attributes), "width": width}
        self.config |= {"image_size": image_size, "dropout": dropout}
        self.trunk = nn.Sequential(
            *_block(3, width, stem_stride),
            *_block(width, 2 * width, stride=2),
            *_block(2 * width, 2 * width),
            *_block(2 * width, 4 * width, stride=2),
            *_block(4 * width, 4 * width),
            *_block(4 * width, 8 * width, stride=2),
            *_block(8 * width, 8 * width),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8 * width, len(attributes))

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, size, size) in [-1, 1] -> (B, 8·width), all at least 0."""
        return self.trunk(images).mean(dim=(2, 3))

    def embed(self, images: Tensor) -> Tensor:
        """Features of uint8 images of any size: (B, 3, H, W) -> (B, 8·width)."""
        return self.features(self.resize(to_float(images)))

    def resize(self, images: Tensor) -> Tensor:
        """Images of any size, (B, 3, H, W), at the network's: (B, 3, size, size)."""
        if images.shape[-1] == self.image_size:
            return images
        size = (self.image_size, self.image_size)
        return F.interpolate(images, size, mode="bicubic", antialias=True)

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """The activations of every block: (B, 3, size, size) in [-1, 1] -> (B, C, H, W) each."""
        maps = []
        for layer in self.trunk:
            images = layer(images)
            if isinstance(layer, nn.ReLU):
                maps.append(images)
        return maps

    def logits(self, features: Tensor) -> Tensor:
        """(B, 8·width) -> (B, A); positive if the face has the attribute."""
        return self.head(self.dropout(features))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(self.features(images))


def bundled_classifier(image_size: int) -> AttributeNetwork:
    """The bundled classifier whose image size is nearest to `image_size`, as a ratio."""
    nearest = min(BUNDLED_SIZES, key=lambda size: abs(math.log2(size / image_size)))
    return pretrained.load(f"attributes-{nearest}", AttributeNetwork)


@torch.inference_mode()
def classify(classifier: AttributeNetwork, images: Tensor, progress: str | None = None) -> Tensor:
    """uint8 (N, C, H, W) with C = 1 or 3 -> logits (N, A) on the CPU. `progress`: a bar's title."""
    device = next(classifier.parameters()).device
    parts = images.expand(-1, 3, -1, -1).split(BATCH)
    bar = progress_bar(parts, desc=progress, disable=progress is None)
    return torch.cat([classifier.logits(classifier.embed(part.to(device))).cpu() for part in bar])


def _block(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
