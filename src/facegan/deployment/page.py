"""A web page in one file that draws a generator's faces in the browser, from a file or a host."""

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from facegan.latent.directions import Directions
from facegan.latent.movement import FACT
from facegan.networks.base import Generator

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"
RUNTIME = HERE / "onnxruntime_web"  # a copy, since an export needs no network (README.md there)
RUNTIME_VERSION = "1.30.0"
SHARED_EFFECT = 0.45  # of an attribute's effect on itself


def build_page(
    model: bytes,
    generator: Generator,
    directions: Directions,
    about: dict[str, str],
    title: str | None = None,
) -> str:
    """The HTML of the page. `about` has the keys name, license and perhaps FACT."""
    heading = (title, "synthetic faces") if title else ("Synthetic faces", f"by {about['name']}")
    values = {
        "title": html.escape(heading[0]),
        "subtitle": html.escape(heading[1]),
        "name": html.escape(about["name"]),
        "license": html.escape(about["license"]),
        "moved": html.escape(about.get(FACT, "")),
        "size": str(generator.image_size),
        "version": version("facegan"),
        "runtime_version": RUNTIME_VERSION,
        "runtime_license": html.escape((RUNTIME / "LICENSE").read_text(encoding="utf-8")),
        "config": _config(generator, directions, about),
        "model": _base64(gzip.compress(model, mtime=0)),
        "wasm": _base64((RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes()),
        "runtime_loader": _classic_script(RUNTIME / "ort-wasm-simd-threaded.mjs"),
        "runtime": _classic_script(RUNTIME / "ort.wasm.min.js"),
        "css": (STATIC / "page.css").read_text(encoding="utf-8"),
        **{path.stem: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")},
    }
    template = (STATIC / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _config(generator: Generator, directions: Directions, about: dict[str, str]) -> str:
    """The constants of the page's scripts, as JSON that may stand in a script element."""
    config = {
        "name": about["name"],
        "mark": replace(generator.provenance(), license=about["license"]).template(),
        "imageSize": generator.image_size,
        "channels": generator.channels,
        "latentDim": generator.latent_dim,
        "labels": None if generator.labels is None else generator.labels.config,
        "directions": [
            {
                "name": direction,
                "vector": _base64(directions[direction].numpy().astype("<f4").tobytes()),
                "also": _also(directions.side_effects(direction, count=2)),
            }
            for direction in _best_first(directions)
        ],
    }
    text = json.dumps(config, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _best_first(directions: Directions) -> list[str]:
    """Attributes by how much they change themselves, then the components.

    An attribute that changes a better one nearly as much as itself, such as High_Cheekbones with
    Smiling, comes after those that do not.
    """
    effects = {name: directions.own_effect(name) for name in directions.names}
    own = {name: effect for name, effect in effects.items() if effect is not None}
    ranked = sorted(own, key=lambda name: -own[name])
    distinct: list[str] = []
    for name in ranked:
        others = [abs(directions.effect(name, better)) for better in distinct]
        if max(others, default=0.0) <= SHARED_EFFECT * own[name]:
            distinct.append(name)
    return list(dict.fromkeys([*distinct, *ranked, *directions.names]))


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


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
