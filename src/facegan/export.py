"""Export a generator: an ONNX model, and a web page that draws faces in the browser.

python -m facegan.export                                     full-28, into outputs/export
python -m facegan.export weights=outputs/latest out=site     a run's generator

The page, index.html, is one file. It opens by a double click and works on any static host; it
loads nothing from a network. Needs pip install -e '.[export]'.
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING, DictConfig

from facegan.cli.command import command
from facegan.core.errors import FaceganError

if TYPE_CHECKING:
    from facegan.networks.base import Generator

MODEL_FILE, PAGE_FILE = "generator.onnx", "index.html"


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
    about = describe(cfg.weights, cfg.name, cfg.license)
    if FACT in about:
        print(about[FACT])
    model = to_onnx(generator, {**about, **_metadata(generator)}).SerializeToString()
    difference = largest_difference(model, generator)
    directions = load_directions(generator, progress=True) if cfg.directions else NO_DIRECTIONS
    page = build_page(model, generator, directions, about, cfg.title)
    out = Path(cfg.out)
    for file, data in ((MODEL_FILE, model), (PAGE_FILE, page.encode())):
        write_bytes(out / file, data)
        print(f"{out / file}  {len(data) / 1e6:.1f} MB")
    print(f"largest difference between ONNX Runtime and torch: {difference}/255")


def describe(weights: str, name: str | None, license: str | None) -> dict[str, str]:
    """The generator's name and licence: as given, or else those of the weights' file; FACT."""
    from facegan.core import pretrained
    from facegan.latent.movement import FACT

    path = pretrained.find(weights).resolve()
    stem = path.parent.name if path.name == pretrained.WEIGHTS_FILE else path.stem
    stored = pretrained.metadata(path)
    about = {"name": name or stem, "license": license or stored.get("license", "not stated")}
    return about | ({FACT: stored[FACT]} if FACT in stored else {})


def _metadata(generator: "Generator") -> dict[str, str]:
    """Metadata of the ONNX file."""
    from facegan.core import pretrained

    return {
        "image_size": str(generator.image_size),
        "channels": str(generator.channels),
        "latent_dim": str(generator.latent_dim),
        "input": "latents (N, latent_dim), float32, drawn from N(0, 1)",
        **({"labels": json.dumps(generator.labels.config)} if generator.labels else {}),
        "output": "images (N, image_size, image_size, channels), uint8",
        "facegan": version("facegan"),
        "weights": pretrained.digest(generator),
    }


if __name__ == "__main__":
    main()
