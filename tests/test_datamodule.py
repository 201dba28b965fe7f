"""Batches: complete, in the order of seed and epoch, the same for any number of devices."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from facegan.core.errors import FaceganError
from facegan.data.datamodule import Batch, FaceDataModule, shuffle
from facegan.data.dataset import Labels, PackedDataset, write_dataset

ROWS = torch.arange(100, 1100)


@pytest.fixture
def labelled(tmp_path: Path) -> PackedDataset:
    """Forty noise images; the attributes of image i are the bits of i."""
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    splits = np.array([0] * 30 + [1] * 7 + [2] * 3, dtype=np.uint8)
    bits = (2 * (np.arange(40)[:, None] >> np.arange(6) & 1) - 1).astype(np.int8)
    labels = Labels(splits, bits, np.arange(40), tuple("abcdef"))

    def write(path: Path) -> tuple[Labels, dict[str, Any]]:
        np.save(path, images)
        return labels, {}

    return write_dataset(tmp_path / "labelled", {"source": "labelled", "image_size": 8}, write)


def attached(data: FaceDataModule, epoch: int = 0, world: int = 1, rank: int = 0) -> FaceDataModule:
    """The data module as a device of a training sees it."""
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer: Any = SimpleNamespace(
        current_epoch=epoch,
        world_size=world,
        global_rank=rank,
        strategy=strategy,
        fit_loop=SimpleNamespace(restarting=False, epoch_loop=None),
    )
    data.trainer = trainer
    data.setup("fit")
    return data


def train_batches(dataset: PackedDataset, size: int, **position: int) -> list[Batch]:
    return list(attached(FaceDataModule(dataset, size), **position).train_dataloader())


def rows_of(batch: Batch) -> list[int]:
    return ((batch.attributes > 0).long() @ (1 << torch.arange(6))).tolist()


def test_shuffle_is_a_permutation_and_flips_about_half() -> None:
    order, flips = shuffle(ROWS, seed=0, epoch=0)
    assert torch.equal(order.sort().values, ROWS)
    assert flips.dtype == torch.bool
    assert 440 < flips.sum() < 560


def test_shuffle_is_a_pure_function_of_seed_and_epoch() -> None:
    state = torch.get_rng_state()
    positions = [(0, 0), (0, 1), (1, 0), (1, 1)]
    drawn = {position: shuffle(ROWS, *position) for position in positions}
    for one, other in itertools.product(positions, positions):
        for part, again in zip(drawn[one], shuffle(ROWS, *other), strict=True):
            assert torch.equal(part, again) == (one == other)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_epoch_has_full_batches_of_different_faces(labelled: PackedDataset) -> None:
    data = attached(FaceDataModule(labelled, 8))
    batches = list(data.train_dataloader())
    assert len(batches) == len(data.train_dataloader()) == 3
    rows = [row for batch in batches for row in rows_of(batch)]
    assert len(set(rows)) == 24
    assert set(rows) <= set(range(30))


def test_batches_are_uint8_in_channels_last(labelled: PackedDataset) -> None:
    images, attributes = train_batches(labelled, 8)[0]
    assert images.shape == (8, 3, 8, 8)
    assert images.dtype == torch.uint8
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert attributes.shape == (8, 6)
    assert attributes.dtype == torch.int8


def test_faces_are_those_of_the_data_set_or_mirrored(labelled: PackedDataset) -> None:
    _, flips = shuffle(torch.arange(30), 0, epoch=2)
    batches = train_batches(labelled, 10, epoch=2)
    rows = [row for batch in batches for row in rows_of(batch)]
    faces = torch.cat([batch.images for batch in batches])
    for row, face, flip in zip(rows, faces, flips.tolist(), strict=True):
        original = torch.from_numpy(labelled.images[row]).permute(2, 0, 1)
        assert torch.equal(face, original.flip(2) if flip else original)


def test_without_flip_nothing_is_mirrored(labelled: PackedDataset) -> None:
    data = attached(FaceDataModule(labelled, 10, flip=False))
    for batch in data.train_dataloader():
        expected = torch.from_numpy(labelled.images[rows_of(batch)]).permute(0, 3, 1, 2)
        assert torch.equal(batch.images, expected)


def test_the_order_of_a_loader_is_that_of_the_current_epoch(labelled: PackedDataset) -> None:
    data = attached(FaceDataModule(labelled, 10))
    loader = data.train_dataloader()
    first, again = (next(iter(loader)).images for _ in range(2))
    assert torch.equal(first, again)
    vars(data.trainer)["current_epoch"] = 1
    expected = train_batches(labelled, 10, epoch=1)[0].images
    assert torch.equal(next(iter(loader)).images, expected)
    assert not torch.equal(first, expected)


@pytest.mark.parametrize("world", [2, 4, 8])
def test_each_device_gets_its_slice_of_the_batch(labelled: PackedDataset, world: int) -> None:
    whole = train_batches(labelled, 8, epoch=1)
    parts = [train_batches(labelled, 8, epoch=1, world=world, rank=r) for r in range(world)]
    for batch, *slices in zip(whole, *parts, strict=True):
        assert {len(part.images) for part in slices} == {8 // world}
        for rank, part in enumerate(slices):
            assert torch.equal(part.images, batch.images[rank::world])
            assert torch.equal(part.attributes, batch.attributes[rank::world])


def test_on_device_and_memory_mapped_batches_are_equal(labelled: PackedDataset) -> None:
    one, other = (attached(FaceDataModule(labelled, 8, on_device=r)) for r in (True, False))
    for a, b in zip(one.train_dataloader(), other.train_dataloader(), strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.attributes, b.attributes)


def test_val_and_test_are_complete_in_order_and_not_flipped(labelled: PackedDataset) -> None:
    data = attached(FaceDataModule(labelled, 3))
    for loader, rows in (
        (data.val_dataloader(), range(30, 37)),
        (data.test_dataloader(), range(37, 40)),
    ):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert [row for batch in batches for row in rows_of(batch)] == list(rows)
        images = torch.cat([batch.images for batch in batches]).permute(0, 2, 3, 1)
        assert np.array_equal(images.numpy(), labelled.images[list(rows)])


@pytest.mark.parametrize("size", [481, 0, -1])
def test_a_batch_size_out_of_range_is_refused(labelled: PackedDataset, size: int) -> None:
    with pytest.raises(FaceganError, match=rf"from 1 to 480, 16 times .*got {size}"):
        FaceDataModule(labelled, size)


def test_a_batch_size_must_be_a_multiple_of_the_devices(labelled: PackedDataset) -> None:
    with pytest.raises(FaceganError, match=r"batch_size=10 must be a multiple of the 4 .*try 8"):
        train_batches(labelled, 10, world=4)


def test_few_photographs_are_repeated_within_a_batch_and_an_epoch(labelled: PackedDataset) -> None:
    (batch,) = train_batches(labelled, 45)
    assert len(batch.images) == 45
    assert FaceDataModule(labelled, 10, epoch_images=100).passes == 4
