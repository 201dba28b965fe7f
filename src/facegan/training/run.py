"""A training from its config to a finished run folder."""

import logging
import math
import re
import sys
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.model_helpers import is_overridden

from facegan.config import ConfigError, instantiate, read_config, save_config
from facegan.data.datamodule import FaceDataModule
from facegan.data.dataset import PackedDataset
from facegan.errors import FaceganError
from facegan.training.callbacks import EvaluateDuringTraining, gan_callbacks
from facegan.training.checkpoints import AtomicCheckpointIO, RunCheckpoints, newest_checkpoint
from facegan.training.devices import (
    check_compiler,
    default_precision,
    describe_device,
    keep_freed_memory,
)
from facegan.training.folder import (
    CONFIG,
    LATEST,
    changes,
    check_same_run,
    is_finished,
    is_rank_zero,
    point_latest_at,
    record,
    run_identity,
    write_record,
    writer_lock,
)
from facegan.training.interruption import Interruption
from facegan.training.loggers import JSONLLogger, MetricsLogger, RunTensorBoard
from facegan.training.progress import ETA, EpochSummary, ProgressBar
from facegan.training.protocols import GenerativeModule
from facegan.training.schedule import (
    Budget,
    EpochBudget,
    ImageBudget,
    LearningRateSchedule,
    TimeBudget,
)

EXTRA_KEYS = ("compile", "max_images")  # under trainer, but not arguments of Lightning's Trainer
RESERVED_KEYS = (  # the Trainer's, but set by this module, or without effect in manual optimization
    "accumulate_grad_batches",
    "callbacks",
    "default_root_dir",
    "enable_model_summary",
    "enable_progress_bar",
    "gradient_clip_algorithm",
    "gradient_clip_val",
    "logger",
    "num_sanity_val_steps",
    "plugins",
    "strategy",
)
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class StartingPoint:
    """Where a training begins: at nothing, or at a checkpoint of an earlier process."""

    identity: str  # of the run, which its checkpoints carry
    checkpoint: Path | None = None
    images_seen: int = 0
    metrics_lines: int = 0


def train(
    cfg: DictConfig,
    folder: Path,
    resume: bool,
    automatic_folder: bool = False,
    skip_finished: bool = False,
) -> float | None:
    """Trains the model of `cfg` in `folder`, or goes on with the training that is there.

    With `automatic_folder`, a folder that another run has taken is replaced by a free one. With
    `skip_finished`, a finished run of the same config is left as it is. Returns the least Fréchet
    distance on the validation faces, None where it was not measured.
    """
    silence_warnings()
    _check(cfg)
    keep_freed_memory()
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    if skip_finished and is_finished(folder) and not changes(stored(folder), config):
        print(f"{folder} is finished already", flush=True)
        return record(folder).get("frechet_distance")
    with writer_lock(folder, automatic_folder) as locked:
        return _train(cfg, locked, _starting_point(cfg, locked, resume))


def _train(cfg: DictConfig, folder: Path, start: StartingPoint) -> float | None:
    pl.seed_everything(cfg.seed, verbose=False)
    model = instantiate(cfg.model, "model")
    if cfg.trainer.compile:
        check_compiler()
        model.compile_networks()
    dataset = _dataset(cfg, model)
    data = FaceDataModule(
        dataset, model.batch_size, cfg.seed, cfg.loader.flip, cfg.loader.on_device
    )
    loggers = build_loggers(folder, start)
    callbacks = build_callbacks(cfg, folder, model, dataset, start, loggers)
    trainer = build_trainer(cfg.trainer, folder, loggers, callbacks)
    _begin(cfg, folder, trainer)
    print_summary(model, dataset, trainer)
    trainer.fit(model, datamodule=data, ckpt_path=start.checkpoint, weights_only=True)
    if is_overridden("test_step", model):
        trainer.test(model, datamodule=data, verbose=False)
    best = best_distance(callbacks)
    write_record(folder, finished=True, frechet_distance=best)
    print_results(folder)
    return best


def stored(folder: Path) -> dict[str, Any]:
    """The config.yaml of the run in `folder`."""
    return cast(dict[str, Any], OmegaConf.to_container(read_config(folder / CONFIG), resolve=True))


def _starting_point(cfg: DictConfig, folder: Path, resume: bool) -> StartingPoint:
    """The newest good checkpoint in `folder`; the beginning, where there is none."""
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    begun = (folder / CONFIG).exists()
    if begun and not resume and is_rank_zero():
        check_same_run(folder, stored(folder), config)
    identity = run_identity(config)
    found = newest_checkpoint(folder, identity)
    if found is None and is_finished(folder):
        raise FaceganError(
            f"{folder} has lost its checkpoints, so the run cannot go on; its weights are in "
            f"{folder}/generator.safetensors: start a new run"
        )
    if found is None:
        if begun and is_rank_zero():
            print(f"{folder} has no checkpoint yet: the run starts again", flush=True)
        return StartingPoint(identity)
    path, checkpoint = found
    images, lines = checkpoint["images_seen"], checkpoint["facegan"]["metrics_lines"]
    rank_zero_only(print)(f"the run goes on from {path}, after {images:,} images", flush=True)
    return StartingPoint(identity, path, images, lines)


def _dataset(cfg: DictConfig, model: Any) -> PackedDataset:
    """The packed data set of `cfg`, whose images the model must fit."""
    source = instantiate(cfg.data, "data")
    size = (source.channels, source.image_size, source.image_size)
    if model.image_shape != size:
        raise ConfigError(
            f"the model works on images of {model.image_shape}, the data has {size} (channels, "
            "height, width); leave the networks' image_size to data.image_size, and "
            "their channels to data.mode"
        )
    return source.dataset()


def build_loggers(folder: Path, start: StartingPoint) -> list[Logger]:
    """TensorBoard and metrics.jsonl, without what lies after the starting point."""
    return [
        RunTensorBoard(folder, start.images_seen),
        JSONLLogger(folder / "metrics.jsonl", start.metrics_lines),
    ]


def build_callbacks(
    cfg: DictConfig,
    folder: Path,
    model: pl.LightningModule,
    dataset: PackedDataset,
    start: StartingPoint,
    loggers: list[Logger],
) -> list[Callback]:
    """All callbacks of a run, in the order in which Lightning calls them."""
    budget = build_budget(cfg.trainer)
    metrics = MetricsLogger(cfg.trainer.log_every_n_steps)
    callbacks: list[Callback] = [metrics, EpochSummary(metrics), budget, ETA(budget)]
    if sys.stderr.isatty():
        callbacks.append(ProgressBar(metrics))
    if isinstance(model, GenerativeModule):
        callbacks.append(LearningRateSchedule(budget))
        callbacks += gan_callbacks(folder, dataset, metrics, cfg.evaluate_every)
    interruption = Interruption(folder)
    checkpoints = RunCheckpoints(
        folder,
        start.identity,
        cfg.checkpoint.every,
        cfg.checkpoint.keep,
        next(logger for logger in loggers if isinstance(logger, JSONLLogger)),
        interruption,
        next((c for c in callbacks if isinstance(c, EvaluateDuringTraining)), None),
    )
    return [*callbacks, interruption, checkpoints]


def best_distance(callbacks: list[Callback]) -> float | None:
    """The least Fréchet distance that was measured during the training."""
    measured = [c.best for c in callbacks if isinstance(c, EvaluateDuringTraining)]
    return next(filter(math.isfinite, measured), None)


def build_trainer(
    node: DictConfig, folder: Path, loggers: list[Logger], callbacks: list[Callback]
) -> pl.Trainer:
    """Lightning's Trainer with this project's loggers, writing to `folder`."""
    arguments = OmegaConf.masked_copy(node, [str(key) for key in node if key not in EXTRA_KEYS])
    timed = node.max_images is not None or node.max_time is not None
    try:
        return instantiate(
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
    except InstantiationException as error:
        if isinstance(error.__cause__, MisconfigurationException):
            raise ConfigError(f"trainer: {error.__cause__}") from error
        raise


def one_process(node: DictConfig) -> bool:
    """Whether the Trainer that `node` describes trains in one process, on one device."""
    devices = node.devices
    if devices == "auto":
        devices = 1 if node.accelerator == "cpu" else max(torch.cuda.device_count(), 1)
    count = len(devices) if isinstance(devices, ListConfig) else devices
    return count == 1 and node.get("num_nodes", 1) == 1


def _check(cfg: DictConfig) -> None:
    """What neither the schema nor a signature can know."""
    _check_count(cfg.trainer, "log_every_n_steps", 25)
    if not isinstance(cfg.trainer.compile, bool):
        raise ConfigError(f"trainer.compile must be true or false, got {cfg.trainer.compile!r}")
    if cfg.trainer.precision not in (None, *PRECISIONS):
        raise ConfigError(
            f"trainer.precision must be one of {', '.join(PRECISIONS)}, or null for the device's "
            f"own, got {cfg.trainer.precision}"
        )
    for name in RESERVED_KEYS:
        if name in cfg.trainer:
            raise ConfigError(f"trainer.{name} is not for the user to set; leave it out")


def _check_count(node: DictConfig, name: str, example: int) -> None:
    value = node[name]
    if not isinstance(value, int) or value < 1:
        raise ConfigError(
            f"trainer.{name} must be a whole number of at least 1, got {value}; try {example}"
        )


def build_budget(node: DictConfig) -> Budget:
    """The end of the training: a time or a number of images, where given, replaces the epochs."""
    if node.max_time is not None and node.max_images is not None:
        raise ConfigError(
            f"trainer.max_time={node.max_time} and trainer.max_images={node.max_images} are two "
            "budgets; give one of them"
        )
    if node.max_images is not None:
        _check_count(node, "max_images", 300000)
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
    return TimeBudget(_parse_duration(str(node.max_time)))


def _parse_duration(text: str) -> timedelta:
    if not re.fullmatch(r"(\d+:)?\d+:\d\d:\d\d", text):
        raise ConfigError(
            f"trainer.max_time must read HH:MM:SS or DD:HH:MM:SS, got {text}; "
            "try 00:10:00 for ten minutes"
        )
    seconds, minutes, hours, *days = map(int, reversed(text.split(":")))
    return timedelta(days=sum(days), hours=hours, minutes=minutes, seconds=seconds)


def print_summary(model: pl.LightningModule, dataset: PackedDataset, trainer: pl.Trainer) -> None:
    """What is about to happen, in five lines."""
    counts = dataset.manifest["counts"]
    batch_size = model.batch_size
    sizes = {
        name: sum(p.numel() for p in part.parameters() if p.requires_grad)
        for name, part in model.named_children()
    }
    parameters = ", ".join(f"{name} {size / 1e6:.2f}M" for name, size in sizes.items() if size)
    images = counts["train"] // batch_size * batch_size
    faces = f"faces of {dataset.image_size}x{dataset.image_size}"
    lines = {
        "device": f"{describe_device(trainer.strategy.root_device)}; {trainer.precision}",
        "data": ", ".join(f"{n:,} {split}" for split, n in counts.items()) + f" {faces}",
        "parameters": parameters,
        "epoch": f"{images:,} images in batches of {batch_size}",
        "folder": str(trainer.default_root_dir),
    }
    for name, text in lines.items():
        rank_zero_only(print)(f"{name:11}{text}", flush=True)


@rank_zero_only
def print_results(folder: Path) -> None:
    """Where to look."""
    for path in sorted([*folder.glob("samples/*.gif"), *folder.glob("*.safetensors")]):
        print(path)
    print(f"{folder}: the curves are shown by tensorboard --logdir {LATEST.parent}")


@rank_zero_only
def _begin(cfg: DictConfig, folder: Path, trainer: pl.Trainer) -> None:
    """Writes the config into the run folder, and points outputs/latest at it."""
    save_config(cfg, folder / CONFIG)
    write_record(folder, finished=False)
    for logger in trainer.loggers:
        logger.log_hyperparams(cast(dict, OmegaConf.to_container(cfg, resolve=True)))
    point_latest_at(folder)


def silence_warnings() -> None:
    """Lightning's own greetings say what our summary says, or are not meant for users."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*have no `validation_step`.*")
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")  # the average
    warnings.filterwarnings(
        "ignore", ".*dataloader is not resumable.*"
    )  # ours begins where Lightning's own progress says
    warnings.filterwarnings(
        "ignore", ".*smaller than the logging interval.*"
    )  # MetricsLogger logs too
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # as a resumed run's is
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning's use of torch's trees
