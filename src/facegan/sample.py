"""Draw synthetic faces: images, a video or a stream.

python -m facegan.sample                                     ten faces, by the bundled weights
python -m facegan.sample weights=outputs/latest seeds=0-63,100 truncation=0.7 grid=true
python -m facegan.sample attributes=Smiling,-Eyeglasses      faces to order
python -m facegan.sample shares=Male:0.5,Eyeglasses:0.33 n=200 upscale=4 filter=lanczos    a set
python -m facegan.sample interpolate=3,7,12 frames=120       a video of faces that turn into others
python -m facegan.sample stream=true fps=4                   new faces in the terminal until stopped
python -m facegan.sample seeds=7 edit=Smiling:2,Young:-1     a face, changed along directions
python -m facegan.sample edit=Smiling sweep=-3:3 frames=60   a video of ten faces that change
python -m facegan.sample latent=FILE edit=Smiling:2          the face of facegan.project, changed
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING, DictConfig

from facegan.cli.command import command
from facegan.cli.config import ConfigError, number
from facegan.core.console import progress_bar
from facegan.core.errors import FaceganError

if TYPE_CHECKING:
    from torch import Tensor

    from facegan.core.provenance import Provenance
    from facegan.networks.base import Generator


MOST_IN_GRID = 100  # faces, by default
LEGIBLE = 128  # pixels of a face in a grid or video, about, by default


@dataclass
class SampleConfig:
    """The types of conf/sample.yaml."""

    weights: str = MISSING
    n: int = number(1, 10**6)
    seeds: str | None = MISSING
    attributes: str | None = MISSING
    shares: str | None = MISSING
    keep: float = number(0.01, 1)
    latent: str | None = MISSING
    truncation: float = number(0, 10)
    out: str = MISSING
    grid: bool | None = MISSING
    upscale: int | None = number(1, 100)
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
    if cfg.shares is not None:
        save_set(cfg)
        return
    from facegan.networks.base import Generator  # torch, which --help does not need

    generator = Generator.from_pretrained(cfg.weights)
    if cfg.stream:
        stream(generator, cfg)
    elif cfg.interpolate is not None:
        save_interpolation(generator, cfg)
    elif cfg.sweep is not None:
        save_sweep(generator, cfg)
    else:
        save_images(generator, cfg)


def save_images(generator: "Generator", cfg: DictConfig) -> None:
    """A PNG for each seed, and one of all."""
    import torch

    from facegan.core.images import grid

    seeds, z = _latents(generator, cfg)
    faces = _drawn(generator, _editor(generator, cfg)(z))
    facts = _facts(generator, cfg, seeds)
    with_grid = 1 < len(z) <= MOST_IN_GRID if cfg.grid is None else cfg.grid
    names = [(f"seed-{seed:04}", str(seed)) for seed in seeds] or [("latent", "")]
    kept = []
    for (name, seed), face in zip(names, progress_bar(faces, total=len(z)), strict=True):
        _save_image(face, name, cfg, replace(facts, seeds=seed))
        kept += [face] if with_grid else []
    if with_grid:
        _save_image(grid(torch.stack(kept)), "grid", cfg, facts, _legible(generator))
    shown = f"; {Path(cfg.out) / 'grid.png'} shows them" if with_grid else ""
    print(f"{len(z)} face{'s' if len(z) > 1 else ''} in {cfg.out}{shown}")


def save_set(cfg: DictConfig) -> None:
    """A PNG for each face of a set with shares of attributes, and its manifest."""
    from facegan.latent.avatars import MANIFEST, avatars, parse_shares

    look = (cfg.weights, cfg.upscale, cfg.filter, cfg.keep, cfg.truncation)
    avatars(cfg.out, cfg.n, parse_shares(cfg.shares), *look)
    print(f"{cfg.n} faces and {MANIFEST} in {cfg.out}")


def save_interpolation(generator: "Generator", cfg: DictConfig) -> None:
    """A video from face to face of the given seeds, which ends at the first one."""
    from facegan.latent.interpolation import slerp_loop
    from facegan.networks.latents import parse_seeds

    seeds = parse_seeds(cfg.interpolate)
    z = generator.latents(seeds, cfg.truncation, _order(generator, cfg))
    faces = _drawn(generator, slerp_loop(_editor(generator, cfg)(z), cfg.frames))
    facts = _facts(generator, cfg, seeds)
    _save_video(
        generator, faces, f"interpolation-{cfg.interpolate.replace(',', '-')[:100]}", cfg, facts
    )


def save_sweep(generator: "Generator", cfg: DictConfig) -> None:
    """A video of the given seeds' faces, side by side, moved along directions there and back."""
    from facegan.core.images import grid
    from facegan.latent.directions import parse_edit, parse_sweep, sweep_amounts

    factors = sweep_amounts(*parse_sweep(cfg.sweep), cfg.frames).tolist()
    seeds, z = _latents(generator, cfg)
    edit = _editor(generator, cfg)
    frames = (grid(generator.draw(edit(z, factor))) for factor in factors)
    facts = _facts(generator, cfg, seeds)
    _save_video(generator, frames, f"sweep-{'-'.join(parse_edit(cfg.edit))[:100]}", cfg, facts)


def stream(generator: "Generator", cfg: DictConfig) -> None:
    """New faces until the command is stopped: in the terminal, or as files if there is none."""
    from facegan.core.images import to_pil
    from facegan.core.terminal import Strip

    seeds = itertools.count(_seeds(generator, cfg)[0])
    facts = _facts(generator, cfg)
    edit, order = _editor(generator, cfg), _order(generator, cfg)
    strip = Strip(sys.stdout, generator.image_size) if sys.stdout.isatty() else None
    if strip is None:
        print(f"one face after the other in {cfg.out}, until this is stopped", flush=True)
    for seed in seeds:
        began = time.monotonic()
        (face,) = generator.draw(edit(generator.latents([seed], cfg.truncation, order)))
        if strip is None:
            _save_image(face, f"seed-{seed:04}", cfg, replace(facts, seeds=str(seed)))
        elif sys.stdout.isatty():
            strip.show(to_pil(face))
        else:  # the terminal was closed
            return
        time.sleep(max(0, 1 / cfg.fps - (time.monotonic() - began)))


def _drawn(generator: "Generator", z: "Tensor") -> Iterator["Tensor"]:
    """The faces of latents, (C, H, W) uint8 each, drawn a batch at a time."""
    return itertools.chain.from_iterable(map(generator.draw, z.split(64)))


def _facts(generator: "Generator", cfg: DictConfig, seeds: Sequence[int] = ()) -> "Provenance":
    motion = "interpolation" if cfg.interpolate else "sweep" if cfg.sweep else ""
    chosen = {"edit": cfg.edit or "", "attributes": cfg.attributes or "", "motion": motion}
    return generator.provenance(seeds, cfg.truncation, **chosen)


def _legible(generator: "Generator") -> int:
    """The default of `upscale` where faces are only looked at."""
    return max(1, round(LEGIBLE / generator.image_size))


def _save_image(
    image: "Tensor", name: str, cfg: DictConfig, facts: "Provenance", upscale: int = 1
) -> None:
    """`upscale`: the default of the user's."""
    from facegan.core.images import save_image, to_pil

    picture = to_pil(image, cfg.upscale or upscale, cfg.filter, facts)
    save_image(picture, Path(cfg.out) / f"{name}.png")


def _save_video(
    generator: "Generator",
    faces: Iterable["Tensor"],
    name: str,
    cfg: DictConfig,
    facts: "Provenance",
) -> None:
    from facegan.core.images import save_video, to_pil

    path, upscale = Path(cfg.out) / f"{name}.{cfg.video}", cfg.upscale or _legible(generator)
    save_video((to_pil(face, upscale, cfg.filter, facts) for face in faces), path, cfg.fps)
    print(path)


def _latents(generator: "Generator", cfg: DictConfig) -> tuple[Sequence[int], "Tensor"]:
    """The seeds of the faces, none for the latent of a file, and the latents (N, latent_dim)."""
    if cfg.latent is not None:
        from facegan.latent.projection import load_latent

        return (), load_latent(Path(cfg.latent), generator)[None] * cfg.truncation
    seeds = _seeds(generator, cfg)
    return seeds, generator.latents(seeds, cfg.truncation, _order(generator, cfg))


def _seeds(generator: "Generator", cfg: DictConfig) -> Sequence[int]:
    """The seeds of `seeds` or `n`; without labels in the weights, those that fit `attributes`."""
    from facegan.latent.selection import CANDIDATES, find_seeds, parse_attributes
    from facegan.networks.latents import parse_seeds

    if cfg.attributes is None or generator.labels is not None:
        return range(cfg.n) if cfg.seeds is None else parse_seeds(cfg.seeds)
    if cfg.seeds is not None or cfg.stream or cfg.interpolate is not None:
        raise ConfigError(
            "attributes chooses n seeds by itself, since the weights have no labels: give neither "
            "seeds nor stream nor interpolate"
        )
    wanted = parse_attributes(cfg.attributes)
    seeds = find_seeds(generator, wanted, cfg.n, 0, CANDIDATES, cfg.truncation)
    if len(seeds) < cfg.n:
        raise FaceganError(
            f"{len(seeds)} of {CANDIDATES:,} faces fit attributes={cfg.attributes}, and n={cfg.n}; "
            "ask for fewer faces or attributes, or move faces by edit="
        )
    return seeds


def _order(generator: "Generator", cfg: DictConfig) -> dict[str, float] | None:
    """The shares of faces with each of `attributes`, for weights with labels."""
    from facegan.latent.selection import label_order

    return label_order(generator, cfg.attributes)


def _editor(generator: "Generator", cfg: DictConfig) -> Callable[..., "Tensor"]:
    """The function (z, factor=1.0) -> latents moved by `factor` times the amounts of `edit`."""
    if cfg.edit is None:
        return lambda z: z
    from facegan.latent.directions import parse_edit
    from facegan.latent.finding import load_directions

    amounts = parse_edit(cfg.edit)
    directions = load_directions(generator, progress=True, wanted=amounts)

    def edit(z: "Tensor", factor: float = 1.0) -> "Tensor":
        return directions.edit(z, {name: factor * amount for name, amount in amounts.items()})

    return edit


def _check(cfg: DictConfig) -> None:
    """Raises ConfigError for keys that exclude each other, and for unknown choices."""
    moving = cfg.stream or cfg.interpolate is not None
    if cfg.stream and cfg.interpolate is not None:
        raise ConfigError("stream and interpolate exclude each other; give one of them")
    others = ("seeds", "attributes", "latent", "edit", "sweep", "interpolate", "stream", "grid")
    if cfg.shares is not None and any(cfg[name] for name in others):
        raise ConfigError(f"shares chooses n faces by itself: give none of {', '.join(others)}")
    if cfg.sweep is not None and (moving or cfg.edit is None):
        raise ConfigError("sweep needs edit=Smiling or another, and neither stream nor interpolate")
    if cfg.latent is not None and (moving or cfg.seeds or cfg.attributes):
        raise ConfigError(
            "latent is one face: give neither seeds nor attributes nor stream nor interpolate"
        )
    for name, choices in (("filter", ("nearest", "lanczos")), ("video", ("gif", "mp4"))):
        if cfg[name] not in choices:
            raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {cfg[name]}")


if __name__ == "__main__":
    main()
