"""Two processes on the CPU train one model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facegan import Generator

pytestmark = pytest.mark.slow


SCRIPT = """
import hashlib
from pathlib import Path
from facegan.gan.module import GAN
from facegan.train import main

def write_digest(gan):
    digest = hashlib.sha256()
    for name, weights in gan.named_parameters():
        digest.update(weights.detach().contiguous().numpy().tobytes())
    Path(f"rank-{gan.global_rank}").write_text(digest.hexdigest())

GAN.on_train_end = write_digest
main()
"""


def train(folder: Path, *arguments: str) -> None:
    (folder / "train.py").write_text(SCRIPT)
    command = [sys.executable, "train.py", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_two_processes_train_and_resume(tmp_path: Path) -> None:
    train(
        tmp_path,
        *("model=lite", "model.generator.width=8", "model.discriminator.width=4"),
        "model.batch_size=32",
        *("data=generated", "data.count=300", "evaluate_every=0"),
        *("trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1"),
        "hydra.run.dir=run",
    )
    train(tmp_path, "resume=run", "trainer.max_epochs=2")
    run = tmp_path / "run"
    # each process had other images: without averaged gradients their weights would differ
    assert (tmp_path / "rank-0").read_text() == (tmp_path / "rank-1").read_text()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    # 270 faces are eight batches of 32, half of each per process; every result is logged once
    assert [line["images"] for line in lines] == [256, 512]
    assert len(list(run.glob("samples/epoch-*.png"))) == 2
    assert Generator.from_pretrained(run).config["width"] == 8
