"""Two processes on the CPU train one model."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY, logged

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


ARGUMENTS = (
    *TINY,
    *("model.batch_size=32", "data=generated", "data.count=300", "evaluate_every=0"),
    "trainer.log_every_n_steps=1",
)
TWO = "trainer.devices=2"


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """The script above, by Python with these words before its arguments."""
    (folder / "train.py").write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def torchrun(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Two processes of the script, started by torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}")
    return start(folder, *launcher, "train.py", *arguments)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=300)
    return process.returncode, out


def train(folder: Path, *arguments: str) -> None:
    code, out = finish(start(folder, "train.py", *arguments))
    assert code == 0, out


def images(run: Path) -> list[int]:
    return [int(line["images"]) for line in logged(run)]


def test_two_processes_train_and_resume_as_one(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tmp_path, *ARGUMENTS, TWO, "trainer.max_epochs=1", "hydra.run.dir=run")
    # each process had other images: without averaged gradients their weights would differ
    assert (tmp_path / "rank-0").read_text() == (tmp_path / "rank-1").read_text()
    code, out = finish(torchrun(tmp_path, "resume=run", TWO, "trainer.max_epochs=2"))
    assert code == 0, out
    assert (tmp_path / "rank-0").read_text() == (tmp_path / "rank-1").read_text()
    train(tmp_path, "resume=run", "trainer.devices=1", "trainer.max_epochs=3")
    # 270 faces are eight batches of 32, half of each per process; every result is logged once
    assert images(run) == [*range(32, 3 * 256 + 1, 32)]
    assert len(list(run.glob("samples/epoch-*.png"))) == 4
    assert Generator.from_pretrained(run).config["width"] == 8
    code, out = finish(torchrun(tmp_path, *ARGUMENTS, TWO, "hydra.run.dir=run"))
    assert code != 0
    assert "has a finished run already" in out


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_the_end_of_one_process_ends_the_other(signum: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    much = (TWO, "trainer.max_epochs=100000", "hydra.run.dir=run")
    launcher = torchrun(tmp_path, *ARGUMENTS, *much)
    while not (run / "checkpoints/last.ckpt").exists():
        assert launcher.poll() is None, finish(launcher)
        time.sleep(0.2)
    text = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    workers = [int(pid) for pid in text.split()]
    os.kill(workers[-1], signum)
    code, out = finish(launcher)
    assert code != 0
    assert signum == signal.SIGKILL or "ended by SIGTERM; its state is saved" in out, out
    train(tmp_path, "resume=run", "trainer.devices=1", "trainer.max_images=1")
