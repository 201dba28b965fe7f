"""Starting from weights that exist: the layers that fit, FreezeD, and the terms that come with."""

from collections.abc import Mapping

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn

from facegan.cli.config import ConfigError
from facegan.core import pretrained
from facegan.gan.module import GAN
from facegan.networks.base import Generator
from facegan.networks.layers import LEAKY_SLOPE

MAX_LISTED = 6  # names in a message


def initialize(model: GAN, source: str, recipe: str | None) -> None:
    """Copies the weights of `source` into the networks, and prints what did not fit.

    The generator and its moving average start from the generator's file, the discriminator from
    the file beside it, where there is one. A tensor fits if name and shape are the same. Raises
    ConfigError if no layer of the generator fits.
    """
    tensors = pretrained.read_tensors(source)
    fitting = copy_fitting(model.generator, tensors)
    copy_fitting(model.ema, tensors)
    if not any(tensors[name].ndim > 1 for name in fitting):
        stored = pretrained.metadata(source).get("recipe", "that the weights were trained with")
        raise ConfigError(
            f"init={source}: no layer of its generator fits model={recipe}; use model={stored}"
        )
    _report(f"generator of {source}", model.generator, fitting)
    _report_slope(source, model.generator)
    discriminator = pretrained.find_discriminator(source)
    if discriminator is None:
        _print(f"init: there is no discriminator beside {source}; it starts from random weights")
        return
    fitting = copy_fitting(model.discriminator, pretrained.read_tensors(discriminator))
    _report(f"discriminator of {source}", model.discriminator, fitting)


@torch.no_grad()
def copy_fitting(network: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Copies the tensors whose name and shape the network has; returns their names."""
    state = network.state_dict()
    fitting = [
        name for name in state if name in tensors and tensors[name].shape == state[name].shape
    ]
    for name in fitting:
        state[name].copy_(tensors[name])
    return fitting


def freeze_layers(discriminator: nn.Module, count: int) -> None:
    """Excludes the first `count` layers, from the images on, from training.

    FreezeD (Mo et al. 2020, "Freeze the Discriminator", section 3). Raises ConfigError if there
    are no more layers than that.
    """
    layers = [module for module in discriminator.modules() if _is_layer(module)]
    if count >= len(layers):
        raise ConfigError(
            f"freeze_d={count}: the discriminator has {len(layers)} layers, and the last one must "
            f"be trained; give 0 to {len(layers) - 1}"
        )
    for layer in layers[:count]:
        layer.requires_grad_(False)


def _is_layer(module: nn.Module) -> bool:
    """Whether it has a weight matrix or kernels of its own; norms have a vector."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim > 1


def combine_terms(*terms: str) -> str:
    """The terms of weights that come from several sources, each once."""
    return "; ".join(dict.fromkeys(filter(None, terms)))


def _report(name: str, network: nn.Module, fitting: list[str]) -> None:
    state = network.state_dict()
    missing = [key for key in state if key not in fitting]
    _print(f"init: {name}: {len(fitting)} of {len(state)} tensors are used")
    if missing:
        more = f" and {len(missing) - MAX_LISTED} more" if len(missing) > MAX_LISTED else ""
        listed = ", ".join(missing[:MAX_LISTED])
        _print(f"init: these do not fit and start from random weights: {listed}{more}")


def _report_slope(source: str, generator: Generator) -> None:
    """Says so if the weights were trained with other activations, which no tensor shows."""
    name = "negative_slope"
    theirs = pretrained.config_of(source).get(name, LEAKY_SLOPE)
    ours = generator.config.get(name, theirs)
    if ours != theirs:
        _print(
            f"init: {source} was trained with {name}={theirs}, this generator has {ours}; "
            f"model.generator.{name}={theirs} keeps its activations"
        )


@rank_zero_only
def _print(text: str) -> None:
    print(text, flush=True)
