"""What a training leaves behind: grids of faces, a GIF of them, weights, and how good they are."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn

from facegan.curves import say, seconds
from facegan.data.archive import Archive
from facegan.evaluation.distances import (
    frechet_distance,
    gaussian_statistics,
    kernel_distance,
    subsample,
)
from facegan.evaluation.features import AttributeFeatures, split_features
from facegan.evaluation.judge import LEAST_FACES
from facegan.evaluation.neighbours import precision_recall
from facegan.images import grid, open_image, save_film, save_image, to_pil
from facegan.pretrained import WEIGHTS_FILE
from facegan.sampling import latents

if TYPE_CHECKING:
    from facegan.gan import GAN

GRID_FACES = 64
GRID_UPSCALE = 2  # of the PNGs and the GIF; TensorBoard scales by itself
EPOCHS_PER_SECOND = 2  # of the GIF
EVALUATED_FACES = 2000  # during training: a compromise between the error and the time
SETTLING_SEEDS = range(1_000_000, 1_001_000)  # of no face that is measured
BATCH = 250  # of latents, where no gradient is needed
BEST_FILE = "generator-best.safetensors"


class SettleNorms(Callback):
    """After every epoch the moving average's batch norms get statistics of its own activations.

    Those of the generator that is trained fit other weights, whose activations vary more. Izmailov
    et al. 2018 ("Averaging Weights Leads to Wider Optima and Better Generalization"), algorithm 1.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gan = cast("GAN", pl_module)
        z = latents(SETTLING_SEEDS, gan.averaged.latent_dim).to(gan.device)
        settle_norms(gan.averaged, z.split(BATCH))


@torch.no_grad()
def settle_norms(generator: nn.Module, batches: Iterable[Tensor]) -> None:
    """Batch norms get the mean statistics of `batches` of latents; leaves the network in eval mode.

    Everything else stays in eval mode meanwhile: with dropout, activations vary more than they do
    when faces are drawn.
    """
    generator.eval()
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a mean over all batches
        norm.train()
    for z in batches:
        generator(z)
    generator.eval()


class SampleGrid(Callback):
    """After every epoch the moving average's faces for the same 64 latents; at the end, a GIF."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gan = cast("GAN", pl_module)
        z = latents(range(GRID_FACES), gan.averaged.latent_dim)
        faces = grid(gan.averaged.draw(z))
        path = self.folder / f"epoch-{trainer.current_epoch + 1:03}.png"
        save_image(to_pil(faces, GRID_UPSCALE), path)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("samples", faces, gan.images_seen)

    @rank_zero_only
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        paths = sorted(self.folder.glob("epoch-*.png"), key=lambda path: int(path.stem[6:]))
        frames = [open_image(path) for path in paths]
        if frames:
            save_film(frames, self.folder / "epochs.gif", EPOCHS_PER_SECOND)


class SaveGenerator(Callback):
    """After every epoch the moving average of the generator, as one file that is easy to share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gan = cast("GAN", pl_module)
        about = {"images_seen": str(gan.images_seen)}
        gan.averaged.save_pretrained(self.folder / WEIGHTS_FILE, about)


class EvaluateGenerator(Callback):
    """Every few epochs, how good the moving average's faces are; keeps the best generator.

    Measured against the validation faces, so that the test faces stay unseen. The seeds are the
    same each time, so that a curve shows the training and not the draw.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder = folder
        self.every = every
        self.best = math.inf

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.best = state_dict["best"]

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.every:
            return
        self.archive: Archive = cast(Any, trainer).datamodule.archive
        self.space = AttributeFeatures()
        held_out = len(self.archive.indices("val"))
        self.enough = held_out >= LEAST_FACES
        if not self.enough:
            say(
                trainer,
                f"no evaluation during training: it needs {LEAST_FACES} validation faces, "
                f"there are {held_out}",
            )

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.every or not self.enough or (trainer.current_epoch + 1) % self.every:
            return
        gan = cast("GAN", pl_module)
        measures = self._measure(gan)
        for logger in trainer.loggers:
            logger.log_metrics({**measures, "seconds": seconds(trainer)}, step=gan.images_seen)
        say(trainer, "  ".join(f"{name} {value:.4g}" for name, value in measures.items()))
        if measures["frechet_distance"] < self.best:
            self.best = measures["frechet_distance"]
            about = {"images_seen": str(gan.images_seen), "frechet_distance": str(self.best)}
            gan.averaged.save_pretrained(self.folder / BEST_FILE, about)

    def _measure(self, gan: "GAN") -> dict[str, float]:
        held_out = split_features(self.archive, "val", self.space, device=gan.device)
        z = latents(range(EVALUATED_FACES), gan.averaged.latent_dim)
        fake = self.space(gan.averaged.draw(z, batch_size=BATCH), device=gan.device)
        count = min(len(held_out), len(fake))
        precision, recall = precision_recall(subsample(held_out, count), subsample(fake, count))
        target, drawn = gaussian_statistics(held_out), gaussian_statistics(fake)
        return {
            "frechet_distance": frechet_distance(target, drawn),
            "kernel_distance": kernel_distance(held_out, fake).value,
            "precision": precision,
            "recall": recall,
        }
