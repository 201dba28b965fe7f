"""What callbacks may rely on in the module that is trained."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard

from torch.optim import Optimizer

from facegan.gan.losses import AdversarialLoss
from facegan.networks.base import Discriminator, Generator


class TrainedModule(Protocol):
    """A LightningModule that counts the images it has seen."""

    images_seen: int
    batch_size: int  # images of one step, over all devices
    optimizer_by_name: Mapping[str, Optimizer]


class GenerativeModule(TrainedModule, Protocol):
    """A trained module with a moving average of its generator."""

    ema: Generator
    discriminator: Discriminator
    ema_halflife: float
    final_lr_factor: float
    lr_schedule: str
    loss: AdversarialLoss


TRAINED = tuple(TrainedModule.__annotations__)
GENERATIVE = (*TRAINED, *GenerativeModule.__annotations__)


# Not isinstance(): from Python 3.12 on it looks the attributes of a protocol up statically, which
# misses the submodules of an nn.Module.
def is_trained(module: Any) -> TypeGuard[TrainedModule]:
    """Whether `module` has the attributes of TrainedModule."""
    return all(hasattr(module, name) for name in TRAINED)


def is_generative(module: Any) -> TypeGuard[GenerativeModule]:
    """Whether `module` has the attributes of GenerativeModule."""
    return all(hasattr(module, name) for name in GENERATIVE)


def trained(module: Any) -> TrainedModule:
    """`module`, checked. Raises TypeError if it lacks an attribute of the protocol."""
    if not is_trained(module):
        raise TypeError(_missing(module, TRAINED))
    return module


def generative(module: Any) -> GenerativeModule:
    """`module`, checked. Raises TypeError if it lacks an attribute of the protocol."""
    if not is_generative(module):
        raise TypeError(_missing(module, GENERATIVE))
    return module


def _missing(module: Any, names: tuple[str, ...]) -> str:
    missing = ", ".join(name for name in names if not hasattr(module, name))
    return f"{type(module).__name__} lacks {missing}, which callbacks need (training/protocols.py)"
