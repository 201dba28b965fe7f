"""Whether a training is still healthy: losses and weights that are finite."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from facegan.errors import FaceganError
from facegan.training.protocols import trained


class DivergedError(FaceganError):
    """A training whose losses or weights are no longer finite."""

    def __init__(self, what: str, images: int) -> None:
        super().__init__(
            f"{what} became NaN or infinite after {images:,} images: the training has diverged; "
            "try half of the learning rates, or a stronger model/penalty; nothing that is not "
            "finite was saved: the weights and checkpoints of the run are those before it"
        )


def check_losses(means: Mapping[str, float], images: int) -> None:
    """Raises DivergedError if one of the logged means is NaN or infinite."""
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(", ".join(bad), images)


def check_finite(module: pl.LightningModule) -> None:
    """Raises DivergedError if a weight or buffer of `module` is NaN or infinite."""
    tensors = {name: tensor for name, tensor in module.state_dict().items() if is_float(tensor)}
    finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()])
    if finite.all():
        return
    bad = [name for name, good in zip(tensors, finite.tolist(), strict=True) if not good]
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    raise DivergedError(f"the weights {bad[0]}{more}", trained(module).images_seen)


def is_float(tensor: Any) -> bool:
    return isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel() > 0


class CheckWeights(Callback):
    """After every epoch, before anything is saved, the check that all weights are finite."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        check_finite(pl_module)
