"""Callbacks that watch a training's numbers, the balance of its networks and its variety."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from facegan.data.dataset import PackedDataset
from facegan.evaluation.features import AttributeFeatures
from facegan.networks.latents import latents
from facegan.training.health import CollapsedError, check_gradients, check_weights
from facegan.training.loggers import MetricsLogger
from facegan.training.printing import print_line
from facegan.training.protocols import generative

WON_IMAGES = 100_000  # a discriminator that has won for so long is reported
SAMPLE = 64  # faces whose variety is compared with that of as many photographs
COLLAPSED = 0.1  # of the data's variety
VARIED = 0.2  # of the data's variety: a generator that once had it has something to lose
EARLY = 100_000  # images, before which a generator may still have no variety


class CheckNumbers(Callback):
    """Checks gradients every few steps, and weights after every epoch, before they are saved."""

    def __init__(self, every: int) -> None:
        """`every`: steps between two checks of the gradients."""
        self.every = every

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any
    ) -> None:
        if (step[-1] + 1) % self.every == 0:
            check_gradients(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        check_weights(pl_module)


class WatchBalance(Callback):
    """Reports a discriminator that has separated real and generated faces for long.

    The margin between them that counts as won is the
    loss's; the critic of a Wasserstein loss has none.
    """

    def __init__(self, metrics: MetricsLogger) -> None:
        self.metrics = metrics
        self.since: int | None = None  # images seen when the margin was exceeded
        self.reported = False

    def state_dict(self) -> dict[str, Any]:
        return {"since": self.since, "reported": self.reported}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.since, self.reported = state_dict["since"], state_dict["reported"]

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        module = generative(pl_module)
        latest = self.metrics.latest
        if "D_real_logits" not in latest:
            return
        margin = latest["D_real_logits"] - latest["D_fake_logits"]
        if margin < module.loss.won_margin:
            self.since, self.reported = None, False
            return
        if self.since is None:
            self.since = module.images_seen
        won_for = module.images_seen - self.since
        if won_for >= WON_IMAGES and not self.reported:
            self.reported = True
            print_line(
                trainer,
                f"warning: for {won_for:,} images the discriminator has separated real and "
                f"generated faces (its mean logits differ by {margin:.3g}), so that the "
                "generator learns little; try model/penalty=r1, a lower "
                "model.discriminator_optimizer.lr, or a smaller model.discriminator.width",
            )


class WatchVariety(Callback):
    """Reports a collapsing generator: its faces vary much less than photographs do.

    Variety is the total variance in the attribute network's features. With `stop`, a collapse
    raises CollapsedError.
    """

    def __init__(self, dataset: PackedDataset, stop: bool) -> None:
        self.dataset = dataset
        self.stop = stop
        self.had_variety = False

    def state_dict(self) -> dict[str, Any]:
        return {"had_variety": self.had_variety}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.had_variety = state_dict["had_variety"]

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.extractor = AttributeFeatures()
        rows = self.dataset.indices("train")
        some = rows[:: -(-len(rows) // SAMPLE)]
        photographs = torch.from_numpy(self.dataset.images[some]).permute(0, 3, 1, 2)
        self.real = variety(self.extractor(photographs, device=pl_module.device))

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = generative(pl_module)
        faces = module.ema.draw(latents(range(SAMPLE), module.ema.latent_dim))
        share = variety(self.extractor(faces, device=pl_module.device)) / max(self.real, 1e-12)
        if share >= COLLAPSED:
            self.had_variety |= share >= VARIED
        elif self.had_variety or module.images_seen >= EARLY:
            self._report(trainer, share, module.images_seen)

    def _report(self, trainer: pl.Trainer, share: float, images: int) -> None:
        message = (
            f"the generator collapses: after {images:,} images its faces have {share:.1%} of the "
            "photographs' variety; try model=lite, minibatch_stddev=true in model.discriminator, "
            "a stronger model/penalty, or health.rollback=true"
        )
        if self.stop:
            raise CollapsedError(message)
        print_line(trainer, f"warning: {message}")


def variety(features: Tensor) -> float:
    """The total variance of features, (N, D): 0 where all are alike."""
    return features.var(dim=0).sum().item()
