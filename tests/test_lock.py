"""A run folder has one writer: a second training is refused, a lock of a killed one is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import killing
import pytest
from conftest import TINY, Cli, smooth_images
from PIL import Image

from facegan.core.errors import FaceganError
from facegan.training.folder import LOCK, OWNER, writer_lock

ARGUMENTS = (
    *TINY,
    *("model.batch_size=16", "data=folder", "data.root=photos", "data.image_size=8"),
    *("trainer.max_epochs=1", "hydra.run.dir=run"),
)
HOLD = """
import sys, time
from pathlib import Path
from facegan.training.folder import writer_lock
with writer_lock(Path("run")):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def photos(workdir: Path) -> Path:
    (workdir / "photos").mkdir()
    for number, image in enumerate(smooth_images(40, 8)):
        Image.fromarray(image).save(workdir / "photos" / f"{number}.png")
    return workdir


@pytest.fixture
def other(workdir: Path):
    """Another process that holds the lock of `run`."""
    words = [sys.executable, "-c", HOLD]
    with subprocess.Popen(words, cwd=workdir, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_second_training_is_refused_and_changes_nothing(other, cli: Cli, photos: Path) -> None:
    before = sorted(Path("run").iterdir())
    result = cli("train", *ARGUMENTS)
    assert result.code == 2
    assert f"run is in use by process {other.pid} on " in result.err
    assert "hydra.run.dir=" in result.err
    assert sorted(Path("run").iterdir()) == before
    other.kill()
    other.wait()
    assert (Path("run") / LOCK).exists()  # as a killed process leaves it
    assert cli("train", *ARGUMENTS).code == 0
    assert not (Path("run") / OWNER).exists()


def test_two_resumes_at_once(cli: Cli, photos: Path) -> None:
    assert cli("train", *ARGUMENTS).code == 0
    with writer_lock(Path("run")):
        assert killing.run(photos, "train", "resume=run", "trainer.max_epochs=2") == 2
    assert f"is in use by process {os.getpid()}" in (photos / "log").read_text()
    assert cli("train", "resume=run", "trainer.max_epochs=2").code == 0


def test_a_training_that_was_killed_leaves_no_lock(cli: Cli, photos: Path) -> None:
    assert killing.run(photos, "train", *ARGUMENTS, kill_at=6) == -signal.SIGKILL
    assert (Path("run") / OWNER).exists()
    assert cli("train", *ARGUMENTS).code == 0
    assert cli("train", "resume=run", "trainer.max_epochs=2").code == 0


def test_automatic_folders_never_meet(other, workdir: Path) -> None:
    (workdir / "run/config.yaml").touch()  # the other one has begun
    with writer_lock(Path("run"), automatic=True) as second:
        assert second == Path("run-2")
        with pytest.raises(FaceganError, match="in use"), writer_lock(Path("run-2")):
            pass
