"""A training that is killed at any moment and resumed ends as without the kill."""

import random
from pathlib import Path
from typing import Any

import killing
import numpy as np
import pytest
from conftest import TINY, logged, save_photos
from safetensors.torch import load_file

from facegan.training.checkpoints import read_checkpoint

CLOCKS = {"seconds", "images_per_second"}
SAMPLE = 3  # of the twenty kills; the others are slow
ARGUMENTS = (
    *TINY,
    "model.discriminator.hidden=8",
    "model.batch_size=16",
    "data=folder",
    "data.root=../photos",
    "data.image_size=8",
    "trainer.precision=32-true",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=2",
    "checkpoint.every=0",
    "hydra.run.dir=run",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, where 56 of 64 are for training: three batches an epoch."""
    folder = tmp_path_factory.mktemp("kills")
    save_photos(folder / "photos", 64, 8)
    return folder


@pytest.fixture(scope="module")
def undisturbed(home: Path) -> Path:
    """A folder in which the training was never killed."""
    return train(home / "undisturbed")


def train(folder: Path, kill_at: int | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    code = killing.run(folder, "train", *ARGUMENTS, kill_at=kill_at)
    assert code == (0 if kill_at is None else -9), (folder / "log").read_text()
    return folder


def results(folder: Path) -> dict[str, Any]:
    """What a training leaves, except for what a clock has measured."""
    run = folder / "run"
    checkpoint = read_checkpoint(run / "checkpoints/last.ckpt")
    weights = load_file(run / "generator.safetensors")
    return {
        "lines": [{k: v for k, v in line.items() if k not in CLOCKS} for line in logged(run)],
        "pictures": {path.name: path.read_bytes() for path in run.glob("samples/*")},
        "weights file": (run / "generator.safetensors").read_bytes(),
        "weights": {name: np.asarray(tensor).tobytes() for name, tensor in weights.items()},
        "state": {n: np.asarray(t).tobytes() for n, t in checkpoint["state_dict"].items()},
        "optimizers": str(checkpoint["optimizer_states"]),
        "images": checkpoint["images_seen"],
        "packed": (next(folder.glob("data/packed/*/images.npy"))).read_bytes(),
        "files": {
            path.relative_to(folder)
            for path in folder.rglob("*")
            # a kill leaves event files of its own, and may leave a part of the cached features
            if "tfevents" not in path.name and not path.name.startswith(".features")
        },
    }


@pytest.mark.parametrize(
    "kill",
    [pytest.param(k, marks=[pytest.mark.slow] if k >= SAMPLE else []) for k in range(20)],
)
def test_a_run_killed_at_a_random_moment_ends_the_same(
    kill: int, home: Path, undisturbed: Path
) -> None:
    count = killing.count_events(undisturbed) - 1  # after the last event, the run is finished
    moment = sorted(random.Random(0).sample(range(count), 20))[kill * 7 % 20]
    folder = train(home / f"killed-{moment}", kill_at=moment)
    train(folder)
    assert results(folder) == results(undisturbed)


def test_a_run_killed_again_and_again_ends_the_same(home: Path, undisturbed: Path) -> None:
    folder = home / "killed-again"
    for moment in (12, 30, 9):
        train(folder, kill_at=moment)
    train(folder)
    assert results(folder) == results(undisturbed)
