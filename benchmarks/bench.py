"""Speed as ratios, which a noisy machine can measure: make bench

1. command_over_bare: images/s of `facegan train` over a bare PyTorch loop of the same networks
2. matmul_fraction: FLOP/s of lite's training step over those of a large matrix product, in fp32
3. bf16_over_fp32: images/s of lite's training step, as above
4. compiled_over_eager: the same, in the default precision of `facegan train`
5. pack_over_pillow: photographs/s of `prepare` over a bare Pillow loop on as many processes
6. help_over_hydra: seconds of `train --help` over `import hydra`
7. sample_over_torch: seconds of `sample`, ten PNGs, over `import torch, torchvision`

Each ratio is the median of several; each of these compares two consecutive measurements on the CPU.
Writes benchmarks/results/bench.json.
"""

import io
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from subprocess import DEVNULL

import torch
from environment import environment
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from facegan.cli.config import instantiate
from facegan.core.images import to_float, to_pil
from facegan.core.paths import CONFIG_PATH
from facegan.data.dataset import PackedDataset
from facegan.data.folder import FolderDataset
from facegan.gan.ema import update_ema
from facegan.gan.module import GAN, frozen
from facegan.networks.base import Generator
from facegan.training.build import default_precision
from facegan.training.run import build_model, train

REPEATS = 5
STEPS = 32  # of training, in one measurement
FACES = 8000  # in the training set: an epoch of about ten seconds
PHOTOGRAPHS = 12_000
RESULTS = Path(__file__).resolve().parent / "results" / "bench.json"


def config(folder: Path, *overrides: str) -> DictConfig:
    common = [
        f"data.packed_dir={folder}/packed",
        "evaluate_every=0",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
    ]
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        return compose(
            "train", ["model=lite", "+recipe=lite", "data=generated", *common, *overrides]
        )


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def autocast(in_bf16: bool = default_precision("cpu") == "bf16-mixed") -> torch.autocast:
    """The default precision of `facegan train`."""
    return torch.autocast("cpu", torch.bfloat16, enabled=in_bf16)


def bare_step(gan: GAN, real: Tensor, step: int) -> None:
    """The same arithmetic as GAN.training_step, without Lightning."""
    critic = gan.discriminator
    d_optimizer = gan.optimizer_by_name["discriminator"]
    g_optimizer = gan.optimizer_by_name["generator"]
    fake = gan.generator(torch.randn(len(real), gan.generator.latent_dim))
    real_logits, fake_logits = critic(real), critic(fake.detach())
    loss = gan.loss.discriminator(real_logits, fake_logits)
    penalty, _ = gan.penalty.lazy(step, critic, real, fake.detach())
    d_optimizer.zero_grad()
    (loss + penalty).backward()
    d_optimizer.step()
    with frozen(gan.discriminator):
        loss = gan.loss.generator(critic(fake), real_logits.detach())
        g_optimizer.zero_grad()
        loss.backward()
    g_optimizer.step()
    update_ema(gan.ema, gan.generator, 0.999)


def bare_epoch(gan: GAN, images: Tensor) -> None:
    order = torch.randperm(len(images))
    for step in range(len(images) // gan.batch_size):
        rows = order[step * gan.batch_size : (step + 1) * gan.batch_size]
        bare_step(gan, to_float(images[rows].permute(0, 3, 1, 2)), step)


def command_over_bare(folder: Path) -> list[float]:
    cfg = config(folder, f"data.count={FACES}")
    dataset: PackedDataset = instantiate(cfg.data, "data").dataset()
    images = torch.from_numpy(dataset.images[dataset.indices("train")])
    ratios = []
    for _ in range(REPEATS):
        gan = build_model(cfg.model)
        with autocast():
            bare = seconds(lambda gan=gan: bare_epoch(gan, images))
        run = folder / "run"
        train(cfg, run, resume=False)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        shutil.rmtree(run)
        ratios.append(bare / lines[-1]["seconds"])
    return ratios


def lite(folder: Path) -> tuple[GAN, Tensor]:
    gan = build_model(config(folder).model)
    return gan, torch.rand(gan.batch_size, 3, 28, 28).to(memory_format=torch.channels_last)


def some_steps(gan: GAN, real: Tensor) -> None:
    for step in range(STEPS):  # two of them with the penalty
        bare_step(gan, real, step)


def matmul_fraction(folder: Path) -> list[float]:
    gan, real = lite(folder)
    with FlopCounterMode(display=False) as counter:
        bare_step(gan, real, 1)  # without the penalty, which the counter cannot follow
    side = 2048
    a, b = torch.rand(side, side), torch.rand(side, side)
    ratios = []
    for _ in range(REPEATS):
        rate = 10 * 2 * side**3 / seconds(lambda: [a @ b for _ in range(10)])
        reached = STEPS * counter.get_total_flops() / seconds(lambda: some_steps(gan, real))
        ratios.append(reached / rate)
    return ratios


def bf16_over_fp32(folder: Path) -> list[float]:
    gan, real = lite(folder)
    ratios = []
    for _ in range(REPEATS):
        with autocast(False):
            plain = seconds(lambda: some_steps(gan, real))
        with autocast(True):
            ratios.append(plain / seconds(lambda: some_steps(gan, real)))
    return ratios


def compiled_over_eager(folder: Path) -> list[float]:
    (eager, real), (compiled, _) = lite(folder), lite(folder)
    compiled.compile_networks()
    ratios = []
    with autocast():
        some_steps(compiled, real)  # compiles
        for _ in range(REPEATS):
            plain = seconds(lambda: some_steps(eager, real))
            ratios.append(plain / seconds(lambda: some_steps(compiled, real)))
    return ratios


def make_photographs(folder: Path) -> None:
    """Synthetic faces as JPEGs of CelebA's size."""
    generator = Generator.from_pretrained("lite-28")
    for start in range(0, PHOTOGRAPHS, 500):
        faces = generator.sample(seeds=range(start, start + 500))
        for number, face in enumerate(faces, start):
            to_pil(face).resize((178, 218), Image.Resampling.BICUBIC).save(
                folder / f"{number:06}.jpg", quality=95
            )


def bare_pillow(paths: list[str]) -> list[bytes]:
    done = []
    for path in paths:
        photo = Image.open(io.BytesIO(Path(path).read_bytes())).convert("RGB")
        done.append(
            photo.resize((28, 28), Image.Resampling.BICUBIC, box=(35, 55, 143, 163)).tobytes()
        )
    return done


def bare_pack(photographs: Path, processes: int) -> None:
    paths = sorted(map(str, photographs.iterdir()))
    chunks = [paths[start : start + 256] for start in range(0, len(paths), 256)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        assert sum(len(done) for done in pool.map(bare_pillow, chunks)) == len(paths)


def pack_over_pillow(folder: Path) -> list[float]:
    photographs = folder / "photographs"
    photographs.mkdir()
    make_photographs(photographs)
    processes = len(os.sched_getaffinity(0))
    ratios = []
    for repeat in range(REPEATS):
        bare = seconds(lambda: bare_pack(photographs, processes))
        source = FolderDataset(
            str(photographs), str(folder / f"packed-{repeat}"), image_size=28, crop=108
        )
        ratios.append(bare / seconds(source.dataset))
    return ratios


def python(*arguments: str) -> float:
    return seconds(lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=DEVNULL))


def help_over_hydra(folder: Path) -> list[float]:
    return [
        python("-m", "facegan.train", "--help") / python("-c", "import hydra")
        for _ in range(3 * REPEATS)
    ]


def sample_over_torch(folder: Path) -> list[float]:
    return [
        python("-m", "facegan.sample") / python("-c", "import torch, torchvision")
        for _ in range(REPEATS)
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)  # keeps the checkout's outputs/latest
        measured = {
            measure.__name__: measure(folder)
            for measure in (
                command_over_bare,
                matmul_fraction,
                bf16_over_fp32,
                compiled_over_eager,
                pack_over_pillow,
                help_over_hydra,
                sample_over_torch,
            )
        }
    results = {
        name: {"median": statistics.median(ratios), "all": ratios}
        for name, ratios in measured.items()
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(environment() | results, indent=2) + "\n")
    for name, result in results.items():
        print(f"{name:20}{result['median']:.2f}  of {', '.join(f'{r:.2f}' for r in result['all'])}")


if __name__ == "__main__":
    main()
