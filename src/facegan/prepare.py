"""Prepare a data set: download, verify, crop, resize, pack.

python -m facegan.prepare                             CelebA, from the network or from data/celeba
python -m facegan.prepare data=folder data.root=DIR   your own photographs, or a zip of them

Training does this by itself; a data set that exists is verified. preview.html and preview.png in
its folder show the images, those that are left out, duplicates and outliers.
docs/settings.md describes the keys of data: data.crop, data.mode, data.image_size, ….
"""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from facegan.cli.command import command
from facegan.cli.config import instantiate


@dataclass
class PrepareConfig:
    """The types of conf/prepare.yaml."""

    data: Any = None
    trust: Any = None


@command("prepare", PrepareConfig)
def main(cfg: DictConfig) -> None:
    from facegan.data.dataset import read_left_out
    from facegan.data.photos import summarize
    from facegan.evaluation.preview import write_preview

    dataset = instantiate(cfg.data, "data").dataset()
    dataset.verify()
    counts = ", ".join(f"{n:,} {split}" for split, n in dataset.manifest["counts"].items())
    print(f"{dataset.path}: {counts} faces of {dataset.image_size}x{dataset.image_size}")
    left_out = summarize(read_left_out(dataset.path))
    if left_out:
        print(f"left out: {left_out}")
    try:
        print(f"{write_preview(dataset)} shows the training images")
    except OSError as error:  # the folder may be read-only
        print(f"no preview: {error}")


if __name__ == "__main__":
    main()
