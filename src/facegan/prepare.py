"""Make the archive of faces that training reads: download, verify, crop, resize, pack.

python -m facegan.prepare                             CelebA, from the network or from data/celeba
python -m facegan.prepare data=folder data.root=DIR   your own photographs, or a zip of them

Training does this by itself; where the archive is there already, it is verified.
"""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from facegan.config import build, verb


@dataclass
class PrepareConfig:
    """The types of conf/prepare.yaml."""

    data: Any = None


@verb("prepare", PrepareConfig)
def main(cfg: DictConfig) -> None:
    archive = build(cfg.data, "data").archive()
    archive.verify()
    counts = ", ".join(f"{n:,} {split}" for split, n in archive.manifest["counts"].items())
    print(f"{archive.path}: {counts} faces of {archive.image_size}x{archive.image_size}")
    if archive.manifest.get("left_out"):
        print(f"left out, unreadable: {archive.manifest['left_out']}")


if __name__ == "__main__":
    main()
