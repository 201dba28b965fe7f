"""A training from its config to a finished run folder."""

import copy
import dataclasses
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from facegan.cli.config import ConfigError, accepted, instantiate, keyed, plain_config, save_config
from facegan.core import pretrained
from facegan.core.run_files import METRICS_FILE
from facegan.data.base import FaceSource
from facegan.data.datamodule import FaceDataModule
from facegan.data.dataset import PackedDataset
from facegan.data.recorded import data_record, read_record, source_or_recorded
from facegan.gan.module import GAN
from facegan.networks.labels import LabelTable
from facegan.training.build import (
    OWN_OPTIONS,
    build_budget,
    build_callbacks,
    check_config,
    trainer_arguments,
)
from facegan.training.checkpoints import restoring
from facegan.training.devices import check_compiler, keep_freed_memory
from facegan.training.evaluation import best_distance, prepare_evaluations
from facegan.training.folder import (
    CONFIG,
    changes,
    check_same_run,
    is_finished,
    is_rank_zero,
    point_latest_at,
    resumable,
    run_identity,
    write_record,
    writer_lock,
)
from facegan.training.health import UnhealthyError
from facegan.training.metrics import MetricsFile
from facegan.training.progress import print_results, print_summary
from facegan.training.schedule import Budget, LearningRateSchedule
from facegan.training.start import (
    StartingPoint,
    combine_terms,
    freeze_layers,
    initialize,
    roll_back,
    starting_point,
)

SCHEDULE_KEYS = ("lr_schedule", "final_lr_factor", "cooldown_after")  # in the group model
OTHER_KEYS = (*SCHEDULE_KEYS, "conditional")  # of the group model, not of the GAN
INIT_WARMUP = 5_000  # images over which the rates rise if the networks start from other weights


def train(
    cfg: DictConfig,
    folder: Path,
    resume: bool,
    sweep: bool = False,
    startup: float = 0.0,
) -> float | None:
    """Trains the model of `cfg` in `folder`, or resumes the training that is there.

    In a `sweep`, a finished run of the same config is skipped. `startup`: seconds that the command
    has taken so far. Returns the least distance to the validation faces, the Fréchet or, with few
    photographs, the kernel distance; None if it was not measured.
    """
    silence_warnings()
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    with named_errors("trainer"):
        check_config(config, sweep)
        budget = build_budget(config["trainer"], startup)
    keep_freed_memory()
    if sweep and is_finished(folder) and not changes(stored(folder), config):
        print(f"{folder} is finished already", flush=True)
        record = read_record(folder)
        return record.get("best_distance", record.get("frechet_distance"))  # of earlier versions
    with writer_lock(folder), resumable(folder):
        begun = (folder / CONFIG).exists()
        if begun and not resume and is_rank_zero():
            check_same_run(folder, stored(folder), config)
        start = starting_point(folder, run_identity(config), begun)
        while True:
            try:
                return _train(cfg, config, folder, start, budget)
            except UnhealthyError as error:
                start = roll_back(folder, start, error, **config["health"])


def stored(folder: Path) -> dict[str, Any]:
    """The config of the run in `folder`."""
    return plain_config(folder / CONFIG)


@contextmanager
def named_errors(key: str, kinds: tuple[type[Exception], ...] = (ValueError,)) -> Iterator[None]:
    """Within the block, an error of these kinds becomes a ConfigError with its key."""
    try:
        yield
    except kinds as error:
        raise ConfigError(keyed(key, error)) from error


def _train(
    cfg: DictConfig, config: dict[str, Any], folder: Path, start: StartingPoint, budget: Budget
) -> float | None:
    pl.seed_everything(config["seed"], verbose=False)
    gan = build_model(cfg.model)
    source = source_or_recorded(
        lambda: instantiate(cfg.data, "data"), config["data"]["packed_dir"], folder
    )
    loggers = _loggers(cfg.logger, folder, start.images_seen)
    extra = {name: instantiate(node, f"callbacks.{name}") for name, node in _named(cfg.callbacks)}
    schedule = build_schedule(config, budget, start.rollbacks)
    check_fit(gan, source)
    with budget.paused():
        dataset = source.dataset()
    if config["model"].get("conditional"):
        gan = build_model(cfg.model, label_table(dataset))
    start.check(gan, budget)
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
    with named_errors("trainer"):
        file = MetricsFile(folder / METRICS_FILE, start.metrics_lines)
        callbacks = build_callbacks(config, folder, dataset, start, budget, schedule, file, extra)
        arguments = trainer_arguments(config["trainer"], folder, budget, loggers, callbacks)
    trainer = _trainer(cfg.trainer, arguments)
    _begin(cfg, config, folder, trainer)
    write_record(folder, finished=False, data=data_record(source, dataset))
    print_summary(gan, data, trainer)
    with budget.paused():  # or the first run of a sweep would train for less time than the others
        prepare_evaluations(trainer)
    kinds = (MisconfigurationException, ModuleNotFoundError)
    with named_errors("trainer", kinds), restoring(start.checkpoint, trainer):
        trainer.fit(gan, datamodule=data, ckpt_path=start.checkpoint, weights_only=True)
    best = best_distance(callbacks)
    write_record(folder, finished=True, best_distance=best)
    print_results(folder)
    return best


def build_model(node: DictConfig, labels: Mapping[str, Any] | None = None) -> GAN:
    """The GAN of the config group `model`, conditional on `labels`, a `LabelTable`'s arguments."""
    gan: GAN = instantiate(_without(node, OTHER_KEYS), "model", labels=labels)
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


def _without(node: DictConfig, names: tuple[str, ...]) -> DictConfig:
    """A copy of `node` without some of its keys."""
    rest = copy.deepcopy(node)
    with open_dict(rest):
        for name in names:
            rest.pop(name, None)
    return rest


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
    terms = str(read_record(folder).get("init_license", ""))
    return dataclasses.replace(dataset, license=combine_terms(dataset.license, terms))


def _named(nodes: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    return ((str(name), node) for name, node in nodes.items())


def _loggers(nodes: DictConfig, folder: Path, images_seen: int) -> list[Logger]:
    """The loggers of the config group `logger`, which write to the run folder."""
    offered = {"save_dir": folder, "images_seen": images_seen}
    loggers = []
    for name, node in _named(nodes):
        try:
            loggers.append(instantiate(node, f"logger.{name}", **accepted(node, offered)))
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"logger={name}: {error}; install it by pip install -e '.[{name}]'"
            ) from error
    return loggers


def _trainer(node: DictConfig, arguments: dict[str, Any]) -> pl.Trainer:
    """The Trainer; a profiler without a file writes its table to the run folder."""
    trainer: pl.Trainer = instantiate(_without(node, OWN_OPTIONS), "trainer", **arguments)
    profiler: Any = trainer.profiler  # type: ignore[attr-defined]
    if not isinstance(profiler, PassThroughProfiler) and profiler.filename is None:
        profiler.dirpath, profiler.filename = Path(trainer.default_root_dir), "profile"
    return trainer


@rank_zero_only
def _begin(cfg: DictConfig, config: dict[str, Any], folder: Path, trainer: pl.Trainer) -> None:
    """Writes the config into the run folder, and points outputs/latest at it."""
    save_config(cfg, folder / CONFIG)
    for logger in trainer.loggers:
        logger.log_hyperparams(config)
    point_latest_at(folder)


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
