"""The parts of a training, built from plain values: budget, callbacks, Trainer, device."""

import ctypes
import platform
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import PassThroughProfiler

from facegan.cli.config import instantiate
from facegan.core.checks import check_choice
from facegan.core.errors import FaceganError
from facegan.data.dataset import PackedDataset
from facegan.training.budget import Budget, EpochBudget, ImageBudget, TimeBudget
from facegan.training.callbacks import (
    RecalibrateBatchNorm,
    SampleGrid,
    SaveNetworks,
    WatchMovement,
)
from facegan.training.checkpoints import AtomicCheckpointIO, Interruption, RunCheckpoints
from facegan.training.evaluation import (
    EvaluateDuringTraining,
    check_callback,
    evaluation_seconds,
)
from facegan.training.folder import StartingPoint
from facegan.training.health import CheckNumbers, WatchBalance, WatchVariety
from facegan.training.metrics import MetricsFile, MetricsLogger
from facegan.training.progress import ETA, ProgressBar
from facegan.training.schedule import LearningRateSchedule

OWN_OPTIONS = ("compile", "max_images", "restart_schedule")  # not arguments of Lightning's Trainer
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", None)
REPLACED = ("max_epochs", "max_time", "precision")  # options that become other arguments
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
Config = Mapping[str, Any]  # the whole config
Options = Mapping[str, Any]  # the config group trainer


def check_config(config: Config, sweep: bool) -> None:
    """Raises an error for options of the run that cannot work."""
    options = config["trainer"]
    for name in ("compile", "restart_schedule"):
        if not isinstance(options[name], bool):
            raise ValueError(f"{name} must be true or false, got {options[name]}")
    check_choice("precision", options["precision"], PRECISIONS)
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
    health, every, init = config["health"], config["evaluate_every"], config["init"]
    about = {"recipe": config["recipe"], "license": dataset.license}
    about = {name: text for name, text in about.items() if text}
    networks = SaveNetworks(folder, about, config["snapshots"]["every"])
    interruption = Interruption(folder)
    parts = (dataset, metrics, every, networks, interruption)
    evaluation = EvaluateDuringTraining(*parts) if every else None
    measured = evaluation.metrics_measured if evaluation is not None else []
    for name, callback in extra.items():
        check_callback(name, callback, measured, one_process(config["trainer"]))
    saved = (folder, start.identity, start.rollbacks, metrics_file, interruption, networks)
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
        SampleGrid(folder / "samples", budget.grid_seconds, config["sample_every"]),
        WatchMovement(init, about) if init is not None else None,
        networks,
        evaluation,
        *extra.values(),
        interruption,
        RunCheckpoints(*saved, **config["checkpoint"]),
    ]
    return [callback for callback in callbacks if callback is not None]


def build_trainer(
    options: Options,
    folder: Path,
    budget: Budget,
    loggers: list[Logger],
    callbacks: list[Callback],
) -> pl.Trainer:
    """The Trainer; a profiler without a file writes its table to the run folder.

    Raises ValueError for options that the run sets itself.
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
        "min_epochs": None,  # the budget ends the training
        "min_steps": None,
        "max_time": None,
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
    kept = {name: value for name, value in options.items() if name not in OWN_OPTIONS}
    trainer: pl.Trainer = instantiate(kept, "trainer", **arguments)
    if trainer.limit_train_batches == 0:
        raise ValueError("limit_train_batches must be above 0, got 0: nothing would be trained")
    profiler: Any = trainer.profiler  # type: ignore[attr-defined]
    if not isinstance(profiler, PassThroughProfiler) and profiler.filename is None:
        profiler.dirpath, profiler.filename = folder, "profile"
    return trainer


def uses_cuda(accelerator: str) -> bool:
    """Whether `trainer.accelerator` means the GPUs of this machine."""
    return accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def one_process(options: Mapping[str, Any]) -> bool:
    """Whether the Trainer with these `options` trains in one process, on one device."""
    devices = options["devices"]
    if devices == "auto":
        devices = torch.cuda.device_count() if uses_cuda(options["accelerator"]) else 1
    count = len(devices) if isinstance(devices, list) else devices
    return count == 1 and options.get("num_nodes", 1) == 1


def default_precision(accelerator: str) -> str:
    """bf16-mixed if the device multiplies in bf16 natively, 32-true if it would emulate it.

    On such CPUs it makes these networks' steps a fifth to a half faster (docs/speed.md).
    """
    if uses_cuda(accelerator):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator in ("auto", "cpu"):
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def check_compiler() -> None:
    """Compiles one addition. Raises FaceganError if torch.compile does not work."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise FaceganError(
            f"trainer.compile=true: {reason}; install a C++ compiler, or leave compile false"
        ) from error


def keep_freed_memory() -> None:
    """Makes glibc keep the memory of freed tensors for the next ones.

    By default it returns large blocks to the system, and a training step on a CPU gets them back
    page by page, thousands of times (docs/speed.md). Other C libraries are left alone.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, size in ((M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**31 - 1)):  # largest
            libc.mallopt(option, size)
