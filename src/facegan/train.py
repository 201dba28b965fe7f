"""Train a face GAN.

python -m facegan.train model=dcgan trainer.max_epochs=6      the article's experiment
python -m facegan.train model=lite data=folder data.root=DIR  your own photographs
python -m facegan.train data=folder data.root=DIR init=full-28  … from weights that exist
python -m facegan.train -m model/loss=hinge,least_squares seed=1,2     a sweep
python -m facegan.train resume=outputs/latest                 go on with a run

docs/settings.md describes every key, also those of the groups: data.crop, model.ema_halflife, ….
"""

import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf

from facegan.cli.arguments import ArgumentKind, absolute, escape
from facegan.cli.command import command
from facegan.cli.config import ConfigError, load_config, number, validate
from facegan.core.errors import FaceganError
from facegan.core.paths import CONFIG_PATH

# what may be changed where a run goes on
CHANGEABLE = (
    *("trainer.", "checkpoint.", "snapshots.", "health.", "sample_every="),
    *("data.root=", "data.packed_dir="),
)
EPOCHS, OTHER_BUDGETS = "trainer.max_epochs", ("trainer.max_images", "trainer.max_time")


@dataclass
class LoaderConfig:
    """How the dataset's faces are fed to a training."""

    flip: bool = MISSING
    on_device: bool = MISSING


@dataclass
class CheckpointConfig:
    """When the state of a run is saved."""

    every: float = number(0, 10**6)  # minutes
    keep: int = number(1, 1000)


@dataclass
class SnapshotsConfig:
    """Which generators are kept beside the newest and the best one."""

    every: int | None = number(1, 10**12)  # images


@dataclass
class HealthConfig:
    """What happens when a training diverges or collapses."""

    rollback: bool = MISSING
    max_rollbacks: int = number(1, 100)


@dataclass
class TrainConfig:
    """The types of conf/train.yaml."""

    seed: int = number(0, 2**32 - 1)
    evaluate_every: int = number(0, 10**6)
    sample_every: float | None = number(0, 10**6)
    resume: str | None = MISSING
    init: str | None = MISSING
    freeze_d: int = number(0, 1000)
    trust: Any = None
    model: Any = None
    data: Any = None
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    snapshots: SnapshotsConfig = field(default_factory=SnapshotsConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    trainer: Any = None
    logger: Any = None
    callbacks: Any = None
    recipe: str | None = None  # the name of the model's YAML, for whoever reads the stored config


def complete(arguments: list[str]) -> list[str]:
    """`arguments`, with those that follow from `init` and `resume`."""
    return with_folder_of_resume(with_recipe_of_init(arguments))


def with_folder_of_resume(arguments: list[str]) -> list[str]:
    """`arguments`, with the run's folder as Hydra's, which would make another one else."""
    values = dict(argument.partition("=")[::2] for argument in arguments)
    resume = values.get("resume", "null")
    if resume in ("null", "") or {"-m", "--multirun", "hydra.run.dir"} & values.keys():
        return arguments
    folder = Path(absolute(resume.strip("'\""), ArgumentKind.PATH))
    check_run_folder(folder)
    return [*arguments, f"hydra.run.dir={escape(str(folder))}"]


def check_run_folder(folder: Path) -> None:
    """Raises FaceganError unless a run has begun in `folder`."""
    if not (folder / "config.yaml").is_file():
        raise FaceganError(
            f"resume={folder} is no run folder (it has no config.yaml); try resume=outputs/latest"
        )


def with_recipe_of_init(arguments: list[str]) -> list[str]:
    """`arguments`, with the recipe of the weights that `init` names where none is chosen."""
    values = dict(argument.partition("=")[::2] for argument in arguments)
    init = values.get("init", "null")
    if init == "null" or init.startswith("[") or {"model", "experiment", "resume"} & values.keys():
        return arguments
    from facegan.core import pretrained  # torch, which --help does not need

    recipe = pretrained.metadata(absolute(init, ArgumentKind.WEIGHTS)).get("recipe", "")
    known = (CONFIG_PATH / "model" / f"{recipe}.yaml").is_file()
    return [*arguments, f"model={recipe}"] if known and recipe.isidentifier() else arguments


@command("train", TrainConfig, complete=complete)
def main(cfg: DictConfig) -> float | None:
    began = time.monotonic()
    hydra_config = HydraConfig.get()
    folder, resume = Path(hydra_config.runtime.output_dir), cfg.resume is not None
    cfg.recipe = hydra_config.runtime.choices["model"]
    if resume:
        folder = Path(cfg.resume).resolve()
        cfg = stored_config(folder, list(hydra_config.overrides.task))
    from facegan.training.build import one_process  # seconds, which --help does not need
    from facegan.training.run import train

    multirun = hydra_config.mode == RunMode.MULTIRUN
    if multirun and not one_process(cfg.trainer):
        raise ConfigError(
            f"trainer.devices={cfg.trainer.devices} in a sweep: every process but the first would "
            "start the sweep again; use one device, or a launcher such as hydra-submitit-launcher"
        )
    chosen = any(text.startswith("hydra.run.dir=") for text in hydra_config.overrides.hydra)
    automatic = not (resume or multirun or chosen)
    startup = time.monotonic() - began
    return train(cfg, folder, resume, automatic, skip_finished=multirun, startup=startup)


def stored_config(folder: Path, overrides: list[str]) -> DictConfig:
    """The config that the run in `folder` was started with, with the changes in `overrides`."""
    check_run_folder(folder)
    path = folder / "config.yaml"
    changes = [text for text in overrides if not text.startswith(("resume=", "trust="))]
    foreign = [text for text in changes if not text.lstrip("+").startswith(CHANGEABLE)]
    if foreign:
        raise ConfigError(
            f"{', '.join(foreign)} with resume: a run goes on with its own config, of which only "
            f"{'…, '.join(CHANGEABLE)} can be changed (trainer.max_epochs=12); start a new run for "
            "the rest"
        )
    stored = load_config(path)
    missing = [f.name for f in fields(TrainConfig) if f.name not in (*stored, "resume", "trust")]
    if missing:
        raise FaceganError(
            f"{path} lacks {', '.join(missing)}: it was edited, or written by another version; "
            "restore it, or start a new run"
        )
    parsed = OverridesParser.create().parse_overrides(changes)  # 12:00:00 is text to Hydra
    if {change.key_or_group for change in parsed} & {EPOCHS, *OTHER_BUDGETS}:
        for key in OTHER_BUDGETS:  # the new one takes the place of the old one
            OmegaConf.update(stored, key, None)
    for change in parsed:
        OmegaConf.update(stored, change.key_or_group, change.value())
    return validate(stored, TrainConfig)


if __name__ == "__main__":
    # by its own name: a launcher's process cannot import what was defined in __main__
    from facegan.train import main as main_by_name

    main_by_name()
