"""What loggers show besides curves: TensorBoard's layout, grids, attribute coverage."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from facegan.core.images import to_pil
from facegan.evaluation.coverage import AttributeShare
from facegan.evaluation.metrics import METRICS
from facegan.training.loggers import RunTensorBoard

Layout = dict[str, dict[str, list[Any]]]  # category -> title -> [kind, tags]


def layout() -> Layout:
    """The page "Custom Scalars". A tag is a regular expression."""
    return {
        "training": {
            "losses": chart("^D_loss$", "^G_loss$"),
            "D's logits": chart("^D_real_logits$", "^D_fake_logits$"),
            "penalties": chart("^R1$", "^R2$", "^GP$"),
        },
        "quality": {
            metric.label: chart(f"^{metric.name}$") for metric in METRICS if metric.during_training
        },
        "speed": {
            "images per second": chart("^images_per_second$"),
            "learning rates": chart("^learning_rate/"),
        },
    }


def chart(*tags: str) -> list[Any]:
    """A chart with the curves of all tags."""
    return ["Multiline", list(tags)]


class BoardLayout(Callback):
    """Writes the layout once, at the start."""

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for board in boards(trainer):
            board.add_custom_scalars(layout())


def boards(trainer: pl.Trainer) -> list[SummaryWriter]:
    """The writers of TensorBoard's event files."""
    kinds = RunTensorBoard | TensorBoardLogger
    return [each.experiment for each in trainer.loggers if isinstance(each, kinds)]


def log_image(trainer: pl.Trainer, name: str, image: Tensor, images_seen: int) -> None:
    """Gives an image, (C, H, W) uint8, to every logger that takes images."""
    for board in boards(trainer):
        board.add_image(name, image, images_seen)
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [to_pil(image)], step=images_seen)
        elif isinstance(logger, MLFlowLogger):
            file = f"{name}/{images_seen:09}.png"
            logger.experiment.log_image(str(logger.run_id), to_pil(image), artifact_file=file)


def coverage_table(shares: Sequence[AttributeShare]) -> str:
    """Attribute coverage as Markdown, the most under-represented attribute first."""
    rows = [
        f"| {share.name.replace('_', ' ')} | {share.reference:.1%} | {share.generated:.1%} |"
        for share in shares
    ]
    return "\n".join(["| attribute | val split | generated |", "|---|---:|---:|", *rows])
