"""The training of the attribute classifier, whose features are used to evaluate GANs.

python -m facegan.train model=attributes trainer.max_epochs=12
"""

import json
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torchmetrics.classification import MultilabelAccuracy

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.images import to_float
from facegan.core.seeds import derive_seed
from facegan.data.datamodule import Batch
from facegan.networks.attributes import AttributeNetwork

WEIGHTS_FILE = "attributes.safetensors"


class AttributeClassifier(pl.LightningModule):
    """Learns all attributes at once by binary cross-entropy, on faces shifted by a few pixels.

    `batch_size` counts the images of one step over all devices; `optimizer`'s learning rate is the
    peak of one cycle over the whole training (Smith and Topin 2019).
    """

    def __init__(
        self,
        network: AttributeNetwork,
        optimizer: partial[Optimizer],
        batch_size: int,
        shift: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if shift < 0:
            raise ValueError(f"shift counts pixels and must be at least 0, got {shift}; try 2")
        self.network = network.to(memory_format=torch.channels_last)
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.shift = shift
        self.seed = seed
        self.images_seen = 0
        self.optimizer_by_name: dict[str, Optimizer] = {}
        self.accuracy = MultilabelAccuracy(len(network.attributes), average="none")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of the images it reads: (channels, height, width)."""
        return 3, self.network.image_size, self.network.image_size

    def compile_networks(self) -> None:
        """Compiles the network in place, so that its weights keep their names."""
        self.network.compile()

    def setup(self, stage: str) -> None:
        known = cast(Any, self.trainer).datamodule.dataset.labels.attribute_names
        if known != self.network.attributes:
            raise FaceganError(
                f"model.network.attributes must be the data's, in its order; the data has "
                f"{', '.join(known) or 'none'}: use data=celeba or data=generated"
            )

    def configure_callbacks(self) -> list[Callback]:
        return [SaveAttributes(Path(self.trainer.default_root_dir))]

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.network.parameters())
        self.optimizer_by_name = {"network": optimizer}
        peak = self.optimizer.keywords["lr"]
        if self.trainer.max_epochs == -1:
            raise FaceganError(
                "trainer.max_time and trainer.max_images do not go with model=attributes, whose "
                "cycle of learning rates must know its length; give trainer.max_epochs=14"
            )
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        torch.manual_seed(
            derive_seed("training step", self.seed, self.images_seen, self.global_rank)
        )
        images = shifted(to_float(batch.images), self.shift)
        logits = self.network(images)
        self.images_seen += len(images) * self.trainer.world_size
        return {"loss": F.binary_cross_entropy_with_logits(logits, batch.attributes.float())}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.accuracy.update(self.network(to_float(batch.images)), batch.attributes)

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._log_accuracy("val")

    def on_test_epoch_end(self) -> None:
        self._log_accuracy("test")

    def _log_accuracy(self, split: str) -> None:
        """Prints and logs the mean accuracy, and keeps each attribute's for the weights file."""
        accuracies = self.accuracy.compute()
        self.accuracy.reset()
        self.accuracies = dict(zip(self.network.attributes, accuracies.tolist(), strict=True))
        mean = accuracies.mean().item()
        rank_zero_only(print)(f"{split} accuracy {mean:.4f}", flush=True)
        for logger in self.trainer.loggers:
            logger.log_metrics({f"{split}_accuracy": mean}, step=self.images_seen)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["images_seen"] = self.images_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        begun = checkpoint["lr_schedulers"][0]["total_steps"]
        if begun != self.trainer.estimated_stepping_batches:
            raise FaceganError(
                f"trainer.max_epochs={self.trainer.max_epochs} with resume: this run's cycle of "
                "learning rates was laid out for another number of epochs; go on without it, or "
                "start a new run"
            )
        self.images_seen = checkpoint["images_seen"]


class SaveAttributes(Callback):
    """When the test is done, the network with its accuracy for each attribute, in one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        classifier = cast(AttributeClassifier, pl_module)
        about = {
            "images_seen": str(classifier.images_seen),
            "test_accuracy": json.dumps(classifier.accuracies),
        }
        pretrained.save(classifier.network, self.folder / WEIGHTS_FILE, about)


def shifted(images: Tensor, reach: int) -> Tensor:
    """Each image moved by up to `reach` pixels both ways, borders reflected; (B, C, H, W) stays."""
    count, _, height, width = images.shape
    padded = F.pad(images, [reach] * 4, mode="reflect")
    offsets = torch.randint(2 * reach + 1, (2, count, 1), device=images.device)
    rows = offsets[0] + torch.arange(height, device=images.device)  # (B, H)
    columns = offsets[1] + torch.arange(width, device=images.device)  # (B, W)
    batch = torch.arange(count, device=images.device)[:, None, None]
    return padded[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
