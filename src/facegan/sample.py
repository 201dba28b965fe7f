"""Draw synthetic faces: images, a video or a stream.

python -m facegan.sample                                     ten faces, by the bundled weights
python -m facegan.sample weights=outputs/latest seeds=0-63,100 truncation=0.7 grid=true
python -m facegan.sample attributes=Smiling,-Eyeglasses      faces to order
python -m facegan.sample attributes=Male:0.5,Eyeglasses:0.33 n=200 keep=0.25    the clearest, a set
python -m facegan.sample interpolate=3,7,12 frames=120       a video of faces that turn into others
python -m facegan.sample stream=true fps=4                   new faces in the terminal until stopped
python -m facegan.sample seeds=7 edit=Smiling:2,Young:-1     a face, changed along directions
python -m facegan.sample edit=Smiling sweep=-3:3 frames=60   a video of ten faces that change
python -m facegan.sample latent=FILE edit=Smiling:2          the face of facegan.project, changed
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING, DictConfig

from facegan.cli.command import command
from facegan.cli.config import ConfigError, number
from facegan.core.console import progress_bar

if TYPE_CHECKING:
    from torch import Tensor

    from facegan.core.provenance import Provenance
    from facegan.networks.base import Generator


MOST_IN_GRID = 100  # faces, by default
EXCLUDED = {  # keys by others that they exclude
    "stream": ("interpolate", "sweep"),
    "sweep": ("interpolate",),
    "latent": ("seeds", "attributes", "keep", "stream", "interpolate"),  # one face
}


@dataclass
class SampleConfig:
    """The types of conf/sample.yaml."""

    weights: str = MISSING
    n: int = number(1, 10**6)
    seeds: str | None = MISSING
    attributes: str | None = MISSING
    keep: float | None = number(0.01, 1)
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
    from facegan.networks.base import Generator  # torch, which --help does not need

    generator = Generator.from_pretrained(cfg.weights)
    if cfg.stream:
        stream(generator, cfg)
    elif cfg.interpolate is not None or cfg.sweep is not None:
        save_motion(generator, cfg)
    else:
        save_images(generator, cfg)


def save_images(generator: "Generator", cfg: DictConfig) -> None:
    """A PNG for each seed, one of all, and with `keep` a manifest."""
    import torch

    from facegan.core.images import grid, legible
    from facegan.latent.selection import write_manifest

    seeds, z = _latents(generator, cfg)
    faces = _drawn(generator, _editor(generator, cfg)(z))
    facts = _facts(generator, cfg, seeds)
    with_grid = 1 < len(z) <= MOST_IN_GRID if cfg.grid is None else cfg.grid
    names = [(f"seed-{seed:04}", str(seed)) for seed in seeds] or [("latent", "")]
    kept = []
    for (name, seed), face in zip(names, progress_bar(faces, total=len(z)), strict=True):
        _save_image(face, name, cfg, replace(facts, seeds=seed))
        kept += [face] if with_grid or cfg.keep is not None else []
    if with_grid:
        scale = legible(generator.image_size)
        _save_image(grid(torch.stack(kept)), "grid", cfg, facts, scale)
    if cfg.keep is not None:
        facts = replace(facts, upscale=cfg.upscale or 1, filter=cfg.filter)
        write_manifest(Path(cfg.out), facts, cfg.keep, seeds, torch.stack(kept))
    shown = f"; {Path(cfg.out) / 'grid.png'} shows them" if with_grid else ""
    print(f"{len(z)} face{'s' if len(z) > 1 else ''} in {cfg.out}{shown}")


def save_motion(generator: "Generator", cfg: DictConfig) -> None:
    """A video from face to face, which ends at the first one, or of faces along directions."""
    from facegan.core.images import grid, legible, save_video, to_pil
    from facegan.latent.directions import parse_edit, parse_sweep, sweep_amounts
    from facegan.latent.interpolation import slerp_loop

    seeds, z = _latents(generator, cfg)
    edit = _editor(generator, cfg)
    if cfg.interpolate is not None:
        name = f"interpolation-{cfg.interpolate.replace(',', '-')}"
        frames = _drawn(generator, slerp_loop(edit(z), cfg.frames))
    else:
        name = f"sweep-{'-'.join(parse_edit(cfg.edit))}"
        factors = sweep_amounts(*parse_sweep(cfg.sweep), cfg.frames).tolist()
        frames = (grid(generator.draw(edit(z, factor))) for factor in factors)
    scale, facts = cfg.upscale or legible(generator.image_size), _facts(generator, cfg, seeds)
    path = Path(cfg.out) / f"{name[:110]}.{cfg.video}"
    save_video((to_pil(frame, scale, cfg.filter, facts) for frame in frames), path, cfg.fps)
    print(path)


def stream(generator: "Generator", cfg: DictConfig) -> None:
    """New faces until the command is stopped: in the terminal, or as files if there is none."""
    from facegan.core.images import to_pil
    from facegan.core.terminal import Strip

    order = _order(generator, cfg)
    first = _seeds(generator, cfg, order)[0]
    facts, edit = _facts(generator, cfg), _editor(generator, cfg)
    strip = Strip(sys.stdout, generator.image_size) if sys.stdout.isatty() else None
    if strip is None:
        print(f"one face after the other in {cfg.out}, until this is stopped", flush=True)
    for seed in itertools.count(first):
        began = time.monotonic()
        (face,) = generator.draw(edit(generator.latents([seed], cfg.truncation, order)))
        if strip is None:
            _save_image(face, f"seed-{seed:04}", cfg, replace(facts, seeds=str(seed)))
        else:
            strip.show(to_pil(face))
        time.sleep(max(0, 1 / cfg.fps - (time.monotonic() - began)))


def _drawn(generator: "Generator", z: "Tensor") -> Iterator["Tensor"]:
    """The faces of latents, (C, H, W) uint8 each, drawn a batch at a time."""
    return itertools.chain.from_iterable(map(generator.draw, z.split(64)))


def _facts(generator: "Generator", cfg: DictConfig, seeds: Sequence[int] = ()) -> "Provenance":
    motion = "interpolation" if cfg.interpolate else "sweep" if cfg.sweep else ""
    chosen = {"edit": cfg.edit or "", "attributes": cfg.attributes or "", "motion": motion}
    return generator.provenance(seeds, cfg.truncation, **chosen)


def _save_image(
    image: "Tensor", name: str, cfg: DictConfig, facts: "Provenance", upscale: int = 1
) -> None:
    """`upscale`: the default of the user's."""
    from facegan.core.images import save_image, to_pil

    picture = to_pil(image, cfg.upscale or upscale, cfg.filter, facts)
    save_image(picture, Path(cfg.out) / f"{name}.png")


def _latents(generator: "Generator", cfg: DictConfig) -> tuple[Sequence[int], "Tensor"]:
    """The seeds of the faces, none for the latent of a file, and the latents (N, latent_dim)."""
    if cfg.latent is not None:
        from facegan.latent.projection import load_latent

        return (), load_latent(Path(cfg.latent), generator)[None] * cfg.truncation
    order = _order(generator, cfg)
    seeds = _seeds(generator, cfg, order)
    return seeds, generator.latents(seeds, cfg.truncation, order)


def _order(generator: "Generator", cfg: DictConfig) -> dict[str, float] | None:
    """The shares of faces with each of `attributes`, for weights with labels."""
    from facegan.latent.selection import label_order, parse_attributes

    return label_order(generator, parse_attributes(cfg.attributes))


def _seeds(
    generator: "Generator", cfg: DictConfig, order: dict[str, float] | None
) -> Sequence[int]:
    """The seeds of `seeds` or `n`; with `keep`, or without labels, those that fit `attributes`."""
    from facegan.latent.selection import check_found, find_seeds, parse_attributes
    from facegan.networks.latents import parse_seeds

    text, wanted = cfg.interpolate or cfg.seeds, parse_attributes(cfg.attributes)
    if cfg.keep is None and (order is not None or not wanted):
        return range(cfg.n) if text is None else parse_seeds(text)
    if text is not None or cfg.stream:
        raise ConfigError(
            "keep chooses n seeds by itself, as attributes does for weights without labels: give "
            "neither seeds nor stream nor interpolate"
        )
    found = find_seeds(
        generator, wanted, cfg.n, truncation=cfg.truncation, keep=cfg.keep, order=order
    )
    check_found(found, cfg.n, cfg.attributes)
    return found


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
    for name, others in EXCLUDED.items():
        for other in others:
            if cfg[name] and cfg[other]:
                raise ConfigError(f"{name} and {other} exclude each other; give one of them")
    if cfg.sweep is not None and cfg.edit is None:
        raise ConfigError("sweep needs edit=Smiling or another")
    for name, choices in (("filter", ("nearest", "lanczos")), ("video", ("gif", "mp4"))):
        if cfg[name] not in choices:
            raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {cfg[name]}")


if __name__ == "__main__":
    main()
