"""The parts of a training, built from plain values: budget, callbacks, the Trainer's arguments."""

import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from facegan.core.checks import check_choice
from facegan.core.errors import FaceganError
from facegan.data.dataset import PackedDataset
from facegan.training.callbacks import (
    LiveGrid,
    RecalibrateBatchNorm,
    SampleGrid,
    SaveNetworks,
    SaveSnapshots,
    WatchMovement,
    weights_metadata,
)
from facegan.training.checkpoints import AtomicCheckpointIO, RunCheckpoints
from facegan.training.devices import check_devices, default_precision, one_process
from facegan.training.evaluation import (
    EvaluateDuringTraining,
    check_callback,
    evaluation_seconds,
)
from facegan.training.health import CheckNumbers, WatchBalance, WatchVariety
from facegan.training.interruption import Interruption
from facegan.training.metrics import MetricsFile, MetricsLogger
from facegan.training.progress import ETA, ProgressBar
from facegan.training.schedule import (
    Budget,
    EpochBudget,
    ImageBudget,
    LearningRateSchedule,
    TimeBudget,
)
from facegan.training.start import StartingPoint

OWN_OPTIONS = ("compile", "max_images", "restart_schedule")  # not arguments of Lightning's Trainer
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", None)
REPLACED = ("max_epochs", "max_time", "precision")  # options that become other arguments
Config = Mapping[str, Any]  # the whole config
Options = Mapping[str, Any]  # the config group trainer


def check_config(config: Config, sweep: bool) -> None:
    """Raises an error for options of the run that cannot work."""
    options = config["trainer"]
    for name in ("compile", "restart_schedule"):
        if not isinstance(options[name], bool):
            raise ValueError(f"{name} must be true or false, got {options[name]}")
    check_choice("precision", options["precision"], PRECISIONS)
    check_devices(options["accelerator"], options["devices"], options.get("num_nodes", 1))
    several = f"trainer.devices={options['devices']}"
    if sweep and not one_process(options):
        raise FaceganError(
            f"{several} in a sweep: every process but the first would start the sweep again; use "
            "one device, or a launcher such as hydra-submitit-launcher"
        )
    if config["health"]["rollback"] and not one_process(options):
        raise FaceganError(
            f"health.rollback=true with {several}: only a training on one device can go back by "
            "itself; leave it false, and resume by hand"
        )
    if config["freeze_d"] and config["init"] is None:
        raise FaceganError(
            f"freeze_d={config['freeze_d']} keeps layers as they are, which are random without "
            "init; give init=full-28 or other weights, or leave freeze_d=0"
        )


def build_budget(options: Options, startup: float) -> Budget:
    """The end of the training: max_time or max_images, if given, replaces max_epochs.

    `startup`: seconds that the command has taken so far. Raises ValueError.
    """
    max_time, max_images = options["max_time"], options["max_images"]
    if max_time is not None and max_images is not None:
        raise ValueError(
            f"max_time={max_time} and max_images={max_images} are two budgets; give one of them"
        )
    if max_images is not None:
        return ImageBudget(max_images)
    if max_time is None:
        return EpochBudget(options["max_epochs"])
    if not one_process(options):
        raise ValueError(
            f"max_time with devices={options['devices']}: each process has its own clock, and "
            "their learning rates would differ; give trainer.max_epochs or trainer.max_images"
        )
    return TimeBudget(parse_duration(str(max_time)), startup, evaluation_seconds)


def parse_duration(text: str) -> timedelta:
    """HH:MM:SS or DD:HH:MM:SS. Raises ValueError for anything else and for zero."""
    # at most four digits, which fit into a timedelta
    if not re.fullmatch(r"(\d{1,4}:)?\d{1,4}:\d\d:\d\d", text) or not text.strip("0:"):
        raise ValueError(
            f"max_time must read HH:MM:SS or DD:HH:MM:SS and be longer than zero, got {text}; try "
            "00:10:00 for ten minutes"
        )
    seconds, minutes, hours, *days = map(int, reversed(text.split(":")))
    return timedelta(days=sum(days), hours=hours, minutes=minutes, seconds=seconds)


def build_callbacks(
    config: Config,
    folder: Path,
    dataset: PackedDataset,
    start: StartingPoint,
    budget: Budget,
    schedule: LearningRateSchedule,
    metrics_file: MetricsFile,
    extra: Mapping[str, Callback],
) -> list[Callback]:
    """All callbacks in the order in which Lightning calls them; `extra` are the user's."""
    metrics = MetricsLogger(config["trainer"]["log_every_n_steps"], metrics_file)
    about = weights_metadata(dataset, config["recipe"])
    health, every = config["health"], config["evaluate_every"]
    interruption, networks = Interruption(folder), SaveNetworks(folder, about)
    parts = (folder, dataset, metrics, every, about, interruption)
    evaluation = EvaluateDuringTraining(*parts) if every else None
    measured = evaluation.metrics_measured if evaluation is not None else []
    for name, callback in extra.items():
        check_callback(name, callback, measured, one_process(config["trainer"]))
    seconds, images, init = config["sample_every"], config["snapshots"]["every"], config["init"]
    saved = {"metrics": metrics_file, "interruption": interruption, "networks": networks}
    options = {**config["checkpoint"], **saved, "evaluation": evaluation}
    checkpoints = RunCheckpoints(folder, start.identity, start.rollbacks, **options)
    callbacks: list[Callback | None] = [
        metrics,
        budget,
        ETA(budget, init is not None, evaluation_seconds),
        ProgressBar(metrics) if sys.stderr.isatty() else None,
        schedule,
        CheckNumbers(metrics),
        WatchBalance(metrics),
        WatchVariety(health["rollback"] and start.rollbacks < health["max_rollbacks"]),
        RecalibrateBatchNorm(),
        SampleGrid(folder / "samples", budget.grid_seconds),
        WatchMovement(init) if init is not None else None,
        networks,
        LiveGrid(folder / "samples", seconds) if seconds is not None else None,
        evaluation,
        SaveSnapshots(folder, images, about) if images is not None else None,
        *extra.values(),
        interruption,
        checkpoints,
    ]
    return [callback for callback in callbacks if callback is not None]


def trainer_arguments(
    options: Options,
    folder: Path,
    budget: Budget,
    loggers: list[Logger],
    callbacks: list[Callback],
) -> dict[str, Any]:
    """The arguments of Lightning's Trainer that the run sets.

    Raises ValueError for those that are among the options.
    """
    arguments = {
        "accumulate_grad_batches": 1,  # this one and the next: not with manual optimization
        "gradient_clip_val": None,
        "default_root_dir": folder,
        "logger": loggers,
        "callbacks": callbacks,
        "plugins": [AtomicCheckpointIO()],
        "max_epochs": budget.max_epochs if isinstance(budget, EpochBudget) else -1,
        "max_steps": -1,
        "max_time": None,  # the budget's callback ends the training
        "precision": options["precision"] or default_precision(options["accelerator"]),
        # one backward pass leaves the other network's weights without gradients
        "strategy": "auto" if one_process(options) else "ddp_find_unused_parameters_true",
        "enable_progress_bar": any(isinstance(c, ProgressBar) for c in callbacks),
        "enable_model_summary": False,
        "fast_dev_run": False,
        "num_sanity_val_steps": 0,
    }
    for name in options:
        if name in arguments and name not in REPLACED:
            raise ValueError(f"{name} must be left out: the run sets it itself")
    return arguments
