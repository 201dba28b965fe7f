"""What a GAN training writes after every epoch: a grid and the weights."""

import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only

from facegan.core import pretrained
from facegan.core.images import grid, open_image, save_image, save_video, to_pil, write_gif
from facegan.core.pretrained import DISCRIMINATOR_FILE, WEIGHTS_FILE
from facegan.data.dataset import PackedDataset
from facegan.gan.ema import recalibrate_batch_norm
from facegan.networks.latents import balanced_latents, latents
from facegan.training.board import BoardLayout, log_image
from facegan.training.evaluation import EvaluateDuringTraining
from facegan.training.health import check_weights
from facegan.training.loggers import MetricsLogger
from facegan.training.protocols import GenerativeModule, generative

GRID_FACES = 64
GRID_UPSCALE = 2  # of the PNGs and the GIF; TensorBoard scales by itself
EPOCHS_PER_SECOND = 2  # of the GIF
RECALIBRATION_SEED = 1_000_000  # the first; no face of an evaluation has one of these
RECALIBRATION_PAIRS = 500  # of latents
BATCH_SIZE = 250  # of latents, where no gradient is needed
GIF_FRAMES = 120


def gan_callbacks(
    folder: Path,
    dataset: PackedDataset,
    metrics: MetricsLogger,
    evaluate_every: int,
    sample_every: float | None,
    about: dict[str, str],
) -> list[Callback]:
    """The callbacks of a GAN run that writes to `folder`, in the order they must run in.

    `evaluate_every`: epochs. `sample_every`: seconds. `about`: of the weights files.
    """
    callbacks = [
        BoardLayout(),
        RecalibrateBatchNorm(),
        SampleGrid(folder / "samples"),
        SaveNetworks(folder, about),
    ]
    if sample_every is not None:
        callbacks.append(LiveGrid(folder / "samples", sample_every))
    if evaluate_every:
        callbacks.append(EvaluateDuringTraining(folder, dataset, metrics, evaluate_every, about))
    return callbacks


class RecalibrateBatchNorm(Callback):
    """Fits the EMA's batch-norm statistics to its own activations after every epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        recalibrate(generative(pl_module), pl_module.device)


def recalibrate(module: GenerativeModule, device: torch.device) -> None:
    """Fits the EMA's batch-norm statistics to its own activations, for the same latents each time.

    Without averaging (`ema_halflife` 0) the running statistics of the training are kept.
    """
    if module.ema_halflife == 0:
        return
    pairs = max(RECALIBRATION_PAIRS, module.ema.latent_dim)
    seeds = range(RECALIBRATION_SEED, RECALIBRATION_SEED + pairs)
    z = balanced_latents(seeds, module.ema.latent_dim).to(device)
    recalibrate_batch_norm(module.ema, z.split(BATCH_SIZE))


class SampleGrid(Callback):
    """After every epoch a grid of the EMA's images for the same 64 latents; at the end, a GIF."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = generative(pl_module)
        z = latents(range(GRID_FACES), module.ema.latent_dim)
        faces = grid(module.ema.draw(z))
        path = self.folder / f"epoch-{trainer.current_epoch + 1:03}.png"
        save_image(to_pil(faces, GRID_UPSCALE), path)
        log_image(trainer, "samples", faces, module.images_seen)

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # not on_train_end, which Lightning leaves out where no epoch is left to train
        paths = sorted(self.folder.glob("epoch-*.png"), key=lambda path: int(path.stem[6:]))
        step = -(-len(paths) // GIF_FRAMES)
        frames = [open_image(path) for path in paths[::-step][::-1]] if paths else []
        if frames:
            save_video(frames, self.folder / "epochs.gif", EPOCHS_PER_SECOND)


def gif_seconds(dataset: PackedDataset) -> float:
    """About the seconds that a frame of the GIF takes to write, measured on two of photographs."""
    rows = dataset.indices("train")
    some = np.resize(rows, (2, GRID_FACES))
    photographs = torch.from_numpy(dataset.images[some]).permute(0, 1, 4, 2, 3)
    frames = [to_pil(grid(each), GRID_UPSCALE) for each in photographs]
    began = time.perf_counter()
    write_gif(frames, io.BytesIO(), EPOCHS_PER_SECOND)
    return (time.perf_counter() - began) / len(frames)


class LiveGrid(Callback):
    """Every few seconds a grid of the EMA's images for the same latents, in one file: live.png.

    Unlike after an epoch, the EMA's batch-norm statistics are those of the training.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.path = folder / "live.png"
        self.seconds = seconds
        self.written = -math.inf

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        if time.monotonic() - self.written < self.seconds:
            return
        ema = generative(pl_module).ema
        faces = grid(ema.draw(latents(range(GRID_FACES), ema.latent_dim)))
        save_image(to_pil(faces, GRID_UPSCALE), self.path)
        self.written = time.monotonic()


class SaveNetworks(Callback):
    """After every epoch the generator's EMA and the discriminator, a safetensors file each."""

    def __init__(self, folder: Path, about: dict[str, str]) -> None:
        """`about`: strings for the metadata of the files."""
        self.folder = folder
        self.about = about

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = generative(pl_module)
        about = {"images_seen": str(module.images_seen), **self.about}
        module.ema.save_pretrained(self.folder / WEIGHTS_FILE, about)
        pretrained.save(module.discriminator, self.folder / DISCRIMINATOR_FILE, about)


class SaveSnapshots(Callback):
    """Every so many images the EMA of the generator as generator-<images>.safetensors."""

    def __init__(self, folder: Path, every: int, about: dict[str, str]) -> None:
        """`every`: images between two snapshots. `about`: as in `SaveNetworks`."""
        self.folder = folder
        self.about = about
        self.every = every

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        module = generative(pl_module)
        images = module.images_seen
        if images // self.every == (images - module.batch_size) // self.every:
            return
        check_weights(pl_module)
        recalibrate(module, pl_module.device)
        if trainer.is_global_zero:
            path = self.folder / f"generator-{images}.safetensors"
            module.ema.save_pretrained(path, {"images_seen": str(images), **self.about})


def weights_metadata(dataset: PackedDataset, recipe: str | None) -> dict[str, str]:
    """What the weights files of a run say beside their config: recipe, and terms if there are."""
    about = {"recipe": recipe, "license": dataset.license}
    return {name: value for name, value in about.items() if value}
