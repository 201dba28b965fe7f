"""Draw synthetic faces: images, a video or a stream.

python -m facegan.sample                                     ten faces, by the bundled weights
python -m facegan.sample weights=outputs/latest seeds=0-63,100 truncation=0.7 grid=true
python -m facegan.sample attributes=Smiling,-Eyeglasses      faces to order
python -m facegan.sample attributes=Male:0.5,Eyeglasses:0.33 n=200 keep=0.25    the clearest, a set
python -m facegan.sample n=200 keep=0.25 exclude=7,31         the same without faces that are broken
python -m facegan.sample size=256                            faces of 256x256 pixels
python -m facegan.sample interpolate=3,7,12 frames=120       a video of faces that turn into others
python -m facegan.sample stream=true fps=4                   new faces in the terminal until stopped
python -m facegan.sample seeds=7 edit=Smiling:2,Young:-1     a face, changed along directions
python -m facegan.sample edit=Smiling sweep=-3:3 frames=60   a video of ten faces that change
python -m facegan.sample latent=FILE edit=Smiling:2          the face of facegan.project, changed
"""

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING, DictConfig

from facegan.cli.command import command
from facegan.cli.config import ConfigError, number
from facegan.core.console import progress_bar

if TYPE_CHECKING:
    from torch import Tensor


MOST_IN_GRID = 100  # faces, by default
EXCLUDED = {  # keys by others that they exclude
    "stream": ("interpolate", "sweep"),
    "size": ("upscale",),
    "sweep": ("interpolate",),
    "exclude": ("seeds", "stream", "interpolate"),
    "latent": ("seeds", "attributes", "keep", "exclude", "stream", "interpolate"),
}


@dataclass
class SampleConfig:
    """The types of conf/sample.yaml."""

    weights: str = MISSING
    n: int = number(1, 10**6)
    seeds: str | None = MISSING
    attributes: str | None = MISSING
    keep: float | None = number(0.01, 1)
    exclude: str | None = MISSING
    latent: str | None = MISSING
    truncation: float = number(0, 10)
    out: str = MISSING
    grid: bool | None = MISSING
    size: int | None = number(1, 10**5)
    upscale: int | None = number(1, 100)
    filter: str | None = MISSING
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
    drawing = Drawing(cfg)
    if cfg.stream:
        drawing.stream()
    elif cfg.interpolate is not None or cfg.sweep is not None:
        drawing.save_video()
    else:
        drawing.save_images()


class Drawing:
    """What a config draws: the generator, the seeds of its faces, directions, and the mark."""

    def __init__(self, cfg: DictConfig) -> None:
        from facegan.core.images import enlargement
        from facegan.latent.directions import parse_edit
        from facegan.latent.finding import load_directions
        from facegan.latent.movement import still_the_start
        from facegan.latent.selection import label_order, parse_attributes
        from facegan.networks.base import Generator  # torch, which --help does not need
        from facegan.networks.latents import parse_seeds

        self.cfg = cfg
        self.generator = generator = Generator.from_pretrained(cfg.weights)
        if warning := still_the_start(cfg.weights):
            print(f"warning: {warning}", file=sys.stderr)
        self.upscale = enlargement(generator.image_size, cfg.size) if cfg.size else cfg.upscale
        self.filter = cfg.filter or ("lanczos" if cfg.size else "nearest")
        self.amounts = parse_edit(cfg.edit) if cfg.edit else {}
        if self.amounts:
            self.directions = load_directions(generator, True, self.amounts)
        self.exclude = {*parse_seeds(cfg.exclude)} if cfg.exclude is not None else set()
        self.wanted = parse_attributes(cfg.attributes)
        self.order = label_order(generator, self.wanted)
        self.found: dict[int, str] = {}  # by a search: seeds, and what each face has
        self.seeds = () if cfg.latent is not None else self._seeds()
        motion = "interpolation" if cfg.interpolate else "sweep" if cfg.sweep else ""
        facts = {"edit": cfg.edit or "", "attributes": cfg.attributes or "", "motion": motion}
        facts |= {"upscale": self.upscale or 1, "filter": self.filter}
        self.facts = generator.provenance(self.seeds, cfg.truncation, **facts)

    def save_images(self) -> None:
        """A PNG for each seed, one of all, and with `keep` a manifest."""
        import torch

        from facegan.core.images import grid, legible
        from facegan.latent.avatars import write_manifest

        cfg, z = self.cfg, self.latents(self.seeds)
        with_grid = 1 < len(z) <= MOST_IN_GRID if cfg.grid is None else cfg.grid
        names = [(f"seed-{seed:04}", str(seed)) for seed in self.seeds] or [("latent", "")]
        faces, kept = progress_bar(self.faces(z), total=len(z)), []
        for (name, seed), face in zip(names, faces, strict=True):
            self.save_image(face, name, seed)
            kept += [face] if with_grid or cfg.keep is not None else []
        if with_grid:
            scale = legible(self.generator.image_size)
            self.save_image(grid(torch.stack(kept)), "grid", self.facts.seeds, scale)
        if cfg.keep is not None:
            images = torch.stack(kept)
            write_manifest(Path(cfg.out), self.facts, cfg.keep, self.found, images, self.exclude)
        shown = f"; {Path(cfg.out) / 'grid.png'} shows them" if with_grid else ""
        print(f"{len(z)} face{'s' if len(z) > 1 else ''} in {cfg.out}{shown}")

    def save_video(self) -> None:
        """A loop from face to face, or of all faces side by side, moved there and back."""
        from facegan.core.images import grid, legible, save_video, to_pil
        from facegan.latent.directions import parse_sweep, sweep_amounts
        from facegan.latent.interpolation import slerp_loop

        cfg = self.cfg
        if cfg.interpolate is not None:
            name = f"interpolation-{cfg.interpolate.replace(',', '-')}"
            frames = self.faces(slerp_loop(self.latents(self.seeds), cfg.frames))
        else:
            name = f"sweep-{'-'.join(self.amounts)}"
            factors = sweep_amounts(*parse_sweep(cfg.sweep), cfg.frames).tolist()
            moved = (self.latents(self.seeds, factor) for factor in factors)
            frames = (grid(self.generator.draw(z)) for z in moved)
        path = Path(cfg.out) / f"{name[:110]}.{cfg.video}"
        scale = self.upscale or legible(self.generator.image_size)
        save_video((to_pil(f, scale, self.filter, self.facts) for f in frames), path, cfg.fps)
        print(path)

    def stream(self) -> None:
        """New faces until the command is stopped: in the terminal, or as files if there is none."""
        from facegan.core.images import to_pil
        from facegan.core.terminal import Strip

        strip = Strip(sys.stdout, self.generator.image_size) if sys.stdout.isatty() else None
        if strip is None:
            print(f"one face after the other in {self.cfg.out}, until this is stopped", flush=True)
        for seed in itertools.count(self.seeds[0]):
            began = time.monotonic()
            (face,) = self.generator.draw(self.latents([seed]))
            if strip is None:
                self.save_image(face, f"seed-{seed:04}", str(seed))
            else:
                strip.show(to_pil(face))
            time.sleep(max(0, 1 / self.cfg.fps - (time.monotonic() - began)))

    def latents(self, seeds: Sequence[int], factor: float = 1.0) -> "Tensor":
        """Of `seeds`, or of a file, moved by `factor` times the amounts: (N, latent_dim)."""
        if self.cfg.latent is not None:
            from facegan.latent.projection import load_latent

            z = load_latent(Path(self.cfg.latent), self.generator)[None] * self.cfg.truncation
        else:
            z = self.generator.latents(seeds, self.cfg.truncation, self.order)
        scaled = {name: factor * amount for name, amount in self.amounts.items()}
        return self.directions.edit(z, scaled) if scaled else z

    def faces(self, z: "Tensor") -> Iterator["Tensor"]:
        """The faces of latents, (C, H, W) uint8 each, drawn a batch at a time."""
        return itertools.chain.from_iterable(map(self.generator.draw, z.split(64)))

    def save_image(self, image: "Tensor", name: str, seeds: str, upscale: int = 1) -> None:
        """`upscale`: the default of the user's."""
        from facegan.core.images import save_image, to_pil
        from facegan.latent.selection import own_order

        facts = replace(self.facts, seeds=seeds)
        if seeds.isdecimal():  # of one face
            own = self.found.get(int(seeds)) or own_order(self.generator, int(seeds), self.order)
            facts = replace(facts, attributes=own or facts.attributes)
        picture = to_pil(image, self.upscale or upscale, self.filter, facts)
        save_image(picture, Path(self.cfg.out) / f"{name}.png")

    def _seeds(self) -> Sequence[int]:
        """The seeds of `seeds` or `n`; with `keep`, or without labels, those that are wanted."""
        from facegan.latent.selection import check_found, find_faces
        from facegan.networks.latents import parse_seeds

        cfg, text = self.cfg, self.cfg.interpolate or self.cfg.seeds
        if cfg.keep is None and (self.order is not None or not self.wanted):
            kept = (seed for seed in itertools.count() if seed not in self.exclude)
            return [*itertools.islice(kept, cfg.n)] if text is None else parse_seeds(text)
        if text is not None or cfg.stream:
            raise ConfigError(
                "keep chooses n seeds by itself, as attributes does for weights without labels: "
                "give neither seeds nor stream nor interpolate"
            )
        how = {"truncation": cfg.truncation, "keep": cfg.keep, "order": self.order}
        how |= {"progress": True, "exclude": self.exclude}
        self.found = find_faces(self.generator, self.wanted, cfg.n, **how)
        check_found(self.found, cfg.n, cfg.attributes)
        return [*self.found]


def _check(cfg: DictConfig) -> None:
    """Raises ConfigError for keys that exclude each other, and for an unknown filter."""
    from facegan.core.images import FILTERS

    for name, others in EXCLUDED.items():
        for other in others:
            if cfg[name] and cfg[other]:
                raise ConfigError(f"{name} and {other} exclude each other; give one of them")
    if cfg.sweep is not None and cfg.edit is None:
        raise ConfigError("sweep needs edit=Smiling or another")
    if cfg.filter not in (None, *FILTERS):
        raise ConfigError(f"filter must be one of {', '.join(FILTERS)}, got {cfg.filter}")


if __name__ == "__main__":
    main()
