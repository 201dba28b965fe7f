"""A training from its config to a finished run folder."""

import dataclasses
import logging
import math
import warnings
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.model_helpers import is_overridden

from facegan.cli.config import ConfigError, instantiate, save_config
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.data.base import FaceSource
from facegan.data.datamodule import FaceDataModule
from facegan.data.dataset import PackedDataset
from facegan.data.recorded import (
    data_record,
    read_record,
    recorded_rollbacks,
    source_or_recorded,
)
from facegan.gan.module import GAN
from facegan.training.build import (
    build_budget,
    build_callbacks,
    build_loggers,
    build_trainer,
    check_config,
    epoch_images,
)
from facegan.training.checkpoints import best_checkpoint
from facegan.training.devices import (
    check_compiler,
    describe_device,
    keep_freed_memory,
)
from facegan.training.evaluation import EvaluateDuringTraining
from facegan.training.folder import (
    CONFIG,
    changes,
    is_finished,
    point_latest_at,
    resumable,
    write_record,
    writer_lock,
)
from facegan.training.health import UnhealthyError
from facegan.training.initialization import combine_terms, freeze_layers, initialize
from facegan.training.schedule import Budget
from facegan.training.start import StartingPoint, check_start, starting_point, stored


def train(
    cfg: DictConfig,
    folder: Path,
    resume: bool,
    automatic_folder: bool = False,
    skip_finished: bool = False,
    startup: float = 0.0,
) -> float | None:
    """Trains the model of `cfg` in `folder`, or goes on with the training that is there.

    With `automatic_folder`, a folder that another run has taken is replaced by a free one. With
    `skip_finished`, a finished run of the same config is left as it is. `startup`: seconds that
    the command has taken already. Returns the least Fréchet distance on the validation faces, None
    where it was not measured.
    """
    silence_warnings()
    check_config(cfg)
    budget = build_budget(cfg.trainer, startup)
    keep_freed_memory()
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    if skip_finished and is_finished(folder) and not changes(stored(folder), config):
        print(f"{folder} is finished already", flush=True)
        return read_record(folder).get("frechet_distance")
    with writer_lock(folder, automatic_folder) as locked, resumable(locked):
        start = starting_point(cfg, locked, resume)
        while True:
            try:
                return _train(cfg, locked, start, budget)
            except UnhealthyError as error:
                start = _rollback(cfg, locked, start, error)
            except RuntimeError as error:
                if not is_lost_peer(error):
                    raise
                raise FaceganError(
                    "another process of this training has ended, so this one ends, too; its own "
                    f"messages say why; go on from the last checkpoint by resume={locked}"
                ) from error


def _rollback(
    cfg: DictConfig, folder: Path, start: StartingPoint, error: UnhealthyError
) -> StartingPoint:
    """The best checkpoint, from which the run goes on with lower rates; raises `error` if it may
    not.
    """
    rollbacks = start.rollbacks + 1
    if not cfg.health.rollback or rollbacks > cfg.health.max_rollbacks:
        raise error
    found = best_checkpoint(folder, start.identity)
    if found is None:
        raise error
    point = dataclasses.replace(start.at(*found), rollbacks=rollbacks)
    print(
        f"{error}\nrollback {rollbacks} of {cfg.health.max_rollbacks}: the run goes back to "
        f"{found[0]}, after {point.images_seen:,} images, with half of the learning rates",
        flush=True,
    )
    # a rollback that is repeated after a kill replaces the first one
    before = recorded_rollbacks(folder)[: start.rollbacks]
    event = {"reason": str(error), "back_to_images": point.images_seen}
    write_record(folder, rollbacks=[*before, event])
    return point


def _train(cfg: DictConfig, folder: Path, start: StartingPoint, budget: Budget) -> float | None:
    pl.seed_everything(cfg.seed, verbose=False)
    model = instantiate(cfg.model, "model")
    if cfg.trainer.compile:
        check_compiler()
        model.compile_networks()
    check_start(cfg, model, start)
    source = _source(cfg, folder, model)
    with budget.paused():
        dataset = source.dataset()
    if cfg.init is not None:
        dataset = _start_from_weights(cfg, folder, model, dataset, start)
    data = FaceDataModule(
        dataset,
        model.batch_size,
        cfg.seed,
        cfg.loader.flip,
        cfg.loader.on_device,
        fixed_order=bool(cfg.trainer.get("overfit_batches")),
        epoch_images=epoch_images(cfg.trainer),
    )
    loggers = build_loggers(cfg.logger, folder, start)
    callbacks = build_callbacks(cfg, folder, model, dataset, start, loggers, budget)
    trainer = build_trainer(cfg.trainer, folder, loggers, callbacks)
    _begin(cfg, folder, trainer)
    write_record(folder, finished=False, data=data_record(source, dataset))
    print_summary(model, data, trainer)
    trainer.fit(model, datamodule=data, ckpt_path=start.checkpoint, weights_only=True)
    if is_overridden("test_step", model):
        trainer.test(model, datamodule=data, verbose=False)
    best = best_distance(callbacks)
    write_record(folder, finished=True, frechet_distance=best)
    print_results(folder)
    return best


def _start_from_weights(
    cfg: DictConfig, folder: Path, model: Any, dataset: PackedDataset, start: StartingPoint
) -> PackedDataset:
    """Initializes the networks by cfg.init; returns `dataset` with the terms of these weights, too.

    A run that goes on has both already.
    """
    if not isinstance(model, GAN):
        raise ConfigError(f"init={cfg.init}: model={cfg.recipe} is no GAN; leave init out")
    if start.checkpoint is None:
        initialize(model, cfg.init, cfg.recipe)
        write_record(folder, init_license=pretrained.metadata(cfg.init).get("license", ""))
    freeze_layers(model.discriminator, cfg.freeze_d)
    terms = str(read_record(folder).get("init_license", ""))
    return dataclasses.replace(dataset, license=combine_terms(dataset.license, terms))


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether `error` is how gloo or NCCL report that another process is gone."""
    signs = ("Connection reset", "Connection closed", "Broken pipe", "remote process")
    network = isinstance(error, torch.distributed.DistError)
    return is_distributed() and (network or any(sign in str(error) for sign in signs))


def is_distributed() -> bool:
    """Whether this process trains together with others."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _source(cfg: DictConfig, folder: Path, model: Any) -> FaceSource:
    """The data of `cfg`, whose images the model must fit."""
    source = source_or_recorded(lambda: instantiate(cfg.data, "data"), cfg.data.packed_dir, folder)
    size = (source.channels, source.image_size, source.image_size)
    if model.image_shape != size:
        raise ConfigError(
            f"the model works on images of {model.image_shape}, the data has {size} (channels, "
            "height, width); leave the networks' image_size to data.image_size, and "
            "their channels to data.mode"
        )
    return source


def best_distance(callbacks: list[Callback]) -> float | None:
    """The least Fréchet distance that was measured during the training."""
    measured = [
        c.best
        for c in callbacks
        if isinstance(c, EvaluateDuringTraining) and c.score == "frechet_distance"
    ]
    return next(filter(math.isfinite, measured), None)


def print_summary(model: pl.LightningModule, data: FaceDataModule, trainer: pl.Trainer) -> None:
    """What is about to happen, in five lines."""
    dataset = data.dataset
    counts = dataset.manifest["counts"]
    batch_size = model.batch_size
    sizes = {
        name: sum(p.numel() for p in part.parameters() if p.requires_grad)
        for name, part in model.named_children()
    }
    parameters = ", ".join(f"{name} {size / 1e6:.2f}M" for name, size in sizes.items() if size)
    images = data.passes * counts["train"] // batch_size * batch_size
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
    patterns = ("samples/*.gif", "*.safetensors", "fit-*profile.txt")
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        print(path)
    if any(folder.glob("events.out.tfevents.*")):
        print(f"tensorboard --logdir {folder} shows the curves")
    else:
        print(f"{folder / 'metrics.jsonl'}: the curves")


@rank_zero_only
def _begin(cfg: DictConfig, folder: Path, trainer: pl.Trainer) -> None:
    """Writes the config into the run folder, and points outputs/latest at it."""
    save_config(cfg, folder / CONFIG)
    for logger in trainer.loggers:
        logger.log_hyperparams(cast(dict, OmegaConf.to_container(cfg, resolve=True)))
    point_latest_at(folder)


def silence_warnings() -> None:
    """Lightning's own greetings say what our summary says, or are not meant for users."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*have no `validation_step`.*")
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")  # the average
    warnings.filterwarnings(
        "ignore", ".*dataloader is not resumable.*"
    )  # ours begins where Lightning's own progress says
    warnings.filterwarnings(
        "ignore", ".*smaller than the logging interval.*"
    )  # MetricsLogger logs too
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # as a resumed run's is
    warnings.filterwarnings("ignore", ".*srun. command is available.*")  # on SLURM's login node
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint.*")  # its budget
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning's use of torch's trees
