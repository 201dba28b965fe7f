"""Draw synthetic faces: images, a video or a stream.

python -m facegan.sample                                     ten faces, by the bundled weights
python -m facegan.sample weights=outputs/latest seeds=0-63,100 truncation=0.7 grid=true
python -m facegan.sample attributes=Smiling,-Eyeglasses      faces to order
python -m facegan.sample interpolate=3,7,12 frames=120       a video of faces that turn into others
python -m facegan.sample stream=true fps=4                   new faces, on and on, in the terminal
python -m facegan.sample seeds=7 edit=Smiling:2,Young:-1     a face, changed along directions
python -m facegan.sample edit=Smiling sweep=-3:3 frames=60   a video of ten faces that change
"""

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING, DictConfig

from facegan.cli.command import command
from facegan.cli.config import ConfigError, number
from facegan.core.errors import FaceganError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from facegan.networks.base import Generator


Enlarge = Callable[["Tensor"], "Image"]


@dataclass
class SampleConfig:
    """The types of conf/sample.yaml."""

    weights: str = MISSING
    n: int = number(1, 10**6)
    seeds: str | None = MISSING
    attributes: str | None = MISSING
    truncation: float = number(0, 10)
    out: str = MISSING
    grid: bool = MISSING
    upscale: int = number(1, 100)
    filter: str = MISSING
    interpolate: str | None = MISSING
    frames: int = number(2, 10**5)
    fps: float = number(0.01, 100)
    video: str = MISSING
    stream: bool = MISSING
    edit: str | None = MISSING
    sweep: str | None = MISSING
    trust: Any = None


@command("sample", SampleConfig)
def main(cfg: DictConfig) -> None:
    _check(cfg)
    from facegan.core.images import to_pil
    from facegan.networks.base import Generator  # torch, which --help does not need

    generator = Generator.from_pretrained(cfg.weights)
    enlarge = partial(to_pil, upscale=cfg.upscale, filter=cfg.filter)
    if cfg.stream:
        stream(generator, enlarge, cfg)
    elif cfg.interpolate is not None:
        save_interpolation(generator, enlarge, cfg)
    elif cfg.sweep is not None:
        save_sweep(generator, enlarge, cfg)
    else:
        save_images(generator, enlarge, cfg)


def save_images(generator: "Generator", enlarge: Enlarge, cfg: DictConfig) -> None:
    """A PNG for each seed and, if asked for, one of all."""
    from facegan.core.images import grid, save_image

    seeds = _chosen_seeds(generator, cfg)
    faces = generator.draw(_edited_latents(generator, seeds, cfg))
    out = Path(cfg.out)
    for seed, face in zip(seeds, faces, strict=True):
        save_image(enlarge(face), out / f"seed-{seed:04}.png")
    if cfg.grid:
        save_image(enlarge(grid(faces)), out / "grid.png")
    print(f"{len(seeds)} face{'s' if len(seeds) > 1 else ''} in {out}")


def save_interpolation(generator: "Generator", enlarge: Enlarge, cfg: DictConfig) -> None:
    """A video that passes the faces of the given seeds and ends where it began."""
    from facegan.core.images import save_video
    from facegan.latent.interpolation import slerp_loop

    keyframes = _edited_latents(generator, _seeds(cfg.interpolate), cfg)
    faces = generator.draw(slerp_loop(keyframes, cfg.frames))
    path = Path(cfg.out) / f"interpolation-{cfg.interpolate.replace(',', '-')[:100]}.{cfg.video}"
    save_video([enlarge(face) for face in faces], path, cfg.fps)
    print(path)


def save_sweep(generator: "Generator", enlarge: Enlarge, cfg: DictConfig) -> None:
    """A video of the given seeds' faces, side by side, moved along directions there and back."""
    from facegan.core.images import grid, save_video
    from facegan.latent.directions import parse_edit, parse_sweep, sweep_amounts
    from facegan.latent.finding import load_directions

    edit = _parsed(parse_edit, cfg.edit)
    first, last = _parsed(parse_sweep, cfg.sweep)
    directions = load_directions(generator, progress=True, wanted=edit)
    z = _latents(generator, _chosen_seeds(generator, cfg), cfg)
    frames = []
    for amount in sweep_amounts(first, last, cfg.frames).tolist():
        scaled = {name: factor * amount for name, factor in edit.items()}
        frames.append(enlarge(grid(generator.draw(directions.edit(z, scaled)))))
    path = Path(cfg.out) / f"sweep-{'-'.join(edit)[:100]}.{cfg.video}"
    save_video(frames, path, cfg.fps)
    print(path)


def stream(generator: "Generator", enlarge: Enlarge, cfg: DictConfig) -> None:
    """New faces until somebody stops it: in the terminal, or as files where there is none."""
    first = _seeds(cfg.seeds)[0] if cfg.seeds is not None else 0
    in_terminal = sys.stdout.isatty()
    show = _in_terminal(generator.image_size) if in_terminal else _as_files(Path(cfg.out), enlarge)
    for seed in itertools.count(first):
        began = time.monotonic()
        (face,) = generator.draw(_edited_latents(generator, [seed], cfg))
        show(seed, face)
        if in_terminal and not sys.stdout.isatty():  # it was closed
            return
        time.sleep(max(0, 1 / cfg.fps - (time.monotonic() - began)))


def _in_terminal(image_size: int) -> Callable[[int, "Tensor"], None]:
    from facegan.core.images import to_pil
    from facegan.core.terminal import Strip

    strip = Strip(sys.stdout, image_size)
    return lambda seed, face: strip.show(to_pil(face))


def _as_files(out: Path, enlarge: Enlarge) -> Callable[[int, "Tensor"], None]:
    from facegan.core.images import save_image

    print(f"one face after the other in {out}, until this is stopped", flush=True)
    return lambda seed, face: save_image(enlarge(face), out / f"seed-{seed:04}.png")


def _edited_latents(generator: "Generator", seeds: list[int], cfg: DictConfig) -> "Tensor":
    """The truncated latents of seeds, moved by `edit`: (N, latent_dim)."""
    from facegan.latent.directions import parse_edit
    from facegan.latent.finding import load_directions

    z = _latents(generator, seeds, cfg)
    if cfg.edit is None:
        return z
    edit = _parsed(parse_edit, cfg.edit)
    return load_directions(generator, progress=True, wanted=edit).edit(z, edit)


def _latents(generator: "Generator", seeds: list[int], cfg: DictConfig) -> "Tensor":
    from facegan.networks.latents import latents

    return latents(seeds, generator.latent_dim) * cfg.truncation


def _chosen_seeds(generator: "Generator", cfg: DictConfig) -> list[int]:
    if cfg.attributes is not None:
        return _ordered_seeds(generator, cfg)
    return _seeds(cfg.seeds) if cfg.seeds is not None else list(range(cfg.n))


def _ordered_seeds(generator: "Generator", cfg: DictConfig) -> list[int]:
    """The first `n` seeds whose faces have the attributes."""
    from facegan.latent.selection import CANDIDATES, find_seeds, parse_attributes

    wanted = parse_attributes(cfg.attributes)
    seeds = find_seeds(generator, wanted, cfg.n, truncation=cfg.truncation)
    if len(seeds) < cfg.n:
        raise FaceganError(
            f"{len(seeds)} of {CANDIDATES:,} faces fit attributes={cfg.attributes}, and n={cfg.n}; "
            "ask for fewer faces or attributes, or move faces by edit="
        )
    return seeds


def _seeds(text: str) -> list[int]:
    from facegan.networks.latents import parse_seeds

    return _parsed(parse_seeds, text)


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    """What `parse` makes of an argument; a ValueError becomes a ConfigError."""
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check(cfg: DictConfig) -> None:
    if cfg.stream and cfg.interpolate is not None:
        raise ConfigError("stream and interpolate are two different things; give one of them")
    other = cfg.stream or cfg.seeds is not None or cfg.interpolate is not None
    if cfg.attributes is not None and other:
        raise ConfigError(
            "attributes chooses n seeds by itself: give neither seeds nor stream nor interpolate"
        )
    if cfg.sweep is not None and (cfg.edit is None or cfg.stream or cfg.interpolate is not None):
        raise ConfigError(
            "sweep moves faces along the directions of edit: give edit=Smiling too, and neither "
            "stream nor interpolate"
        )
    for name, known in (("filter", ("nearest", "lanczos")), ("video", ("gif", "mp4"))):
        if cfg[name] not in known:
            raise ConfigError(f"{name} must be one of {', '.join(known)}, got {cfg[name]}")


if __name__ == "__main__":
    main()
