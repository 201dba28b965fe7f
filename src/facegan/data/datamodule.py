"""Whole uint8 batches by index: no worker processes, no sampler state."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from facegan.data.archive import Archive
from facegan.errors import FaceganError
from facegan.streams import stream_seed


class FaceDataModule(pl.LightningDataModule):
    """Train, val and test faces of an archive as (B, 3, H, W) uint8 batches in channels_last.

    `batch_size` counts the images of all devices; each gets its share. With `resident`, the faces
    live on the training device and a batch is one gather there, without a copy from the host.
    """

    def __init__(
        self,
        archive: Archive,
        batch_size: int,
        seed: int = 0,
        flip: bool = True,
        resident: bool = True,
    ) -> None:
        super().__init__()
        self.archive = archive
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.resident = resident
        count = len(archive.indices("train"))
        if not 1 <= batch_size <= count:
            raise FaceganError(
                f"model.batch_size must lie between 1 and the number of training faces, {count}; "
                f"got {batch_size}"
            )

    def state_dict(self) -> dict[str, str]:
        return {"archive": self.archive.path.name}

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        began, now = state_dict["archive"], self.archive.path.name
        if began != now:
            raise FaceganError(
                f"the run began with the faces of archive {began}, and the data is {now} now: "
                "put the photographs back as they were, or start a new run"
            )

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        world = self.trainer.world_size
        if self.batch_size % world:
            raise FaceganError(
                f"model.batch_size={self.batch_size} must be a multiple of the {world} devices; "
                f"try {self.batch_size // world * world or world}"
            )

    def train_dataloader(self) -> "Batches":
        assert self.trainer is not None
        trainer = self.trainer
        rows = torch.from_numpy(self.archive.indices("train"))
        whole = len(rows) // self.batch_size * self.batch_size  # no batch is smaller than another

        def order() -> tuple[Tensor, Tensor]:
            shuffled, flips = shuffle(rows, self.seed, trainer.current_epoch)
            return shuffled[:whole], flips[:whole] & self.flip

        return self._batches(order, whole)

    def val_dataloader(self) -> "Batches":
        return self._ordered("val")

    def test_dataloader(self) -> "Batches":
        return self._ordered("test")

    def _ordered(self, split: str) -> "Batches":
        rows = torch.from_numpy(self.archive.indices(split))
        return self._batches(lambda: (rows, torch.zeros(len(rows), dtype=torch.bool)), len(rows))

    def _batches(self, order: "Order", count: int) -> "Batches":
        assert self.trainer is not None
        images = torch.from_numpy(self.archive.images)
        attributes = torch.from_numpy(self.archive.labels.attributes)
        if self.resident:
            device = self.trainer.strategy.root_device
            images, attributes = images.to(device), attributes.to(device)
        share = slice(self.trainer.global_rank, None, self.trainer.world_size)
        return Batches(images, attributes, order, count, self.batch_size, share)


class Batch(NamedTuple):
    """Some faces: images (B, 3, H, W) uint8 in channels_last, attributes (B, A) bool."""

    images: Tensor
    attributes: Tensor


Order = Callable[[], tuple[Tensor, Tensor]]  # -> rows (N,) int64, flips (N,) bool


class Batches:
    """One epoch of batches, in the order that `order` gives when the epoch begins.

    `share` picks this device's part of every batch.
    """

    def __init__(
        self,
        images: Tensor,
        attributes: Tensor,
        order: Order,
        count: int,
        batch_size: int,
        share: slice,
    ) -> None:
        self.images = images  # (N, H, W, 3) uint8
        self.attributes = attributes  # (N, A) bool
        self.order = order
        self.count = count
        self.batch_size = batch_size
        self.share = share

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # to the device once an epoch: a step copies nothing from the host
        rows, flips = (part.to(self.images.device) for part in self.order())
        for some, flip in zip(
            rows.split(self.batch_size), flips.split(self.batch_size), strict=True
        ):
            yield self._gather(some[self.share], flip[self.share])

    def _gather(self, rows: Tensor, flip: Tensor) -> Batch:
        faces = self.images[rows]
        faces = torch.where(flip[:, None, None, None], faces.flip(2), faces)
        return Batch(faces.permute(0, 3, 1, 2), self.attributes[rows])


def shuffle(rows: Tensor, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
    """The epoch's order of `rows` and which of them are mirrored: (N,) int64 and (N,) bool.

    A pure function of seed, epoch and position, so that there is no state to lose.
    """
    stream = torch.Generator().manual_seed(stream_seed("photographs", seed, epoch))
    order = torch.randperm(len(rows), generator=stream)
    return rows[order], torch.rand(len(rows), generator=stream) < 0.5
