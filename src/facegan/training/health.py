"""Checks of a training: finite numbers, balanced networks, a generator with variety."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from facegan.core.errors import FaceganError
from facegan.data.dataset import PackedDataset
from facegan.evaluation.features import AttributeFeatures
from facegan.gan.module import GAN
from facegan.training.metrics import MetricsLogger, print_line

SATURATED_IMAGES = 100_000  # a margin that is exceeded for this many images is reported
SAMPLE = 64  # faces whose variety is compared with that of as many photographs
COLLAPSED = 0.1  # of the photographs' variety
VARIED = 0.2  # of the photographs' variety: a generator that has reached it can collapse
EARLY = 100_000  # images, before which a generator may still have no variety


class UnhealthyError(FaceganError):
    """A training that should continue from an earlier checkpoint with lower learning rates."""


def diverged(what: str, images: int) -> UnhealthyError:
    return UnhealthyError(
        f"{what} became NaN or infinite after {images:,} images: the training has diverged; "
        "try half of the learning rates, a stronger model/penalty, or health.rollback=true; "
        "only finite weights were saved"
    )


class CheckNumbers(Callback):
    """Checks losses and gradients every few steps, and weights before they are saved."""

    def __init__(self, metrics: MetricsLogger) -> None:
        """`metrics`: logs the losses, and comes before this callback."""
        self.metrics = metrics

    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *step: Any) -> None:
        if (step[-1] + 1) % self.metrics.every == 0:
            check_losses(self.metrics.latest, gan.images_seen)
            gradients = {n: p.grad for n, p in gan.named_parameters() if p.grad is not None}
            _check_tensors("the gradients of", gradients, gan.images_seen)

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        check_losses(self.metrics.latest, gan.images_seen)
        check_weights(gan)


def check_losses(means: Mapping[str, float], images: int) -> None:
    """Raises UnhealthyError if one of the logged means is NaN or infinite."""
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        raise diverged(", ".join(bad), images)


def check_weights(gan: GAN) -> None:
    """Raises UnhealthyError if a weight or buffer is NaN or infinite."""
    _check_tensors("the weights", gan.state_dict(), gan.images_seen)


def _check_tensors(what: str, tensors: Mapping[str, Tensor], images: int) -> None:
    if bad := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise diverged(f"{what} {bad[0]} ({len(bad)} of {len(tensors)} tensors)", images)


class WatchBalance(Callback):
    """Reports a discriminator that separates real and generated faces for long.

    The margin between their mean logits that counts is the loss's; a Wasserstein loss has none.
    """

    def __init__(self, metrics: MetricsLogger) -> None:
        self.metrics = metrics
        self.since: int | None = None  # images seen when the margin was exceeded
        self.reported = False

    def state_dict(self) -> dict[str, Any]:
        return {"since": self.since, "reported": self.reported}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    @rank_zero_only
    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        latest = self.metrics.latest
        if "D_real_logits" not in latest:
            return
        margin = latest["D_real_logits"] - latest["D_fake_logits"]
        if margin < gan.loss.won_margin:
            self.since, self.reported = None, False
            return
        if self.since is None:
            self.since = gan.images_seen
        images = gan.images_seen - self.since
        if images >= SATURATED_IMAGES and not self.reported:
            self.reported = True
            print_line(
                f"warning: for {images:,} images the discriminator has separated real and "
                f"generated faces (its mean logits differ by {margin:.3g}), so that the "
                "generator learns little; try model/penalty=r1, a lower "
                "model.discriminator_optimizer.lr, or a smaller model.discriminator.width"
            )


class WatchVariety(Callback):
    """Reports a collapsing generator: its faces vary much less than photographs do.

    Variety is the total variance in the attribute network's features. With `stop`, a collapse
    raises UnhealthyError.
    """

    def __init__(self, stop: bool) -> None:
        self.stop = stop
        self.had_variety = False

    def state_dict(self) -> dict[str, Any]:
        return {"had_variety": self.had_variety}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.extractor = AttributeFeatures()
        dataset: PackedDataset = trainer.datamodule.dataset  # type: ignore[attr-defined]
        rows = dataset.indices("train")
        some = rows[:: -(-len(rows) // SAMPLE)]
        photographs = torch.from_numpy(dataset.images[some]).permute(0, 3, 1, 2)
        self.real = variety(self.extractor(photographs, device=gan.device))

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        faces = gan.ema.sample(SAMPLE)
        share = variety(self.extractor(faces, device=gan.device)) / max(self.real, 1e-12)
        if share >= COLLAPSED:
            self.had_variety |= share >= VARIED
            return
        if not self.had_variety and gan.images_seen < EARLY:
            return
        message = (
            f"the generator collapses: after {gan.images_seen:,} images its faces have "
            f"{share:.1%} of the photographs' variety; try model=lite, minibatch_stddev=true in "
            "model.discriminator, a stronger model/penalty, or health.rollback=true"
        )
        if self.stop:
            raise UnhealthyError(message)
        print_line(f"warning: {message}")


def variety(features: Tensor) -> float:
    """The total variance of features, (N, D): 0 if all are alike."""
    return features.var(dim=0).sum().item()
