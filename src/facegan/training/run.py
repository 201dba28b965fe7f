"""A training from its config to a finished run folder."""

import dataclasses
import logging
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from facegan.cli.config import (
    ConfigError,
    accepted,
    instantiate,
    keyed,
    plain,
    read_config,
    save_config,
)
from facegan.core import pretrained
from facegan.core.paths import PACKAGE
from facegan.core.run_files import METRICS_FILE
from facegan.data.base import FaceSource
from facegan.data.datamodule import FaceDataModule
from facegan.data.dataset import PackedDataset
from facegan.data.recorded import data_record, read_record, source_or_recorded
from facegan.gan.module import GAN
from facegan.networks.labels import LabelTable
from facegan.training.budget import Budget
from facegan.training.build import (
    build_budget,
    build_callbacks,
    build_trainer,
    check_compiler,
    check_config,
    keep_freed_memory,
)
from facegan.training.checkpoints import restoring
from facegan.training.evaluation import EvaluateDuringTraining
from facegan.training.folder import (
    CONFIG,
    StartingPoint,
    changes,
    check_same_run,
    is_finished,
    is_rank_zero,
    point_latest_at,
    roll_back,
    run_identity,
    starting_point,
    write_record,
    writer_lock,
)
from facegan.training.health import UnhealthyError
from facegan.training.initialization import freeze_layers, initialize
from facegan.training.metrics import MetricsFile, print_line
from facegan.training.progress import (
    describe_device,
    print_results,
    print_summary,
    warn_of_busy_cores,
)
from facegan.training.schedule import LearningRateSchedule

SCHEDULE_KEYS = ("lr_schedule", "final_lr_factor", "cooldown_after")  # in the group model
OTHER_KEYS = (*SCHEDULE_KEYS, "conditional")  # of the group model, not of the GAN
INIT_WARMUP = 5_000  # images over which the rates rise if the networks start from other weights


def train(
    cfg: DictConfig, folder: Path, resume: bool, sweep: bool = False, startup: float = 0.0
) -> float | None:
    """Trains the model of `cfg` in `folder`, or resumes the training that is there.

    In a `sweep`, a finished run of the same config is skipped. `startup`: seconds that the command
    has taken so far. Returns the least distance to the validation faces, the Fréchet or, with few
    photographs, the kernel distance; None if it was not measured.
    """
    silence_warnings()
    warn_of_busy_cores()
    config = plain(cfg)
    with named_errors("trainer"):
        check_config(config, sweep)
        budget = build_budget(config["trainer"], startup)
    keep_freed_memory()
    if sweep and is_finished(folder) and not changes(read_config(folder / CONFIG), config):
        print(f"{folder} is finished already", flush=True)
        return read_record(folder).get("best_distance")
    with writer_lock(folder):
        begun = (folder / CONFIG).exists()
        if begun and not resume and is_rank_zero():
            check_same_run(folder, read_config(folder / CONFIG), config)
        start = starting_point(folder, run_identity(config), begun, budget)
        while True:
            try:
                return _train(config, folder, start, budget)
            except UnhealthyError as error:
                start = roll_back(folder, start, error, **config["health"])


@contextmanager
def named_errors(key: str, kinds: tuple[type[Exception], ...] = (ValueError,)) -> Iterator[None]:
    """Within the block, an error of these kinds becomes a ConfigError with its key."""
    try:
        yield
    except kinds as error:
        raise ConfigError(keyed(key, error)) from error


def _train(
    config: dict[str, Any], folder: Path, start: StartingPoint, budget: Budget
) -> float | None:
    pl.seed_everything(config["seed"], verbose=False)
    gan = build_model(config["model"])
    source = source_or_recorded(
        lambda: instantiate(config["data"], "data"), config["data"]["packed_dir"], folder
    )
    loggers = _loggers(config["logger"], folder, start.images_seen)
    extra = {k: instantiate(node, f"callbacks.{k}") for k, node in config["callbacks"].items()}
    schedule = build_schedule(config, budget, start.rollbacks)
    check_fit(gan, source)
    with budget.paused():
        dataset = source.dataset()
    if config["model"].get("conditional"):
        gan = build_model(config["model"], label_table(dataset))
    if config["trainer"]["compile"]:
        check_compiler()
        gan.compile_networks()
    if config["init"] is not None:
        dataset = _start_from_weights(config, folder, gan, dataset, start)
    gan.ema.license = dataset.license
    data = FaceDataModule(
        dataset,
        gan.batch_size,
        config["seed"],
        **config["loader"],
        fixed_order=bool(config["trainer"].get("overfit_batches")),
        epoch_images=budget.epoch_images,
    )
    if start.data:  # a refused resume writes nothing
        data.load_state_dict(start.data)
    with named_errors("trainer", (ValueError, ModuleNotFoundError)):
        file = MetricsFile(folder / METRICS_FILE, start.metrics_lines)
        callbacks = build_callbacks(config, folder, dataset, start, budget, schedule, file, extra)
        trainer = build_trainer(config["trainer"], folder, budget, loggers, callbacks)
    _begin(config, folder, trainer, data_record(source, dataset))
    print_summary(gan, data, trainer)
    evaluation = next((c for c in callbacks if isinstance(c, EvaluateDuringTraining)), None)
    if evaluation is not None:
        with budget.paused():  # or a sweep's first run would train for less time than the others
            evaluation.prepare(trainer.strategy.root_device)
    kinds = (MisconfigurationException, ModuleNotFoundError)
    with named_errors("trainer", kinds), restoring(start.checkpoint, trainer):
        trainer.fit(gan, datamodule=data, ckpt_path=start.checkpoint, weights_only=True)
    best = evaluation.best_distance if evaluation is not None else None
    write_record(folder, finished=True, best_distance=best)
    print_results(folder)
    return best


def build_model(node: Any, labels: Mapping[str, Any] | None = None) -> GAN:
    """The GAN of the config group `model`, conditional on `labels`, a `LabelTable`'s arguments."""
    arguments = {key: value for key, value in plain(node).items() if key not in OTHER_KEYS}
    gan: GAN = instantiate(arguments, "model", labels=labels)
    return gan


def label_table(dataset: PackedDataset) -> dict[str, Any]:
    """The labels of the training images. Raises ConfigError if there are none."""
    labels = dataset.labels.rows(dataset.indices("train"))
    if not labels.attribute_names:
        raise ConfigError(
            "model.conditional=true needs labels, and the data has none; set data.labels, or use "
            "data=celeba or data=generated"
        )
    return LabelTable.of(labels.attribute_names, labels.attributes).config


def build_schedule(
    config: dict[str, Any], budget: Budget, rollbacks: int = 0
) -> LearningRateSchedule:
    """The learning rates; three of their keys are in the group `model`."""
    keys = {name: config["model"][name] for name in SCHEDULE_KEYS if name in config["model"]}
    warmup = INIT_WARMUP if config["init"] is not None else 0
    restart = config["trainer"]["restart_schedule"]
    with named_errors("model"):
        return LearningRateSchedule(budget, restart, rollbacks, warmup, **keys)


def check_fit(gan: GAN, source: FaceSource) -> None:
    """Raises ConfigError unless the model works on images of the data's size."""
    size = (source.channels, source.image_size, source.image_size)
    if gan.image_shape != size:
        raise ConfigError(
            f"the model works on images of {gan.image_shape}, the data has {size} (channels, "
            "height, width); leave the networks' image_size to data.image_size, and "
            "their channels to data.mode"
        )


def _start_from_weights(
    config: dict[str, Any], folder: Path, gan: GAN, dataset: PackedDataset, start: StartingPoint
) -> PackedDataset:
    """Initializes the networks by `init`; returns `dataset` with the terms of these weights, too.

    A resumed run has both already.
    """
    if start.checkpoint is None:
        initialize(gan, config["init"], config["recipe"])
        terms = pretrained.metadata(config["init"]).get("license", "")
        write_record(folder, init_license=terms)
    freeze_layers(gan.discriminator, config["freeze_d"])
    both = filter(None, (dataset.license, str(read_record(folder).get("init_license", ""))))
    return dataclasses.replace(dataset, license="; ".join(dict.fromkeys(both)))


def _loggers(nodes: dict[str, Any], folder: Path, images_seen: int) -> list[Logger]:
    """The loggers of the config group `logger`, which write to the run folder."""
    offered = {"save_dir": folder, "images_seen": images_seen}
    loggers = []
    for name, node in nodes.items():
        try:
            loggers.append(instantiate(node, f"logger.{name}", **accepted(node, offered)))
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"logger={name}: {error}; install it by pip install -e '.[{name}]'"
            ) from error
    return loggers


@rank_zero_only
def _begin(config: dict[str, Any], folder: Path, trainer: pl.Trainer, data: dict[str, str]) -> None:
    """Writes config and record into the run folder, and points outputs/latest at it."""
    before = read_record(Path(config["replay"] or folder)).get("environment", {})
    now = environment(trainer)
    for name in ("device", "precision", "torch"):
        if before.get(name, now[name]) != now[name]:
            print_line(
                f"warning: {name} was {before[name]} and is {now[name]}, so that the weights will "
                "not be the same bit for bit"
            )
    save_config(config, folder / CONFIG)
    write_record(folder, finished=False, data=data, environment=now)
    for logger in trainer.loggers:
        logger.log_hyperparams(config)
    point_latest_at(folder)


def environment(trainer: pl.Trainer) -> dict[str, str]:
    """The command, and what decides a training's numbers besides its config."""
    describe = f"git -C {shlex.quote(str(PACKAGE))} describe --always --dirty --abbrev=40"
    return {
        "command": shlex.join(sys.orig_argv),
        "precision": str(trainer.precision),
        "device": describe_device(trainer.strategy.root_device),
        **{name: version(name) for name in ("facegan", "torch", "pytorch_lightning")},
        "commit": subprocess.getoutput(f"{describe} 2>{os.devnull}"),  # empty without a repository
    }


def silence_warnings() -> None:
    """Silences what Lightning prints that the summary prints too, or that is not for users."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        "have no `validation_step`",
        "in eval mode at the start of training",  # the moving average
        "dataloader is not resumable",  # ours starts at Lightning's own progress
        "smaller than the logging interval",  # MetricsLogger logs too
        "exists and is not empty",  # as a resumed run's folder is
        "srun. command is available",  # on SLURM's login node
        "callbacks used to create the checkpoint",  # the budget may change
        "LeafSpec",  # Lightning's use of torch's trees
    ):
        warnings.filterwarnings("ignore", f".*{message}.*")
