"""Checks that the losses, gradients and weights of a training are finite."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from facegan.core.errors import FaceganError
from facegan.training.protocols import trained


class UnhealthyError(FaceganError):
    """A training that is better continued from an earlier checkpoint with lower learning rates."""


class DivergedError(UnhealthyError):
    """A training whose losses, gradients or weights are no longer finite."""

    def __init__(self, what: str, images: int) -> None:
        super().__init__(
            f"{what} became NaN or infinite after {images:,} images: the training has diverged; "
            "try half of the learning rates, a stronger model/penalty, or health.rollback=true; "
            "nothing that is not finite was saved: the run's weights are those before it"
        )


class CollapsedError(UnhealthyError):
    """A generator whose faces are nearly all alike."""


def check_losses(means: Mapping[str, float], images: int) -> None:
    """Raises DivergedError if one of the logged means is NaN or infinite."""
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(", ".join(bad), images)


def check_weights(module: pl.LightningModule) -> None:
    """Raises DivergedError if a weight or buffer of `module` is NaN or infinite."""
    _check_tensors("the weights", module.state_dict(), trained(module).images_seen)


def check_gradients(module: pl.LightningModule) -> None:
    """Raises DivergedError if a gradient of the last step is NaN or infinite."""
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    _check_tensors("the gradients of", gradients, trained(module).images_seen)


def _check_tensors(what: str, tensors: Mapping[str, Any], images: int) -> None:
    floats = {name: tensor for name, tensor in tensors.items() if _is_float(tensor)}
    if not floats:
        return
    finite = torch.stack([tensor.isfinite().all() for tensor in floats.values()])
    if finite.all():  # the only wait for the device
        return
    bad = [name for name, good in zip(floats, finite.tolist(), strict=True) if not good]
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    raise DivergedError(f"{what} {bad[0]}{more}", images)


def _is_float(tensor: Any) -> bool:
    return isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel() > 0
