"""Evaluate a generator: quality, variety and memorization of its faces.

python -m facegan.evaluate weights=outputs/latest           a run, against its own data's test split
python -m facegan.evaluate images=DIR data.root=…           any other generator's output
python -m facegan.evaluate weights=… features=inception     the standard FID and KID
"""

from dataclasses import dataclass, field
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf

from facegan.cli.command import command
from facegan.cli.config import ConfigError, number, read_data_config
from facegan.core.trust import check_stored

SPLITS = ("test", "val", "train", "all")


@dataclass
class EvaluationConfig:
    """The keys under `evaluation`."""

    faces: int = number(1, 10**6)
    split: str = MISSING
    seed: int = number(0, 2**31)
    inception_weights: str | None = MISSING


@dataclass
class EvaluateConfig:
    """The types of conf/evaluate.yaml."""

    weights: str = MISSING
    images: str | None = MISSING
    out: str | None = MISSING
    data: Any = None
    features: Any = None
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    trust: Any = None


@command("evaluate", EvaluateConfig)
def main(cfg: DictConfig) -> None:
    if cfg.evaluation.split not in SPLITS:
        known = ", ".join(SPLITS)
        raise ConfigError(f"evaluation.split must be one of {known}, got {cfg.evaluation.split}")
    cfg.data = data_of_run(cfg)
    from facegan.evaluation.run import evaluate  # seconds of imports, which --help does not need

    evaluate(cfg)


def data_of_run(cfg: DictConfig) -> DictConfig:
    """The run's own data with the overrides of the command line, or what data=… names."""
    from facegan.core.pretrained import run_folder

    run = None if cfg.images is not None else run_folder(cfg.weights)
    keys = [text.lstrip("+").partition("=")[0] for text in HydraConfig.get().overrides.task]
    if run is None or "data" in keys or not (run / "config.yaml").is_file():
        return cast(DictConfig, cfg.data)
    stored = read_data_config(run)  # of the rest, only the generator is built
    check_stored(stored, run / "config.yaml")
    data: DictConfig = OmegaConf.create(stored)
    for key in keys:
        if key.startswith("data."):
            OmegaConf.update(data, key.removeprefix("data."), OmegaConf.select(cfg, key))
    return data


if __name__ == "__main__":
    main()
