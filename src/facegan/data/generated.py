"""Synthetic faces: a data set drawn by a trained generator, without any photograph."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facegan.core import pretrained
from facegan.core.checks import check_number
from facegan.data.base import FaceSource
from facegan.data.dataset import Labels
from facegan.data.labels import split_by_name
from facegan.networks.attributes import bundled_classifier, classify
from facegan.networks.base import Generator


class GeneratedDataset(FaceSource):
    """`count` synthetic faces (seeds 0 … count-1) of the generator in `weights`.

    The bundled classifier predicts their attributes. A GAN that is trained on them can at best be
    as good as that generator.
    """

    images_are = "training images"

    def __init__(
        self,
        packed_dir: str,
        weights: str,
        count: int,
        image_size: int,
        mode: str = "RGB",
        attributes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(packed_dir, image_size, mode, attributes)
        check_number("count", count, 1, 10**6)
        self.weights = weights
        self.count = count
        self.generator = Generator.from_pretrained(weights)
        self.license = pretrained.metadata(weights).get("license", "")
        self.classifier = bundled_classifier(image_size)
        if self.generator.channels != 3 or mode != "RGB":
            raise ValueError("mode must be RGB, and weights must be of a generator of RGB images")
        if self.generator.image_size != image_size:
            raise ValueError(
                f"image_size must be {self.generator.image_size}, the size of {weights}, "
                f"got {image_size}"
            )

    def recipe(self) -> dict[str, Any]:
        digest = hashlib.sha256(pretrained.find(self.weights).read_bytes()).hexdigest()
        return {
            "source": "generated",
            "weights": digest,
            "classifier": pretrained.digest(self.classifier),
            "count": self.count,
            "image_size": self.image_size,
        }

    def write(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        z = self.generator.latents(range(self.count))
        faces = self.generator.draw(z, progress="drawing faces")
        np.save(images, faces.permute(0, 2, 3, 1).contiguous().numpy())
        logits = classify(self.classifier, faces, "predicting attributes").numpy()
        labels = Labels(
            splits=split_by_name([str(seed) for seed in range(self.count)]),
            attributes=np.where(logits > 0, 1, -1).astype(np.int8),
            identities=np.arange(self.count),
            attribute_names=self.classifier.attributes,
        )
        return labels, {}
