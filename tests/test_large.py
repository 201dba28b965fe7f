"""Data sets that are larger than the memory that a command may take."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import open_memmap

from facegan.data.dataset import SPLITS, Labels, dataset_path, write_dataset
from facegan.data.generated import GeneratedDataset

pytestmark = pytest.mark.slow
SIZE = 64
KIB_PER_GB = 10**9 / 1024
CELEBA = (162_770, 19_867, 19_962)  # photographs by split


def pack(folder: Path, counts: tuple[int, ...], noise: bool) -> tuple[str, ...]:
    """Writes a data set as `data=generated` would; returns its overrides.

    Without `noise` the images are black, and the file is sparse.
    """
    count = sum(counts)

    def write(path: Path) -> tuple[Labels, dict[str, object]]:
        images = open_memmap(path, "w+", np.uint8, (count, SIZE, SIZE, 3))
        rng = np.random.default_rng(0)
        for part in np.array_split(images, count // 1000) if noise else ():
            part[:] = rng.integers(0, 256, part.shape, np.uint8)
        splits = np.repeat(np.arange(len(SPLITS), dtype=np.uint8), counts)
        return Labels(splits, np.zeros((count, 0), bool), np.arange(count), ()), {}

    source = GeneratedDataset(str(folder), "full-64", count, SIZE)
    write_dataset(dataset_path(folder, source.recipe()), source.recipe(), write)
    return (
        *("data=generated", "data.weights=full-64", f"data.image_size={SIZE}"),
        *(f"data.count={count}", f"data.packed_dir={folder}"),
    )


def peak_memory(folder: Path, command: str, *arguments: str) -> float:
    """The largest resident memory of `python -m facegan.COMMAND`, in GB; it must succeed."""
    words = [sys.executable, "-m", f"facegan.{command}", *arguments]
    with subprocess.Popen(words, cwd=folder) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / KIB_PER_GB


def test_a_million_images_train_in_two_gigabytes(tmp_path: Path) -> None:
    data = pack(tmp_path / "packed", (900_000, 50_000, 50_000), noise=False)
    steps = ("+trainer.limit_train_batches=300", "trainer.precision=32-true")
    model = ("model=lite", "model.generator.width=16", "model.discriminator.width=16")
    run = ("hydra.run.dir=run", "model.batch_size=64", "trainer.max_epochs=1")
    assert peak_memory(tmp_path, "train", *model, *data, *run, *steps) < 2


def test_fifty_thousand_faces_are_evaluated_in_four_gigabytes(tmp_path: Path) -> None:
    data = pack(tmp_path / "packed", CELEBA, noise=True)
    faces = ("weights=full-64", "evaluation.faces=50000", "out=report")
    assert peak_memory(tmp_path, "evaluate", *data, *faces) < 4
