"""Train a face GAN.

python -m facegan.train model=dcgan trainer.max_epochs=6      the article's experiment
python -m facegan.train model=lite data=folder data.root=DIR  your own photographs
python -m facegan.train data=folder data.root=DIR init=full-28  … from existing weights
python -m facegan.train -m model/loss=hinge,least_squares seed=1,2     a sweep
python -m facegan.train resume=outputs/latest                 resume a run
python -m facegan.train replay=outputs/latest                 repeat a run in a new folder

docs/settings.md describes every key, also those of the groups: data.crop, model.ema_halflife, ….
"""

import functools
import operator
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf

from facegan.cli.arguments import ArgumentKind, absolute, escape
from facegan.cli.command import command, needs_results
from facegan.cli.config import ConfigError, load_config, number, validate
from facegan.core.errors import FaceganError
from facegan.core.paths import CONFIG_PATH
from facegan.core.run_keys import CHANGEABLE, MOVABLE, PER_COMMAND, may_change

BUDGETS = ("trainer.max_epochs", "trainer.max_images", "trainer.max_time")


@dataclass
class LoaderConfig:
    """How the faces of the data set are fed to a training."""

    flip: bool = MISSING
    on_device: bool = MISSING


@dataclass
class CheckpointConfig:
    """When the state of a run is saved."""

    every: float = number(0, 10**6)  # minutes
    keep: int = number(1, 1000)


@dataclass
class SnapshotsConfig:
    """Which generators are kept besides the newest and the best one."""

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
    replay: str | None = None  # which runs of earlier versions lack
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
    recipe: str | None = None  # the name of the model's YAML, for readers of the stored config


def complete(arguments: list[str]) -> list[str]:
    """`arguments`, with those that follow from `init` and `resume`."""
    values = dict(argument.partition("=")[::2] for argument in arguments)
    return [*arguments, *init_arguments(values), *folder_of_resume(values)]


def folder_of_resume(values: dict[str, str]) -> list[str]:
    """The run's folder as Hydra's, which would make another one."""
    resume = values.get("resume", "null")
    if resume in ("null", "") or {"-m", "--multirun", "hydra.run.dir"} & values.keys():
        return []
    folder = Path(absolute(resume.strip("'\""), ArgumentKind.PATH))
    if not (folder / "config.yaml").is_file():
        raise FaceganError(
            f"resume={folder} is no run folder (it has no config.yaml); try resume=outputs/latest"
        )
    return [f"hydra.run.dir={escape(str(folder))}"]


def init_arguments(values: dict[str, str]) -> list[str]:
    """The recipe of the weights that `init` names, and their crop for aligned photographs.

    Raises FaceganError for another crop: the training would first learn the new framing.
    """
    init = values.get("init", "null")
    if init == "null" or init.startswith("[") or {"resume", "replay"} & values.keys():
        return []
    from facegan.core import pretrained  # torch, which --help does not need

    more = []
    if not {"model", "experiment"} & values.keys():
        recipe = pretrained.metadata(absolute(init, ArgumentKind.WEIGHTS)).get("recipe", "")
        if recipe.isidentifier() and (CONFIG_PATH / "model" / f"{recipe}.yaml").is_file():
            more.append(f"model={recipe}")
    if values.get("data.align") == "true" and init in pretrained.bundled():
        crop, given = str(pretrained.bundled_crop(init)), values.get("data.crop")
        if given not in (None, crop):
            raise FaceganError(
                f"data.crop={given} with init={init}, which was trained with data.crop={crop}: "
                "leave data.crop out"
            )
        more.append(f"data.crop={crop}")
    return more


@command("train", TrainConfig, complete=complete)
def main(cfg: DictConfig) -> float | None:
    began = time.monotonic()
    hydra_config = HydraConfig.get()
    folder, resume = Path(hydra_config.runtime.output_dir), cfg.resume is not None
    cfg.recipe = hydra_config.runtime.choices["model"]
    if resume and cfg.replay is not None:
        raise ConfigError("resume continues a run, replay repeats one: give one of them")
    if stored := cfg.resume or cfg.replay:
        run = Path(stored).resolve()
        folder = run if resume else folder
        cfg = stored_config(run, cfg, list(hydra_config.overrides.task))
        cfg.replay = cfg.replay if resume else escape(str(run))
    elif cfg.init is not None and Path(cfg.init).is_absolute():
        cfg.init = escape(str(Path(cfg.init).resolve()))  # outputs/latest will be this run itself
    check_result(cfg.evaluate_every or None)
    from facegan.training.run import train  # seconds, which --help does not need

    sweep = hydra_config.mode == RunMode.MULTIRUN
    startup = 0.0 if sweep else time.monotonic() - began  # only a sweep's first run imports
    best = train(cfg, folder, resume, sweep, startup)
    check_result(best)
    return best


def check_result(value: float | None) -> None:
    """Raises ConfigError if a sweep needs a distance, and `value` is None: none is measured."""
    if needs_results() and value is None:
        raise ConfigError(
            f"{HydraConfig.get().sweeper._target_} needs a distance, and none is measured: set "
            "evaluate_every=1, and train for at least one epoch on at least 20 photographs"
        )


def stored_config(folder: Path, cfg: DictConfig, overrides: list[str]) -> DictConfig:
    """The config of the run in `folder`, with the values of `cfg` for the keys of `overrides`."""
    changes = {text.lstrip("+").partition("=")[0]: text for text in overrides}
    if foreign := [text for key, text in changes.items() if not may_change(key)]:
        known = ", ".join((*CHANGEABLE, *(f"data.{name}" for name in MOVABLE)))
        raise ConfigError(
            f"{', '.join(foreign)} with resume or replay: of a run's config only {known} can be "
            "changed (trainer.max_epochs=12); start a new run for the rest"
        )
    stored = load_config(folder / "config.yaml")
    if changes.keys() & set(BUDGETS):
        for key in BUDGETS[1:]:  # the new budget replaces the old one
            OmegaConf.update(stored, key, None)
    values: Any = OmegaConf.to_container(cfg)  # with strings as they are escaped
    for key in changes:
        if key in PER_COMMAND:
            continue
        value = functools.reduce(operator.getitem, key.split("."), values)
        OmegaConf.update(stored, key, value, merge=False)
    return validate(stored, TrainConfig)


if __name__ == "__main__":
    # by its own name: a launcher's process cannot import what was defined in __main__
    from facegan.train import main as main_by_name

    main_by_name()
