"""A web page in one file that draws a generator's faces in the browser, from a file or a host."""

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from facegan.latent.directions import Directions
from facegan.networks.base import Generator

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"
RUNTIME = HERE / "onnxruntime_web"  # a copy, since an export needs no network (README.md there)
RUNTIME_VERSION = "1.30.0"
SHARED_EFFECT = 0.45  # of an attribute's effect on itself


def build_page(
    model: bytes, generator: Generator, directions: Directions, about: dict[str, str]
) -> str:
    """The HTML of the page. `about` has the keys name and license."""
    values = {
        "name": html.escape(about["name"]),
        "license": html.escape(about["license"]),
        "size": str(generator.image_size),
        "version": version("facegan"),
        "runtime_version": RUNTIME_VERSION,
        "runtime_license": html.escape((RUNTIME / "LICENSE").read_text(encoding="utf-8")),
        "config": _json(_config(generator, directions, about["name"])),
        "model": _base64(gzip.compress(model, mtime=0)),
        "wasm": _base64((RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes()),
        "runtime_loader": _classic_script(RUNTIME / "ort-wasm-simd-threaded.mjs"),
        "runtime": _classic_script(RUNTIME / "ort.wasm.min.js"),
        "css": (STATIC / "page.css").read_text(encoding="utf-8"),
        **{
            name: (STATIC / f"{name}.js").read_text(encoding="utf-8")
            for name in ("latents", "engine", "app")
        },
    }
    template = (STATIC / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _config(generator: Generator, directions: Directions, name: str) -> dict[str, Any]:
    """What the page's scripts need to know, the directions that work best first."""
    return {
        "name": name,
        "imageSize": generator.image_size,
        "channels": generator.channels,
        "latentDim": generator.latent_dim,
        "directions": [
            {
                "name": direction,
                "vector": _base64(_bytes(directions[direction])),
                "also": _also(directions.side_effects(direction, count=2)),
            }
            for direction in _best_first(directions)
        ],
    }


def _best_first(directions: Directions) -> list[str]:
    """Attributes by how much they change themselves, then the components.

    An attribute that changes a better one nearly as much as itself, such as High_Cheekbones with
    Smiling, comes after those that do not.
    """
    attributes = [name for name in directions.names if directions.own_effect(name) is not None]
    attributes.sort(key=lambda name: -(directions.own_effect(name) or 0.0))
    distinct: list[str] = []
    for name in attributes:
        if not any(_shares_effect(directions, name, better) for better in distinct):
            distinct.append(name)
    chosen = [*distinct, *(name for name in attributes if name not in distinct)]
    return [*chosen, *(name for name in directions.names if name not in attributes)]


def _shares_effect(directions: Directions, name: str, better: str) -> bool:
    own = directions.own_effect(name) or 0.0
    return abs(directions.effect(name, better)) > SHARED_EFFECT * own


def _also(effects: Sequence[tuple[str, float]]) -> str:
    """Such as "also High Cheekbones +, Male −"."""
    signs = (f"{name.replace('_', ' ')} {'+' if by > 0 else '−'}" for name, by in effects)
    return f"also {', '.join(signs)}"


def _classic_script(path: Path) -> str:
    """A script of onnxruntime-web that loads without modules, which browsers refuse on file://.

    The loader of the WebAssembly file is a module that the other script imports by its address:
    here it is a function that the other script finds by its name.
    """
    script = path.read_text(encoding="utf-8").partition("\n//# sourceMappingURL")[0]
    loader, _, _ = script.partition("export default ortWasmThreaded;")
    loader = loader.replace("import.meta.url", "document.baseURI")
    return re.sub(
        r"import\(/\*webpackIgnore.*?\)", "Promise.resolve({default:ortWasmThreaded})", loader
    )


def _json(value: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _bytes(vector: Tensor) -> bytes:
    return vector.numpy().astype("<f4").tobytes()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
