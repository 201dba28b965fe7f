"""What a training writes besides metrics: grids, a GIF, weights."""

import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from facegan.core import pretrained
from facegan.core.images import grid, open_image, save_image, save_video, to_pil
from facegan.core.pretrained import DISCRIMINATOR_FILE, WEIGHTS_FILE
from facegan.data.dataset import PackedDataset
from facegan.gan.ema import recalibrate_batch_norm
from facegan.gan.module import GAN
from facegan.latent.movement import movement, starting_faces
from facegan.networks.latents import balanced_latents
from facegan.training.health import check_weights
from facegan.training.metrics import log_image, print_line

GRID_FACES = 64
GRID_UPSCALE = 2  # of the PNGs and the GIF; TensorBoard scales images
EPOCHS_PER_SECOND = 2  # of the GIF
RECALIBRATION_SEED = 1_000_000  # the first; evaluations use smaller ones
RECALIBRATION_PAIRS = 500  # of latents
BATCH_SIZE = 250  # of latents
GIF_FRAMES = 120


class RecalibrateBatchNorm(Callback):
    """Fits the EMA's batch-norm statistics to its own activations after every epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        recalibrate(gan)


def recalibrate(gan: GAN) -> None:
    """Fits the EMA's batch-norm statistics to its own activations, for the same latents each time.

    Without averaging (`ema_halflife` 0) the running statistics of the training are kept.
    """
    if gan.ema_halflife == 0:
        return
    pairs = max(RECALIBRATION_PAIRS, gan.ema.latent_dim)
    seeds = range(RECALIBRATION_SEED, RECALIBRATION_SEED + pairs)
    z = balanced_latents(seeds, gan.ema.latent_dim).to(gan.device)
    if gan.ema.labels is not None:
        z = gan.ema.condition(z, gan.ema.labels.draw(seeds).repeat_interleave(2, dim=0))
    recalibrate_batch_norm(gan.ema, z.split(BATCH_SIZE))


class SampleGrid(Callback):
    """After every epoch a grid of the EMA's images for the same 64 latents; at the end, a GIF.

    In an epoch that takes longer than `seconds` there is one after each of these times, too, drawn
    with the batch-norm statistics of the training.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds

    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.written = time.monotonic()

    @rank_zero_only
    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or trainer.should_stop
        if not last and time.monotonic() - self.written >= self.seconds:
            self._save(trainer, gan, f"-{gan.images_seen:09}")

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self._save(trainer, gan)

    def _save(self, trainer: pl.Trainer, gan: GAN, suffix: str = "") -> None:
        path = self.folder / f"epoch-{trainer.current_epoch + 1:03}{suffix}.png"
        log_image(trainer, "samples", save_faces(gan, path), gan.images_seen)
        self.written = time.monotonic()

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        # not on_train_end, which Lightning skips if no epoch is left to train
        paths = sorted(self.folder.glob("epoch-*.png"), key=_epoch_and_images)
        step = -(-len(paths) // GIF_FRAMES)
        frames = [open_image(path) for path in paths[::-step][::-1]] if paths else []
        if frames:
            frames[0].info |= frames[-1].info  # the mark of the newest weights
            save_video(frames, self.folder / "epochs.gif", EPOCHS_PER_SECOND)


def _epoch_and_images(path: Path) -> tuple[int, float]:
    """Of a grid's name: epoch-001-000012800.png -> (1, 12800); at the end of an epoch (1, inf)."""
    _, epoch, *images = path.stem.split("-")
    return int(epoch), int(images[0]) if images else math.inf


class WatchMovement(Callback):
    """Prints after every epoch how far the faces have moved from the weights of `init`."""

    def __init__(self, init: str) -> None:
        self.init = init

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.start = starting_faces(self.init, gan.ema)

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        if self.start is not None:
            print_line(movement(self.init, self.start, gan.ema))


class LiveGrid(Callback):
    """Every few seconds a grid of the EMA's images for the same latents, in one file: live.png.

    Unlike after an epoch, the EMA's batch-norm statistics are those of the training.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.path = folder / "live.png"
        self.seconds = seconds
        self.written = -math.inf

    @rank_zero_only
    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        if time.monotonic() - self.written < self.seconds:
            return
        save_faces(gan, self.path)
        self.written = time.monotonic()


def save_faces(gan: GAN, path: Path) -> Tensor:
    """Writes a grid of the EMA's images, marked; returns it, (C, H, W) uint8."""
    faces = grid(gan.ema.sample(GRID_FACES))
    save_image(to_pil(faces, GRID_UPSCALE, facts=gan.ema.provenance(range(GRID_FACES))), path)
    return faces


class SaveNetworks(Callback):
    """After every epoch the generator's EMA and the discriminator, a safetensors file each."""

    def __init__(self, folder: Path, about: dict[str, str]) -> None:
        """`about`: strings for the metadata of the files."""
        self.folder = folder
        self.about = about

    def on_fit_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.write(gan)  # the checkpoint may be another folder's, with no epoch left to train

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.write(gan)

    @rank_zero_only
    def write(self, gan: GAN) -> None:
        about = {"images_seen": str(gan.images_seen), **self.about}
        gan.ema.save_pretrained(self.folder / WEIGHTS_FILE, about)
        pretrained.save(gan.discriminator, self.folder / DISCRIMINATOR_FILE, about)


class SaveSnapshots(Callback):
    """Every so many images the EMA of the generator as generator-<images>.safetensors."""

    def __init__(self, folder: Path, every: int, about: dict[str, str]) -> None:
        """`every`: images between two snapshots. `about`: as in `SaveNetworks`."""
        self.folder = folder
        self.about = about
        self.every = every

    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        images = gan.images_seen
        if images // self.every == (images - gan.batch_size) // self.every:
            return
        check_weights(gan)
        recalibrate(gan)
        if trainer.is_global_zero:
            path = self.folder / f"generator-{images}.safetensors"
            gan.ema.save_pretrained(path, {"images_seen": str(images), **self.about})


def weights_metadata(dataset: PackedDataset, recipe: str | None) -> dict[str, str]:
    """The metadata of a run's weights files: the recipe, and terms of use if there are any."""
    about = {"recipe": recipe, "license": dataset.license}
    return {name: value for name, value in about.items() if value}
