"""A training from its config to a finished run folder."""

import io
import logging
import os
import pickle
import re
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.model_helpers import is_overridden

from facegan._files import atomic_path
from facegan.config import ConfigError, instantiate, save_config
from facegan.data.datamodule import FaceDataModule
from facegan.data.dataset import PackedDataset
from facegan.errors import FaceganError
from facegan.training.callbacks import gan_callbacks
from facegan.training.devices import (
    check_compiler,
    default_precision,
    describe_device,
    keep_freed_memory,
)
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
CHECKPOINT = "checkpoints/last.ckpt"
LATEST = Path("outputs/latest")


def train(cfg: DictConfig, folder: Path, resume: bool) -> None:
    """Trains the model of `cfg` in `folder`, or resumes the training that is there."""
    silence_warnings()
    _check(cfg)
    keep_freed_memory()
    pl.seed_everything(cfg.seed, verbose=False)
    model = instantiate(cfg.model, "model")
    if cfg.trainer.compile:
        check_compiler()
        model.compile_networks()
    dataset = _dataset(cfg, model)
    data = FaceDataModule(
        dataset, model.batch_size, cfg.seed, cfg.loader.flip, cfg.loader.on_device
    )
    checkpoint = _checkpoint(folder, resume)
    images_seen = _images_seen(checkpoint) if checkpoint else 0
    callbacks = build_callbacks(cfg, folder, model, dataset)
    trainer = build_trainer(cfg.trainer, folder, images_seen, callbacks)
    _begin(cfg, folder, trainer)
    print_summary(model, dataset, trainer)
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if is_overridden("test_step", model):
        trainer.test(model, datamodule=data, verbose=False)
    print_results(folder)


def _dataset(cfg: DictConfig, model: Any) -> PackedDataset:
    """The packed data set of `cfg`, whose images the model must fit."""
    source = instantiate(cfg.data, "data")
    size = (3, source.image_size, source.image_size)
    if model.image_shape != size:
        raise ConfigError(
            f"the model works on images of {model.image_shape}, the data has {size} (channels, "
            "height, width); leave the networks' image_size to data.image_size, and channels at 3"
        )
    return source.dataset()


def build_callbacks(
    cfg: DictConfig, folder: Path, model: pl.LightningModule, dataset: PackedDataset
) -> list[Callback]:
    """All callbacks of a run, in the order in which Lightning calls them."""
    budget = build_budget(cfg.trainer)
    metrics = MetricsLogger(cfg.trainer.log_every_n_steps)
    callbacks: list[Callback] = [
        metrics,
        EpochSummary(metrics),
        budget,
        ETA(budget),
        ResumeHint(folder),
        ModelCheckpoint(
            folder / Path(CHECKPOINT).parent,
            Path(CHECKPOINT).stem,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        ),
    ]
    if sys.stderr.isatty():
        callbacks.append(ProgressBar(metrics))
    if isinstance(model, GenerativeModule):
        callbacks.append(LearningRateSchedule(budget))
        callbacks += gan_callbacks(folder, dataset, metrics, cfg.evaluate_every)
    return callbacks


def build_trainer(
    node: DictConfig, folder: Path, images_seen: int, callbacks: list[Callback]
) -> pl.Trainer:
    """Lightning's Trainer with this project's loggers, writing to `folder`."""
    arguments = OmegaConf.masked_copy(node, [str(key) for key in node if key not in EXTRA_KEYS])
    timed = node.max_images is not None or node.max_time is not None
    try:
        return instantiate(
            arguments,
            "trainer",
            default_root_dir=folder,
            logger=[
                RunTensorBoard(folder, images_seen),
                JSONLLogger(folder / "metrics.jsonl", images_seen),
            ],
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


class AtomicCheckpointIO(TorchCheckpointIO):
    """Never half of one: Lightning's own takes the way through /tmp, which may be another disk."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()  # of a full disk torch tells nothing that a user could understand
        torch.save(checkpoint, buffer)
        with atomic_path(Path(path)) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class ResumeHint(Callback):
    """On Ctrl-C, the command that goes on with the run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @rank_zero_only
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if not isinstance(exception, KeyboardInterrupt):
            return
        how = "no epoch was finished, so there is nothing to go on from"
        if (self.folder / CHECKPOINT).is_file():
            how = f"go on from its last whole epoch by resume={self.folder}"
        print(f"\nthe training was interrupted; {how}", file=sys.stderr)


def _check(cfg: DictConfig) -> None:
    """What neither the schema nor a signature can know."""
    if not 0 <= cfg.seed < 2**32:
        raise ConfigError(f"seed must lie in [0, 2^32), got {cfg.seed}; try 0")
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
    save_config(cfg, folder / "config.yaml")
    for logger in trainer.loggers:
        logger.log_hyperparams(cast(dict, OmegaConf.to_container(cfg, resolve=True)))
    LATEST.parent.mkdir(exist_ok=True)
    temporary = LATEST.with_name(f".latest.{os.getpid()}")
    try:
        temporary.symlink_to(os.path.relpath(folder, LATEST.parent), target_is_directory=True)
        temporary.replace(LATEST)
    except OSError as error:  # Windows grants links to developers only
        print(f"{LATEST} could not be pointed at {folder}: {error}")


def _checkpoint(folder: Path, resume: bool) -> Path | None:
    """The checkpoint to go on from. Lightning itself would silently start afresh without one."""
    path = folder / CHECKPOINT
    if resume and not path.is_file():
        raise FaceganError(
            f"resume={folder}: there is no {CHECKPOINT}, so no epoch was finished; start a new run"
        )
    begun = (folder / "config.yaml").exists()
    if begun and not resume and "LOCAL_RANK" not in os.environ:  # which Lightning's children have
        raise FaceganError(
            f"{folder} holds a run already; go on with it by resume={folder}, or choose another "
            "folder by hydra.run.dir=…"
        )
    return path if resume else None


def _images_seen(checkpoint: Path) -> int:
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)["images_seen"]
    except (RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise FaceganError(
            f"{checkpoint} is damaged ({error}), and the run cannot go on from it; its weights so "
            "far are in generator.safetensors: start a new run"
        ) from error


def silence_warnings() -> None:
    """Lightning's own greetings say what our summary says, or are not meant for users."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*have no `validation_step`.*")
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")  # the average
    warnings.filterwarnings(
        "ignore", ".*smaller than the logging interval.*"
    )  # MetricsLogger logs too
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # as a resumed run's is
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning's use of torch's trees
