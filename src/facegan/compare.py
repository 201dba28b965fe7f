"""Compare runs: a table, and a page with curves, grids and the configs' differences.

python -m facegan.compare runs=outputs/sweeps/2026-11-26_10-00-00     a sweep
python -m facegan.compare "runs=outputs/2026-11-*,outputs/latest"     globs and lists
python -m facegan.compare runs=… baseline=outputs/RUN                 differences to a run's config
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import MISSING, DictConfig

from facegan.cli.command import command


@dataclass
class CompareConfig:
    """The types of conf/compare.yaml."""

    runs: str = MISSING
    out: str | None = MISSING
    baseline: str | None = MISSING


class CompareSweep(Callback):
    """Compares the runs of a sweep when it ends."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        if any(folder.rglob("config.yaml")):  # else no run has started
            from facegan.comparison.run import compare

            compare(str(folder), folder)


@command("compare", CompareConfig)
def main(cfg: DictConfig) -> None:
    from facegan.comparison.run import compare  # which --help does not need

    compare(cfg.runs, Path(cfg.out) if cfg.out is not None else None, cfg.baseline)


if __name__ == "__main__":
    main()
