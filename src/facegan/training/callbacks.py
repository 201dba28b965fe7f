"""What a training writes besides metrics: grids, a GIF, weights."""

import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from facegan.core import pretrained
from facegan.core.images import grid, open_image, save_image, save_video, to_pil
from facegan.core.pretrained import DISCRIMINATOR_FILE, WEIGHTS_FILE
from facegan.core.run_files import thin
from facegan.gan.ema import recalibrate_batch_norm
from facegan.gan.module import GAN
from facegan.latent.movement import FACT, movement, starting_faces
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
BEST_FILE = "generator-best.safetensors"


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
    """Before and after every epoch a grid of the EMA's images of the same 64 latents; then a GIF.

    In an epoch that takes longer than `seconds` there is one after each of these times, too, and
    live.png is replaced every `live` seconds. Both have the batch-norm statistics of the training.
    """

    def __init__(self, folder: Path, seconds: float, live: float | None = None) -> None:
        self.folder = folder
        self.seconds = seconds
        self.live = live
        self.shown = -math.inf  # clock time of live.png

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.written = time.monotonic()
        if gan.images_seen == 0:
            before = {name: value.clone() for name, value in gan.ema.state_dict().items()}
            recalibrate(gan)  # as after every epoch; the first statistics would give grey tiles
            self._save(trainer, gan, epoch=0)
            gan.ema.load_state_dict(before)

    @rank_zero_only
    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or trainer.should_stop
        if not last and time.monotonic() - self.written >= self.seconds:
            self._save(trainer, gan, trainer.current_epoch + 1, f"-{gan.images_seen:09}")
        if self.live is not None and time.monotonic() - self.shown >= self.live:
            save_faces(gan, self.folder / "live.png")
            self.shown = time.monotonic()

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self._save(trainer, gan, trainer.current_epoch + 1)

    def _save(self, trainer: pl.Trainer, gan: GAN, epoch: int, suffix: str = "") -> None:
        path = self.folder / f"epoch-{epoch:03}{suffix}.png"
        log_image(trainer, "samples", save_faces(gan, path), gan.images_seen)
        self.written = time.monotonic()

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        # not on_train_end, which Lightning skips if no epoch is left to train
        paths = sorted(self.folder.glob("epoch-*.png"), key=_epoch_and_images)
        if frames := list(_read_images(thin(paths, GIF_FRAMES))):
            frames[0].info |= frames[-1].info  # the mark of the newest weights
            save_video(frames, self.folder / "epochs.gif", EPOCHS_PER_SECOND)


def _read_images(paths: Iterable[Path]) -> Iterator[Image.Image]:
    """The images at `paths`. A damaged one is reported: no training should fail by it."""
    for path in paths:
        try:
            yield open_image(path)
        except (OSError, ValueError, SyntaxError) as error:
            print_line(f"{path} is left out of the GIF, since it cannot be read ({error})")


def _epoch_and_images(path: Path) -> tuple[int, float]:
    """Of a grid's name: epoch-001-000012800.png -> (1, 12800); at the end of an epoch (1, inf)."""
    _, epoch, *images = path.stem.split("-")
    return int(epoch), int(images[0]) if images else math.inf


class WatchMovement(Callback):
    """Prints after every epoch how far the faces have moved from `init`, FACT of weights files."""

    def __init__(self, init: str, about: dict[str, str]) -> None:
        """`about`: the metadata of the weights files."""
        self.init, self.about = init, about

    @rank_zero_only
    def on_fit_start(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.start = starting_faces(self.init, gan.ema)

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.on_fit_end(trainer, gan)
        if FACT in self.about:
            print_line(self.about[FACT])

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        # no epoch may be left to train
        if self.start is not None:
            self.about[FACT] = movement(self.init, self.start, gan.ema, gan.images_seen)


def save_faces(gan: GAN, path: Path) -> Tensor:
    """Writes a grid of the EMA's images, marked; returns it, (C, H, W) uint8."""
    faces = grid(gan.ema.sample(GRID_FACES))
    save_image(to_pil(faces, GRID_UPSCALE, facts=gan.ema.provenance(range(GRID_FACES))), path)
    return faces


class SaveNetworks(Callback):
    """After every epoch the generator's EMA and the discriminator, a safetensors file each.

    With `snapshots`, every so many images also the EMA as generator-<images>.safetensors.
    """

    def __init__(self, folder: Path, about: dict[str, str], snapshots: int | None = None) -> None:
        """`about`: strings for the metadata of the files."""
        self.folder = folder
        self.about = about
        self.snapshots = snapshots
        self.best_images_seen: int | None = None  # of the weights in BEST_FILE

    def on_fit_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.write(gan)  # the checkpoint may be another folder's, with no epoch left to train

    def on_train_epoch_end(self, trainer: pl.Trainer, gan: GAN) -> None:
        self.write(gan)

    def on_train_batch_end(self, trainer: pl.Trainer, gan: GAN, *_: Any) -> None:
        images = gan.images_seen
        if self.snapshots and images % self.snapshots < gan.batch_size:
            check_weights(gan)
            recalibrate(gan)
            self.write_ema(gan, f"generator-{images}.safetensors")

    @rank_zero_only
    def write(self, gan: GAN) -> None:
        self.write_ema(gan, WEIGHTS_FILE)
        about = {"images_seen": str(gan.images_seen), **self.about}
        pretrained.save(gan.discriminator, self.folder / DISCRIMINATOR_FILE, about)

    def write_best(self, gan: GAN, **about: str) -> None:
        self.write_ema(gan, BEST_FILE, **about)
        self.best_images_seen = gan.images_seen

    @rank_zero_only
    def write_ema(self, gan: GAN, name: str, **about: str) -> None:
        about = {"images_seen": str(gan.images_seen), **about, **self.about}
        gan.ema.save_pretrained(self.folder / name, about)
