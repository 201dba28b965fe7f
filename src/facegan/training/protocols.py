"""What callbacks may rely on in the module that is trained."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch.optim import Optimizer

from facegan.gan.losses import AdversarialLoss
from facegan.networks.base import Generator


@runtime_checkable
class TrainedModule(Protocol):
    """A LightningModule that counts the images it has seen."""

    images_seen: int
    batch_size: int  # images of one step, over all devices
    optimizer_by_name: Mapping[str, Optimizer]


@runtime_checkable
class GenerativeModule(TrainedModule, Protocol):
    """A trained module with a moving average of its generator."""

    ema: Generator
    ema_halflife: float
    final_lr_factor: float
    loss: AdversarialLoss


def trained(module: Any) -> TrainedModule:
    """`module`, checked. Raises TypeError if it lacks an attribute of the protocol."""
    if not isinstance(module, TrainedModule):
        raise TypeError(_missing(module, "images_seen, batch_size and optimizer_by_name"))
    return module


def generative(module: Any) -> GenerativeModule:
    """`module`, checked. Raises TypeError if it lacks an attribute of the protocol."""
    if not isinstance(module, GenerativeModule):
        raise TypeError(_missing(module, "ema, ema_halflife, final_lr_factor and loss"))
    return module


def _missing(module: Any, names: str) -> str:
    return f"{type(module).__name__} must have the attributes {names} (training/protocols.py)"
