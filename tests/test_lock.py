"""A run folder has one writer: a second training is refused, a killed one leaves no lock."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Cli

from facegan.training.folder import LOCK

HOLD = """
import time
from pathlib import Path
from facegan.training.folder import writer_lock
with writer_lock(Path("run")):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(workdir: Path):
    """Another process with the lock of `run`."""
    words = [sys.executable, "-c", HOLD]
    with subprocess.Popen(words, cwd=workdir, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_second_training_is_refused_and_changes_nothing(
    other: subprocess.Popen[str], cli: Cli, small: tuple[str, ...]
) -> None:
    arguments = (*small, "trainer.max_epochs=1", "hydra.run.dir=run")
    message = cli.refusal("train", *arguments)
    assert "run is in use by another training" in message
    assert "hydra.run.dir=" in message
    assert [path.name for path in Path("run").iterdir()] == [LOCK]
    other.kill()
    other.wait()
    assert (Path("run") / LOCK).exists()  # as a killed process leaves it
    cli.ok("train", *arguments)
    assert (Path("run") / "generator.safetensors").exists()
