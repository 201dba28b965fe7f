"""Two processes on the CPU train one model."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY

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


ARGUMENTS = (
    *TINY,
    "model.batch_size=32",
    "data=generated",
    "data.count=300",
    "evaluate_every=0",
    "trainer.log_every_n_steps=1",
)


def torchrun(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Two processes of the script above, begun by torchrun."""
    (folder / "train.py").write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    return subprocess.Popen(
        [sys.executable, *launcher, "train.py", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=300)
    return process.returncode, out


def images(run: Path) -> list[int]:
    return [json.loads(line)["images"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_torchrun_from_one_device_to_two_and_back(tmp_path: Path) -> None:
    two, run = ("trainer.devices=2",), tmp_path / "run"
    train(tmp_path, *ARGUMENTS, "trainer.max_epochs=1", "hydra.run.dir=run")
    code, out = finish(torchrun(tmp_path, "resume=run", *two, "trainer.max_epochs=2"))
    assert code == 0, out
    assert (tmp_path / "rank-0").read_text() == (tmp_path / "rank-1").read_text()
    train(tmp_path, "resume=run", "trainer.devices=1", "trainer.max_epochs=3")
    assert images(run) == [*range(32, 3 * 256 + 1, 32)]
    code, out = finish(torchrun(tmp_path, *ARGUMENTS, *two, "hydra.run.dir=run"))
    assert code != 0
    assert "holds a finished run already" in out


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_the_end_of_one_process_ends_the_other(signum: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    much = ("trainer.devices=2", "trainer.max_epochs=100000", "hydra.run.dir=run")
    launcher = torchrun(tmp_path, *ARGUMENTS, *much)
    while not (run / "checkpoints/last.ckpt").exists():
        assert launcher.poll() is None, finish(launcher)
        time.sleep(0.2)
    text = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    workers = [int(pid) for pid in text.split()]
    os.kill(workers[-1], signum)
    code, out = finish(launcher)
    assert code != 0
    words = {
        signal.SIGKILL: "another process of this training has ended",
        signal.SIGTERM: "ended by",
    }
    assert words[signum] in out, out
    train(tmp_path, "resume=run", "trainer.devices=1", "trainer.max_images=1")
