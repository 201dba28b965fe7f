"""Train, sample and evaluate small face GANs."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facegan.core.images import save_grid as save_grid
    from facegan.latent.avatars import avatars as avatars
    from facegan.latent.avatars import face_png as face_png
    from facegan.latent.finding import load_directions as load_directions
    from facegan.latent.projection import project as project
    from facegan.latent.selection import find_seeds as find_seeds
    from facegan.networks.base import Generator as Generator
    from facegan.networks.latents import latents as latents

__version__: str

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reads it at import

MODULES = {  # of the public names, imported at their first use, since torch takes seconds
    "Generator": "facegan.networks.base",
    "avatars": "facegan.latent.avatars",
    "face_png": "facegan.latent.avatars",
    "find_seeds": "facegan.latent.selection",
    "latents": "facegan.networks.latents",
    "load_directions": "facegan.latent.finding",
    "project": "facegan.latent.projection",
    "save_grid": "facegan.core.images",
}

__all__ = [*MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return getattr(importlib.import_module(MODULES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("facegan")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
