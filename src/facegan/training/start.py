"""Where a training starts: at a checkpoint of the run, or at the weights of another."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from facegan.core import pretrained
from facegan.core.errors import DamagedError, FaceganError
from facegan.data.recorded import recorded_rollbacks
from facegan.gan.module import GAN
from facegan.networks.base import FaceNetwork, Generator
from facegan.networks.layers import LEAKY_SLOPE
from facegan.training.checkpoints import (
    BEST,
    FOLDER,
    LAST,
    read_checkpoint,
)
from facegan.training.folder import is_finished, write_record
from facegan.training.health import UnhealthyError
from facegan.training.metrics import print_line
from facegan.training.schedule import Budget, EpochBudget

MAX_LISTED = 6  # names in a message


@dataclass(frozen=True)
class StartingPoint:
    """The beginning of a run, or a checkpoint of an earlier process."""

    identity: str  # of the run, which its checkpoints carry
    checkpoint: Path | None = None
    images_seen: int = 0
    metrics_lines: int = 0
    rollbacks: int = 0
    epochs: int = 0  # that are over
    shapes: Mapping[str, torch.Size] = field(default_factory=dict)  # of the module's state
    data: dict[str, str] = field(default_factory=dict)  # the data module's state

    @classmethod
    def at(cls, path: Path, identity: str) -> "StartingPoint":
        """At the checkpoint `path`. Raises FaceganError if another config's run has written it."""
        checkpoint = read_checkpoint(path)
        entry = checkpoint["facegan"]
        if entry["run"] != identity:
            raise FaceganError(
                f"{path} was not written by a run with this config.yaml: either file was replaced "
                "or edited; restore it, or start a new run"
            )
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        return cls(
            identity,
            path,
            checkpoint["images_seen"],
            entry["metrics_lines"],
            entry["rollbacks"],
            progress["processed"],
            {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()},
            checkpoint.get("FaceDataModule", {}),
        )

    def check(self, gan: GAN, budget: Budget) -> None:
        """Raises FaceganError for a checkpoint of other networks, or of more epochs."""
        shapes = {name: tensor.shape for name, tensor in gan.state_dict().items()}
        if self.checkpoint is not None and shapes != self.shapes:
            raise FaceganError(
                f"{self.checkpoint} has another network than config.yaml describes: either file "
                "was replaced; restore it, or start a new run"
            )
        if isinstance(budget, EpochBudget) and budget.max_epochs < self.epochs:
            raise FaceganError(
                f"trainer.max_epochs={budget.max_epochs}, but the run has {self.epochs} epochs "
                "already; give at least that many"
            )


def starting_point(folder: Path, identity: str, begun: bool) -> StartingPoint:
    """The newest good checkpoint in `folder`; the beginning if there is none."""
    start = newest_checkpoint(folder, identity)
    if start is None and is_finished(folder):
        raise FaceganError(
            f"{folder} has lost its checkpoints, so the run cannot be resumed; its weights are in "
            f"{folder}/generator.safetensors: start a new run"
        )
    if start is not None:
        print_line(f"the run resumes from {start.checkpoint}, after {start.images_seen:,} images")
    elif begun:
        print_line(f"{folder} has no checkpoint yet: the run starts again")
    return start or StartingPoint(identity)


def newest_checkpoint(folder: Path, identity: str) -> StartingPoint | None:
    """The newest good checkpoint of the run in `folder`, and None if it has written none.

    A damaged one is skipped with a message. Raises FaceganError if all of them are damaged, or if
    the newest was not written by a run of this `identity`.
    """
    skipped: list[str] = []
    for path in candidates(folder):
        try:
            start = StartingPoint.at(path, identity)
        except DamagedError as error:
            skipped.append(str(error))
            continue
        for message in skipped:
            print_line(f"{message}; the one before it is used")
        return start
    if skipped:
        raise FaceganError(
            f"{'; '.join(skipped)}; no other checkpoint is left: the run's weights are in "
            f"{folder}/generator.safetensors; start a new run"
        )
    return None


def candidates(folder: Path) -> list[Path]:
    """The checkpoint files of the run in `folder`, the newest first."""
    older = sorted(
        (folder / FOLDER).glob("previous-*.ckpt"), key=lambda path: int(path.stem.split("-")[1])
    )
    paths = [folder / FOLDER / LAST, *older, folder / FOLDER / BEST]
    return [path for path in paths if path.is_file()]


def best_checkpoint(folder: Path, identity: str) -> StartingPoint | None:
    """The checkpoint of the least Fréchet distance; the newest if none was measured."""
    best = folder / FOLDER / BEST
    if best.is_file():
        return StartingPoint.at(best, identity)
    return newest_checkpoint(folder, identity)


def roll_back(
    folder: Path, start: StartingPoint, error: UnhealthyError, rollback: bool, max_rollbacks: int
) -> StartingPoint:
    """The best checkpoint, from which the run resumes with lower learning rates.

    Raises `error` without `rollback`, without a checkpoint, and after `max_rollbacks`.
    """
    number = start.rollbacks + 1
    allowed = rollback and number <= max_rollbacks
    point = best_checkpoint(folder, start.identity) if allowed else None
    if point is None:
        raise error
    print_line(
        f"{error}\nrollback {number} of {max_rollbacks}: the run goes back to {point.checkpoint}, "
        f"after {point.images_seen:,} images, with half of the learning rates"
    )
    # a rollback that is repeated after a kill replaces the first one
    before = recorded_rollbacks(folder)[: start.rollbacks]
    event = {"reason": str(error), "back_to_images": point.images_seen}
    write_record(folder, rollbacks=[*before, event])
    return replace(point, rollbacks=number)


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
    layers = [module for module in discriminator.modules() if _is_layer(module)]
    if count >= len(layers):
        raise FaceganError(
            f"freeze_d={count}: the discriminator has {len(layers)} layers, and the last one must "
            f"be trained; give 0 to {len(layers) - 1}"
        )
    for layer in layers[:count]:
        layer.requires_grad_(False)


def _is_layer(module: nn.Module) -> bool:
    """Whether it has a weight matrix or kernels; norms have a vector."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim > 1


def combine_terms(*terms: str) -> str:
    """The terms of weights that come from several sources, each once."""
    return "; ".join(dict.fromkeys(filter(None, terms)))


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
