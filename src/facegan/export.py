"""Export a generator: an ONNX model, and a web page that draws faces in the browser.

python -m facegan.export                                     full-28, into outputs/export
python -m facegan.export weights=outputs/latest out=site     a run's generator

The page, index.html, is one file. It opens by a double click and works on any static host; it
loads nothing from a network. Needs pip install -e '.[export]'.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig

from facegan.cli.command import command
from facegan.core.errors import FaceganError

UNSTATED = "none stated; if it was trained from scratch, the rights in its photographs decide"


@dataclass
class ExportConfig:
    """The types of conf/export.yaml."""

    weights: str = MISSING
    out: str = MISSING
    name: str | None = MISSING
    license: str | None = MISSING
    title: str | None = MISSING
    directions: bool = MISSING
    trust: Any = None


@command("export", ExportConfig)
def main(cfg: DictConfig) -> None:
    from facegan.core import pretrained
    from facegan.core.files import write_bytes
    from facegan.deployment.page import build_page
    from facegan.latent.directions import NO_DIRECTIONS
    from facegan.latent.finding import load_directions
    from facegan.latent.movement import FACT
    from facegan.networks.base import Generator  # torch, which --help does not need

    try:
        from facegan.deployment.onnx_model import largest_difference, to_onnx
    except ImportError as error:
        raise FaceganError(
            f"facegan.export needs {error.name}: pip install -e '.[export]'"
        ) from error
    generator = Generator.from_pretrained(cfg.weights)
    path = pretrained.find(cfg.weights).resolve()
    stem = path.parent.name if path.name == pretrained.WEIGHTS_FILE else path.stem
    about = {"name": cfg.name or stem}
    about["license"] = cfg.license or generator.license or UNSTATED
    if moved := pretrained.metadata(path).get(FACT):
        about[FACT] = moved
        print(moved)
    model = to_onnx(generator, about).SerializeToString()
    difference = largest_difference(model, generator)
    directions = load_directions(generator, progress=True) if cfg.directions else NO_DIRECTIONS
    page = build_page(model, generator, directions, about, cfg.title)
    out = Path(cfg.out)
    for file, data in (("generator.onnx", model), ("index.html", page.encode())):
        write_bytes(out / file, data)
        print(f"{out / file}  {len(data) / 1e6:.1f} MB")
    print(f"largest difference between ONNX Runtime and torch: {difference}/255")


if __name__ == "__main__":
    main()
