"""A bit that has changed in a checkpoint or in weights is noticed, wherever it is."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from facegan.core.errors import DamagedError, FaceganError
from facegan.core.files import CHECKSUM
from facegan.evaluation.features import AttributeFeatures, split_features
from facegan.latent.directions import Directions
from facegan.networks.base import Generator
from facegan.networks.dcgan import DCGANGenerator
from facegan.training.checkpoints import AtomicCheckpointIO, read_checkpoint

FLIPS = 300


def write_weights(path: Path) -> None:
    about = {"license": "some terms", "recipe": "lite"}
    DCGANGenerator(latent_dim=4, width=8, image_size=8).save_pretrained(path, about)


def write_directions(path: Path) -> None:
    tensors = (torch.randn(2, 4), torch.rand(2), torch.rand(2, 3))
    Directions(("a", "b"), *tensors, ("A", "B", "C"), "digest").save(path)


def write_checkpoint(path: Path) -> None:
    progress = {"epoch_progress": {"current": {"processed": 1}}}
    checkpoint = {
        "state_dict": {"weights": torch.randn(9)},
        "loops": {"fit_loop": progress},
        "callbacks": {},
        "images_seen": 0,
        "facegan": {"format": 1, "run": "", "rollbacks": 0, "metrics_lines": 0},
    }
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (write_weights, Generator.from_pretrained),
        (write_directions, Directions.load),
        (write_checkpoint, read_checkpoint),
    ],
)
def test_a_flipped_bit_is_noticed(
    write: Callable[[Path], None], read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    write(path)
    read(path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:2], "little")  # half of the flips are at the beginning
    rng = random.Random(0)
    for flip in range(FLIPS):
        damaged = bytearray(whole)
        place = rng.randrange(len(whole) if flip % 2 else min(header, len(whole)))
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(FaceganError):
            read(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": torch.zeros(3, 4)},
        {"vectors": torch.zeros(2)},
        {"fit": torch.zeros(2, 1)},
        {"effects": torch.zeros(2, 4)},
        {"names": '["a", 7]'},
        {"names": "[" * 10_000},
        {"attributes": "9" * 401},
        {"weights": None},
    ],
)
def test_odd_directions_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_directions(path)
    with safe_open(path, "pt") as file:
        metadata = {k: v for k, v in file.metadata().items() if k not in CHECKSUM}
    parts = {**load_file(path), **metadata, **changes}
    tensors = {name: value for name, value in parts.items() if isinstance(value, torch.Tensor)}
    save_file(tensors, path, {k: v for k, v in parts.items() if isinstance(v, str)})
    with pytest.raises(DamagedError, match="remove it"):
        Directions.load(path)


def flip_last_bit(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    "damage",
    [
        flip_last_bit,
        lambda path: save_file({"features": torch.zeros(3, 4)}, path),
        lambda path: save_file({"features": torch.zeros(36)}, path),
    ],
)
def test_damaged_features_are_computed_again(dataset, damage: Callable[[Path], None]) -> None:
    whole = split_features(dataset, "train", AttributeFeatures(8))
    (path,) = dataset.path.glob("features-*")
    good = path.read_bytes()
    damage(path)
    np.testing.assert_array_equal(split_features(dataset, "train", AttributeFeatures(8)), whole)
    assert path.read_bytes() == good
