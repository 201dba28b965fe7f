"""What a training leaves behind: grids of faces after every epoch, a GIF of them, the weights."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from facegan.images import grid, save_gif, save_png
from facegan.pretrained import WEIGHTS_FILE
from facegan.sampling import latents

if TYPE_CHECKING:
    from facegan.gan import GAN

GRID_FACES = 64
GRID_UPSCALE = 2  # of the PNGs and the GIF; TensorBoard scales by itself
GIF_SECONDS = 0.5  # per epoch


class SampleGrid(Callback):
    """After every epoch the moving average's faces for the same 64 latents; at the end, a GIF."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gan = cast("GAN", pl_module)
        z = latents(range(GRID_FACES), gan.averaged.latent_dim)
        faces = grid(gan.averaged.draw(z))
        save_png(faces, self.folder / f"epoch-{trainer.current_epoch + 1:03}.png", GRID_UPSCALE)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("samples", faces, gan.images_seen)

    @rank_zero_only
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        frames = [Image.open(path) for path in sorted(self.folder.glob("epoch-*.png"))]
        if frames:
            save_gif(frames, self.folder / "epochs.gif", GIF_SECONDS)


class SaveGenerator(Callback):
    """After every epoch the moving average of the generator, as one file that is easy to share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gan = cast("GAN", pl_module)
        about = {"images_seen": str(gan.images_seen)}
        gan.averaged.save_pretrained(self.folder / WEIGHTS_FILE, about)
