"""Draw faces with a trained generator.

python -m facegan.sample weights=outputs/latest n=10
python -m facegan.sample weights=outputs/latest seeds=0-63,100 truncation=0.7 grid=true upscale=8
"""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from facegan.config import ConfigError, verb


@dataclass
class SampleConfig:
    """The types of conf/sample.yaml."""

    weights: str = ""
    n: int = 10
    seeds: str | int | None = None
    truncation: float = 1.0
    out: str = ""
    grid: bool = False
    upscale: int = 1


@verb("sample", SampleConfig)
def main(cfg: DictConfig) -> None:
    from facegan.images import save_grid, save_png
    from facegan.networks.base import Generator
    from facegan.sampling import parse_seeds

    _check(cfg)
    generator = Generator.from_pretrained(cfg.weights)
    try:
        seeds = parse_seeds(str(cfg.seeds)) if cfg.seeds is not None else list(range(cfg.n))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    faces = generator.sample(seeds=seeds, truncation=cfg.truncation)
    out = Path(cfg.out)
    for seed, face in zip(seeds, faces, strict=True):
        save_png(face, out / f"seed-{seed:04}.png", cfg.upscale)
    if cfg.grid:
        save_grid(faces, out / "grid.png", upscale=cfg.upscale)
    print(f"{len(seeds)} faces in {out}")


def _check(cfg: DictConfig) -> None:
    for name, least in (("n", 1), ("upscale", 1), ("truncation", 0)):
        if cfg[name] < least:
            raise ConfigError(f"{name} must be at least {least}, got {cfg[name]}")


if __name__ == "__main__":
    main()
