"""The parts of a training, built from its config: budget, loggers, callbacks, trainer."""

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import PassThroughProfiler, Profiler

from facegan.cli.config import ConfigError, instantiate, shown
from facegan.data.dataset import PackedDataset
from facegan.training.callbacks import (
    GIF_FRAMES,
    SaveSnapshots,
    gan_callbacks,
    gif_seconds,
    weights_metadata,
)
from facegan.training.checkpoints import (
    AtomicCheckpointIO,
    RunCheckpoints,
)
from facegan.training.devices import check_devices, check_nodes, default_precision
from facegan.training.evaluation import EvaluateDuringTraining
from facegan.training.extensions import check_monitors, extra_callbacks, extra_loggers
from facegan.training.interruption import Interruption
from facegan.training.loggers import JSONLLogger, MetricsLogger
from facegan.training.monitors import CheckNumbers, WatchBalance, WatchVariety
from facegan.training.progress import ETA, EpochSummary, ProgressBar
from facegan.training.protocols import generative, is_generative
from facegan.training.schedule import (
    Budget,
    EpochBudget,
    ImageBudget,
    LearningRateSchedule,
    TimeBudget,
)
from facegan.training.start import StartingPoint

EXTRA_KEYS = (
    "compile",
    "max_images",
    "restart_schedule",
)  # under trainer, but not arguments of Lightning's Trainer
# images of an epoch at least, where time or images end the training: with few photographs, grids,
# evaluations and checkpoints would take longer than the training between them
EPOCH_IMAGES = 10_000
INIT_WARMUP = 5_000  # images over which the rates rise where the networks start from other weights
BUDGET = "a training ends by trainer.max_epochs, trainer.max_images or trainer.max_time"
RUN = "the run sets it itself"
MANUAL = "it has no effect on a GAN's manual optimization"
RESERVED_KEYS = {  # the Trainer's, that are not for the user to set, and why
    "accumulate_grad_batches": MANUAL,
    "barebones": RUN,
    "callbacks": "use the config group callbacks",
    "default_root_dir": "use hydra.run.dir",
    "enable_checkpointing": RUN,
    "enable_model_summary": "use callbacks=model_summary",
    "enable_progress_bar": RUN,
    "fast_dev_run": "use experiment=debug/batches",
    "gradient_clip_algorithm": MANUAL,
    "gradient_clip_val": MANUAL,
    "logger": "use the config group logger",
    "max_steps": BUDGET,
    "min_epochs": BUDGET,
    "min_steps": BUDGET,
    "num_sanity_val_steps": RUN,
    "plugins": RUN,
    "strategy": RUN,
    "val_check_interval": "a GAN has no validation loop; use evaluate_every",
}
CHOICES: dict[str, tuple[Any, ...]] = {  # of values that are no numbers
    "compile": (True, False),
    "deterministic": (True, False, "warn", None),
    "precision": ("32-true", "bf16-mixed", "16-mixed", None),
    "profiler": ("simple", "advanced", None),  # or an object
    "restart_schedule": (True, False),
}


def build_loggers(nodes: DictConfig, folder: Path, start: StartingPoint) -> list[Logger]:
    """metrics.jsonl and the loggers of the config, without what lies after the starting point."""
    metrics_file = JSONLLogger(folder / "metrics.jsonl", start.metrics_lines)
    return [metrics_file, *extra_loggers(nodes, folder, start.images_seen)]


def build_callbacks(
    cfg: DictConfig,
    folder: Path,
    model: pl.LightningModule,
    dataset: PackedDataset,
    start: StartingPoint,
    loggers: list[Logger],
    budget: Budget,
) -> list[Callback]:
    """All callbacks of a run, in the order in which Lightning calls them."""
    metrics = MetricsLogger(cfg.trainer.log_every_n_steps)
    callbacks: list[Callback] = [metrics, EpochSummary(metrics), budget, ETA(budget)]
    if sys.stderr.isatty():
        callbacks.append(ProgressBar(metrics))
    if is_generative(model):
        restart = cfg.trainer.restart_schedule
        warmup = INIT_WARMUP if cfg.init is not None else 0
        callbacks.append(LearningRateSchedule(budget, restart, start.rollbacks, warmup))
        callbacks += health_callbacks(cfg, dataset, metrics, start.rollbacks)
        about = weights_metadata(dataset, cfg.recipe)
        callbacks += gan_callbacks(
            folder, dataset, metrics, cfg.evaluate_every, cfg.sample_every, about
        )
        if cfg.snapshots.every is not None:
            callbacks.append(SaveSnapshots(folder, cfg.snapshots.every, about))
    evaluation = next((c for c in callbacks if isinstance(c, EvaluateDuringTraining)), None)
    if isinstance(budget, TimeBudget) and is_generative(model):
        frame = gif_seconds(dataset)
        budget.finish = lambda epochs: frame * min(epochs, GIF_FRAMES)
        if evaluation is not None:
            budget.rehearse = lambda: evaluation.rehearse(generative(model).ema)
    extra = extra_callbacks(cfg.callbacks, one_process(cfg.trainer))
    if is_generative(model):
        measured = evaluation.metrics_measured if evaluation is not None else []
        check_monitors(extra, [metric.name for metric in measured])
    callbacks += extra.values()
    interruption = Interruption(folder)
    checkpoints = RunCheckpoints(
        folder,
        start.identity,
        start.rollbacks,
        cfg.checkpoint.every,
        cfg.checkpoint.keep,
        next(logger for logger in loggers if isinstance(logger, JSONLLogger)),
        interruption,
        evaluation,
    )
    return [*callbacks, interruption, checkpoints]


def health_callbacks(
    cfg: DictConfig, dataset: PackedDataset, metrics: MetricsLogger, rollbacks: int
) -> list[Callback]:
    """What watches over the numbers, the balance of the networks and the generator's variety."""
    stop = cfg.health.rollback and rollbacks < cfg.health.max_rollbacks
    return [
        CheckNumbers(cfg.trainer.log_every_n_steps),
        WatchBalance(metrics),
        WatchVariety(dataset, stop),
    ]


def build_trainer(
    node: DictConfig, folder: Path, loggers: list[Logger], callbacks: list[Callback]
) -> pl.Trainer:
    """Lightning's Trainer with this project's loggers, writing to `folder`."""
    arguments = OmegaConf.masked_copy(node, [str(key) for key in node if key not in EXTRA_KEYS])
    timed = node.max_images is not None or node.max_time is not None
    trainer: pl.Trainer = instantiate(
        arguments,
        "trainer",
        default_root_dir=folder,
        logger=loggers,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        max_epochs=-1 if timed else node.max_epochs,
        max_time=None,  # the budget's callback ends the training
        precision=node.precision or default_precision(node.accelerator),
        # one backward pass leaves the other network's weights without gradients
        strategy="auto" if one_process(node) else "ddp_find_unused_parameters_true",
        enable_progress_bar=any(isinstance(c, ProgressBar) for c in callbacks),
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    profile_to_file(trainer, folder)
    return trainer


def profile_to_file(trainer: pl.Trainer, folder: Path) -> None:
    """Has a profiler without a file, such as that of trainer.profiler=simple, write to `folder`.

    It would log its table at a level that is not shown.
    """
    profiler = getattr(trainer, "profiler", None)
    if isinstance(profiler, PassThroughProfiler) or not isinstance(profiler, Profiler):
        return
    if profiler.filename is None:
        profiler.dirpath, profiler.filename = folder, "profile"


def one_process(node: DictConfig) -> bool:
    """Whether the Trainer that `node` describes trains in one process, on one device."""
    devices = node.devices
    if devices == "auto":
        devices = 1 if node.accelerator == "cpu" else max(torch.cuda.device_count(), 1)
    count = len(devices) if isinstance(devices, ListConfig) else devices
    return count == 1 and node.get("num_nodes", 1) == 1


def check_config(cfg: DictConfig) -> None:
    """What neither the schema nor a signature can know."""
    check_devices(cfg.trainer.accelerator, cfg.trainer.devices)
    _check_count(cfg.trainer, "log_every_n_steps", 25)
    check_nodes(cfg.trainer.get("num_nodes", 1))
    _check_choices(cfg.trainer)
    if not one_process(cfg.trainer) and cfg.health.rollback:
        raise ConfigError(
            f"health.rollback=true with trainer.devices={cfg.trainer.devices}: only a training on "
            "one device can go back by itself; leave it false, and resume by hand"
        )
    for name, reason in RESERVED_KEYS.items():
        if name in cfg.trainer:
            raise ConfigError(f"trainer.{name} is not for the user to set: {reason}; leave it out")
    if cfg.freeze_d and cfg.init is None:
        raise ConfigError(
            f"freeze_d={cfg.freeze_d} keeps layers as they are, which are random without init; "
            "give init=full-28 or other weights, or leave freeze_d=0"
        )
    if cfg.trainer.get("limit_train_batches", 1) == 0:
        raise ConfigError("trainer.limit_train_batches=0 trains nothing; give at least 1, a count")


def _check_choices(node: DictConfig) -> None:
    for name, choices in CHOICES.items():
        value = node.get(name)
        if name not in node or (isinstance(value, DictConfig) and "_target_" in value):
            continue
        # 0 and 1 are equal to the bools
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            known = ", ".join(map(shown, choices))
            raise ConfigError(f"trainer.{name} must be one of {known}, got {shown(value)}")


def _check_count(node: DictConfig, name: str, example: int) -> None:
    value = node[name]
    if not isinstance(value, int) or value < 1:
        raise ConfigError(
            f"trainer.{name} must be a whole number of at least 1, got {value}; try {example}"
        )


def epoch_images(node: DictConfig) -> int:
    """The images that an epoch has at least: with a budget of epochs, those of the data set."""
    return 0 if node.max_time is None and node.max_images is None else EPOCH_IMAGES


def build_budget(node: DictConfig, startup: float) -> Budget:
    """The end of the training: a time or a number of images, where given, replaces the epochs.

    `startup`: seconds that the command has taken already.
    """
    if node.max_time is not None and node.max_images is not None:
        raise ConfigError(
            f"trainer.max_time={node.max_time} and trainer.max_images={node.max_images} are two "
            "budgets; give one of them"
        )
    if node.max_images is not None:
        return ImageBudget(node.max_images)
    if node.max_time is None:
        _check_count(node, "max_epochs", 6)
        return EpochBudget(node.max_epochs)
    if not one_process(node):
        raise ConfigError(
            f"trainer.max_time with trainer.devices={node.devices}: each process has its own "
            "clock, and their learning rates would differ; give trainer.max_epochs or "
            "trainer.max_images instead"
        )
    return TimeBudget(_parse_duration(str(node.max_time)), startup)


def _parse_duration(text: str) -> timedelta:
    # four digits: a timedelta cannot hold any number
    if not re.fullmatch(r"(\d{1,4}:)?\d{1,4}:\d\d:\d\d", text) or not text.strip("0:"):
        raise ConfigError(
            f"trainer.max_time must read HH:MM:SS or DD:HH:MM:SS and be longer than zero, got "
            f"{text}; try 00:10:00 for ten minutes"
        )
    seconds, minutes, hours, *days = map(int, reversed(text.split(":")))
    return timedelta(days=sum(days), hours=hours, minutes=minutes, seconds=seconds)
