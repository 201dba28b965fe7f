"""Project a photograph: find the latent whose face is nearest to it.

python -m facegan.project image=PHOTO                        by the bundled weights
python -m facegan.project image=PHOTO weights=outputs/latest out=FOLDER
python -m facegan.sample latent=FOLDER/latent.json edit=Smiling:2    the face, changed
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING, DictConfig

from facegan.cli.command import command
from facegan.cli.config import number

if TYPE_CHECKING:
    from torch import Tensor

HELD_OUT = 4  # images that no training has seen


@dataclass
class ProjectConfig:
    """The types of conf/project.yaml."""

    image: str = MISSING
    weights: str = MISSING
    out: str = MISSING
    find_face: bool = MISSING
    steps: int = number(1, 1000)
    trust: Any = None


@command("project", ProjectConfig)
def main(cfg: DictConfig) -> None:
    from facegan.core.console import progress_bar
    from facegan.core.images import save_image, to_pil
    from facegan.data.framing import read_face
    from facegan.latent.projection import project
    from facegan.networks.base import Generator  # torch, which --help does not need

    generator = Generator.from_pretrained(cfg.weights)
    images = [read_face(Path(cfg.image), cfg.weights, generator, cfg.find_face)]
    images += held_out_images(cfg.weights)
    found, *others = [
        project(generator, i, cfg.steps) for i in progress_bar(images, desc="projecting")
    ]
    share = found.distance / found.unrelated
    print(
        f"distance {found.distance:.3f}, {share:.0%} of an unrelated face's {found.unrelated:.3f}"
    )
    held_out = median(other.distance for other in others) if others else None
    if held_out is not None:
        print(f"median distance of {len(others)} held-out images {held_out:.3f}")
    latent, picture = Path(cfg.out, "latent.json"), Path(cfg.out, "projection.png")
    found.save(latent, generator, held_out=held_out)
    (face,) = generator.draw(found.latent[None])
    save_image(to_pil(face, facts=generator.provenance()), picture)  # no seed has this latent
    print(latent, picture, sep="\n")


def held_out_images(weights: str) -> "list[Tensor]":
    """Test images of the run that has the weights, (C, H, W) uint8; none without packed data."""
    from facegan.core.pretrained import run_folder
    from facegan.data.dataset import open_dataset
    from facegan.data.recorded import read_record
    from facegan.evaluation.features import images_of

    run = run_folder(weights)
    record = read_record(run).get("data") if run is not None else None
    if not record or not Path(record["path"]).is_dir():
        return []
    dataset = open_dataset(Path(record["path"]))
    return [*images_of(dataset, dataset.indices("test")[:HELD_OUT])]


if __name__ == "__main__":
    main()
