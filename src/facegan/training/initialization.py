"""A training that starts from other weights: which tensors fit, which layers are frozen."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.gan.module import GAN
from facegan.networks.base import FaceNetwork, Generator
from facegan.networks.layers import LEAKY_SLOPE
from facegan.training.metrics import print_line

MAX_LISTED = 6  # names in a message


def initialize(gan: GAN, source: str, recipe: str | None) -> None:
    """Copies the weights of `source` into the networks, and prints what did not fit.

    The generator and its moving average start from the generator's file, the discriminator from the
    file of its discriminator, if there is one. A tensor fits if name and shape are the same. Raises
    FaceganError if no layer of the generator fits.
    """
    tensors = with_embedding(gan.generator, source)
    fitting = copy_fitting(gan.generator, tensors)
    copy_fitting(gan.ema, tensors)
    if not any(tensors[name].ndim > 1 for name in fitting):
        stored = pretrained.metadata(source).get("recipe", "that the weights were trained with")
        raise FaceganError(
            f"init={source}: no layer of its generator fits model={recipe}; use model={stored}"
        )
    _report(f"generator of {source}", gan.generator, fitting)
    _report_slope(source, gan.generator)
    discriminator = pretrained.find_discriminator(source)
    if discriminator is None:
        print_line(f"init: {source} has no discriminator; it starts from random weights")
        return
    fitting = copy_fitting(gan.discriminator, with_embedding(gan.discriminator, discriminator))
    _report(f"discriminator of {source}", gan.discriminator, fitting)


def with_embedding(network: FaceNetwork, source: str | Path) -> dict[str, Tensor]:
    """The tensors of `source`, with an embedding of the labels of a conditional `network`.

    It is zero for labels that `source` lacks, so that the first step draws the faces of `source`.
    """
    tensors = pretrained.read_tensors(source)
    if network.labels is None:
        return tensors
    known = pretrained.config_of(source).get("labels", {}).get("names", [])
    embedding = torch.zeros(network.embedding.weight.shape)
    for column, name in enumerate(network.labels.names):
        if name in known:
            embedding[:, column] = tensors["embedding.weight"][:, known.index(name)]
    return {**tensors, "embedding.weight": embedding}


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

    FreezeD (Mo et al. 2020, "Freeze the Discriminator", section 3). Raises FaceganError if there
    are not more layers than that.
    """
    weights = ((module, getattr(module, "weight", None)) for module in discriminator.modules())
    layers = [m for m, w in weights if isinstance(w, Tensor) and w.ndim > 1]  # norms have vectors
    if count >= len(layers):
        raise FaceganError(
            f"freeze_d={count}: the discriminator has {len(layers)} layers, and the last one must "
            f"be trained; give 0 to {len(layers) - 1}"
        )
    for layer in layers[:count]:
        layer.requires_grad_(False)


def _report(name: str, network: nn.Module, fitting: list[str]) -> None:
    state = network.state_dict()
    missing = [key for key in state if key not in fitting]
    print_line(f"init: {name}: {len(fitting)} of {len(state)} tensors are used")
    if missing:
        print_line(f"init: these start from random weights: {', '.join(missing[:MAX_LISTED])}, …")


def _report_slope(source: str, generator: Generator) -> None:
    """Prints a line if the weights were trained with other activations, which no tensor shows."""
    theirs = pretrained.config_of(source).get("negative_slope", LEAKY_SLOPE)
    ours = generator.config.get("negative_slope", theirs)
    if ours != theirs:
        print_line(
            f"init: {source} was trained with negative_slope={theirs}, this generator has {ours}; "
            f"model.generator.negative_slope={theirs} keeps its activations"
        )
