"""Where a training begins: at nothing, or at the newest good checkpoint of an earlier process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only

from facegan.cli.config import ConfigError, read_config
from facegan.core.errors import FaceganError
from facegan.training.checkpoints import newest_checkpoint
from facegan.training.folder import (
    CONFIG,
    check_same_run,
    is_finished,
    is_rank_zero,
    run_identity,
)


@dataclass(frozen=True)
class StartingPoint:
    """Where a training begins: at nothing, or at a checkpoint of an earlier process."""

    identity: str  # of the run, which its checkpoints carry
    checkpoint: Path | None = None
    images_seen: int = 0
    metrics_lines: int = 0
    rollbacks: int = 0
    epochs: int = 0  # that are over
    shapes: Mapping[str, torch.Size] = field(default_factory=dict)  # of the module's state

    def at(self, path: Path, checkpoint: dict[str, Any]) -> "StartingPoint":
        """At the checkpoint that was read from `path`."""
        entry = checkpoint["facegan"]
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        return StartingPoint(
            self.identity,
            path,
            checkpoint["images_seen"],
            entry["metrics_lines"],
            entry["rollbacks"],
            progress["processed"],
            {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()},
        )


def stored(folder: Path) -> dict[str, Any]:
    """The config.yaml of the run in `folder`."""
    return cast(dict[str, Any], OmegaConf.to_container(read_config(folder / CONFIG), resolve=True))


def starting_point(cfg: DictConfig, folder: Path, resume: bool) -> StartingPoint:
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
    start = StartingPoint(identity).at(*found)
    message = f"the run goes on from {start.checkpoint}, after {start.images_seen:,} images"
    rank_zero_only(print)(message, flush=True)
    return start


def check_start(cfg: DictConfig, model: pl.LightningModule, start: StartingPoint) -> None:
    """Raises FaceganError where the model or the budget does not fit the checkpoint."""
    if start.checkpoint is None:
        return
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if shapes != start.shapes:
        names = {*shapes, *start.shapes}
        wrong = [name for name in names if shapes.get(name) != start.shapes.get(name)]
        raise FaceganError(
            f"{start.checkpoint} holds another network than config.yaml describes "
            f"({min(wrong)}): either file was replaced; restore it, or start a new run"
        )
    timed = cfg.trainer.max_images is not None or cfg.trainer.max_time is not None
    if not timed and cfg.trainer.max_epochs < start.epochs:
        raise ConfigError(
            f"trainer.max_epochs={cfg.trainer.max_epochs}, but the run has {start.epochs} epochs "
            f"already; give at least that many, such as trainer.max_epochs={2 * start.epochs}"
        )
