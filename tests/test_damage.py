"""A bit that has changed in a checkpoint or in weights is noticed, wherever it is."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from facegan.core.errors import FaceganError
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


def test_damaged_features_are_computed_again(dataset) -> None:
    extractor = AttributeFeatures(8)
    whole = split_features(dataset, "train", extractor)
    (path,) = dataset.path.glob("features-*")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    np.testing.assert_array_equal(split_features(dataset, "train", extractor), whole)
    assert path.read_bytes() != data
