"""Train the attribute classifier whose features the evaluation uses (docs/evaluation.md).

python benchmarks/attributes.py data.root=PATH data.verify=false
python benchmarks/attributes.py data.root=PATH data.verify=false data.image_size=64 data.crop=148

The arguments are those of facegan.prepare. The result is attributes.safetensors in the current
folder. Width, shift, learning rate, dropout and epochs were chosen on the validation photographs.
"""

import json
import sys
from pathlib import Path
from typing import Any, cast

import hydra
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from torchmetrics.classification import MultilabelAccuracy

from facegan.cli.config import instantiate
from facegan.core import pretrained
from facegan.core.batch import Batch
from facegan.core.images import to_float
from facegan.core.paths import CONFIG_PATH
from facegan.data.datamodule import FaceDataModule
from facegan.networks.attributes import AttributeNetwork
from facegan.training.run import silence_warnings

BATCH_SIZE = 128
LEARNING_RATE = 4e-3  # the peak of one cycle over the training (Smith and Topin 2019)
WEIGHT_DECAY = 0.05
DROPOUT = 0.2
SETTINGS = {28: (32, 2, 14), 64: (40, 4, 8)}  # by image size: width, shift in pixels, epochs


class AttributeClassifier(pl.LightningModule):
    """Learns all attributes at once by binary cross-entropy, on faces shifted by a few pixels."""

    def __init__(self, network: AttributeNetwork, shift: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.shift = shift
        self.accuracy = MultilabelAccuracy(len(network.attributes), average="none")

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self.network(shifted(to_float(batch.images), self.shift))
        return F.binary_cross_entropy_with_logits(logits, (batch.attributes > 0).float())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.accuracy.update(self.network(to_float(batch.images)), batch.attributes > 0)

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        print(f"validation accuracy {self.accuracies().mean():.4f}", flush=True)

    def on_test_epoch_end(self) -> None:
        self.test_accuracies = self.accuracies().tolist()

    def accuracies(self) -> Tensor:
        """The accuracy for each attribute since the last call, (A,)."""
        values = self.accuracy.compute()
        self.accuracy.reset()
        return values


def shifted(images: Tensor, reach: int) -> Tensor:
    """Each image moved by up to `reach` pixels both ways, borders reflected; (B, C, H, W) stays."""
    count, _, height, width = images.shape
    padded = F.pad(images, [reach] * 4, mode="reflect")
    offsets = torch.randint(2 * reach + 1, (2, count, 1), device=images.device)
    rows = offsets[0] + torch.arange(height, device=images.device)  # (B, H)
    columns = offsets[1] + torch.arange(width, device=images.device)  # (B, W)
    batch = torch.arange(count, device=images.device)[:, None, None]
    return padded[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def train(data: FaceDataModule, path: Path, **options: Any) -> None:
    """Trains a classifier of the attributes of `data`, and writes it to `path`.

    `options`: arguments of Lightning's Trainer.
    """
    size, attributes = data.dataset.image_size, data.dataset.labels.attribute_names
    width, shift, epochs = SETTINGS[28 if size < 56 else 64]
    classifier = AttributeClassifier(AttributeNetwork(attributes, width, size, DROPOUT), shift)
    options = {"max_epochs": epochs, "logger": False, "enable_checkpointing": False, **options}
    trainer = pl.Trainer(**options)
    trainer.fit(classifier, datamodule=data)
    trainer.test(classifier, datamodule=data, verbose=False)
    accuracies = dict(zip(attributes, classifier.test_accuracies, strict=True))
    pretrained.save(classifier.network, path, {"test_accuracy": json.dumps(accuracies)})


def main(overrides: list[str]) -> None:
    silence_warnings()
    pl.seed_everything(0)
    with hydra.initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        cfg = hydra.compose("prepare", overrides)
    dataset = cast(Any, instantiate(cfg.data, "data")).dataset()
    train(FaceDataModule(dataset, BATCH_SIZE), Path("attributes.safetensors"))


if __name__ == "__main__":
    main(sys.argv[1:])
