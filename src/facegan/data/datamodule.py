"""Batches gathered from the packed array: no worker processes, no sampler state."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from torch import Tensor

from facegan.core.batch import Batch
from facegan.core.errors import FaceganError
from facegan.core.seeds import derive_seed
from facegan.data.dataset import PackedDataset

MAX_REPEATS = 16  # of a photograph in one batch


class FaceDataModule(pl.LightningDataModule):
    """The splits of a packed data set as (B, C, H, W) uint8 batches in channels_last.

    `batch_size` is the number of images over all devices. With `on_device`, the images are kept on
    the training device, where a batch is one gather without a copy from the host. With
    `fixed_order`, every epoch has the batches of the first. An epoch makes as many passes over the
    training images as `epoch_images` and one whole batch need.
    """

    def __init__(
        self,
        dataset: PackedDataset,
        batch_size: int,
        seed: int = 0,
        flip: bool = True,
        on_device: bool = True,
        fixed_order: bool = False,
        epoch_images: int = 0,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.on_device = on_device
        self.fixed_order = fixed_order
        count = len(dataset.indices("train"))
        if not 1 <= batch_size <= MAX_REPEATS * count:
            raise FaceganError(
                f"model.batch_size must be a whole number from 1 to {MAX_REPEATS * count}, "
                f"{MAX_REPEATS} times the number of training faces, got {batch_size}"
            )
        self.passes = max(1, -(-max(epoch_images, batch_size) // count))

    def state_dict(self) -> dict[str, str]:
        return {"dataset": self.dataset.path.name}

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        began, now = state_dict["dataset"], self.dataset.path.name
        if began != now:
            raise FaceganError(
                f"the run was started with the data set {began}, but the data is {now}: restore "
                "the photographs, or start a new run"
            )

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        world = self.trainer.world_size
        if self.batch_size % world:
            raise FaceganError(
                f"model.batch_size={self.batch_size} must be a multiple of the {world} devices; "
                f"try {self.batch_size // world * world or world}"
            )

    def train_dataloader(self) -> "EpochLoader":
        return self._loader("train")

    def val_dataloader(self) -> "EpochLoader":
        return self._loader("val")

    def test_dataloader(self) -> "EpochLoader":
        return self._loader("test")

    def _loader(self, split: str) -> "EpochLoader":
        assert self.trainer is not None
        images = torch.from_numpy(self.dataset.images)
        attributes = torch.from_numpy(self.dataset.labels.attributes)
        device = self.trainer.strategy.root_device
        if self.on_device and fits(images.nbytes, device):
            images, attributes = images.to(device), attributes.to(device)
        return EpochLoader(self, self.trainer, split, images, attributes)

    def order(self, split: str, epoch: int) -> tuple[Tensor, Tensor]:
        """An epoch's rows of images, (N,) int64, and which of them are flipped, (N,) bool.

        Training images are shuffled, and fill whole batches.
        """
        rows = torch.from_numpy(self.dataset.indices(split))
        if split != "train":
            return rows, torch.zeros(len(rows), dtype=torch.bool)
        first = 0 if self.fixed_order else epoch * self.passes
        parts = [shuffle(rows, self.seed, first + number) for number in range(self.passes)]
        whole = self.passes * len(rows) // self.batch_size * self.batch_size
        shuffled, flips = (torch.cat(part)[:whole] for part in zip(*parts, strict=True))
        return shuffled, flips & self.flip


def fits(size: int, device: torch.device) -> bool:
    """Whether `size` bytes take at most half of the device's free memory."""
    if device.type != "cuda" or size <= torch.cuda.mem_get_info(device)[0] // 2:
        return True
    print(f"the data set ({size / 2**30:.1f} GB) stays in the host's memory", flush=True)
    return False


@dataclass(frozen=True, eq=False)
class EpochLoader:
    """The batches of the trainer's current epoch, or the rest of it if a checkpoint is loaded."""

    data: FaceDataModule
    trainer: pl.Trainer
    split: str
    images: Tensor  # (N, H, W, C) uint8
    attributes: Tensor  # (N, A) int8

    def __len__(self) -> int:
        rows, _ = self.data.order(self.split, self.trainer.current_epoch)
        return -(-len(rows) // self.data.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # moved once per epoch, so that a step copies nothing from the host
        order = self.data.order(self.split, self.trainer.current_epoch)
        rows, flips = (part.to(self.images.device).split(self.data.batch_size) for part in order)
        rank_slice = slice(self.trainer.global_rank, None, self.trainer.world_size)
        first = 0
        if self.split == "train" and self.trainer.fit_loop.restarting:  # from a checkpoint
            first = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        for batch, flipped in zip(rows[first:], flips[first:], strict=True):
            some, flip = batch[rank_slice], flipped[rank_slice, None, None, None]
            faces = self.images[some]
            faces = torch.where(flip, faces.flip(2), faces)
            self.data.dataset.release_memory()
            yield Batch(faces.permute(0, 3, 1, 2), self.attributes[some])


def shuffle(rows: Tensor, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
    """An epoch's order of `rows` and which of them are flipped: (N,) int64 and (N,) bool.

    A pure function of its arguments, so that there is no state to restore.
    """
    stream = torch.Generator().manual_seed(derive_seed("photographs", seed, epoch))
    order = torch.randperm(len(rows), generator=stream)
    return rows[order], torch.rand(len(rows), generator=stream) < 0.5
