"""Writes trained weights into the package, in half precision and with their licence.

python benchmarks/bundle.py outputs/latest/attributes.safetensors attributes-28
python benchmarks/bundle.py outputs/latest/generator-best.safetensors full-28
python benchmarks/bundle.py outputs/latest/discriminator.safetensors full-28.discriminator
"""

import sys
from pathlib import Path

from torch import nn

from facegan.core import pretrained

TARGET = Path(__file__).resolve().parents[1] / "src" / "facegan" / "weights"
LICENSE = (
    "LicenseRef-CelebA-NonCommercial: non-commercial research only, since the weights were trained "
    "on CelebA; terms in facegan/weights/LICENSE.md"
)


def main(source: str, name: str) -> None:
    network = pretrained.load(source, nn.Module)
    about = pretrained.metadata(source) | {"license": LICENSE}
    path = TARGET / f"{name}.safetensors"
    pretrained.save(network.half(), path, about)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
