"""Trains GANs of other libraries on the same photographs, for the same time, on the CPU.

pip install lightweight-gan
pip install --no-deps torch-mimicry
python benchmarks/peers.py mimicry DATASET 600 OUT [seed]
python benchmarks/peers.py lightweight DATASET 600 OUT [seed]
python -m facegan.evaluate images=OUT data.root=PATH data.verify=false

DATASET is a folder that `facegan.prepare` or a training has packed. 600 is the time of training in
seconds, without set-up and sampling; the last step is finished. OUT must be new; 10,000 faces are
written to it as PNGs. Both libraries train their own networks with their own training steps at 32
pixels, their closest size to 28; photographs and faces are resized. torch-mimicry is installed
without its requirements: TensorFlow and others serve its metrics and data sets only, which are not
used here.
"""

import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegan.core.images import save_image, to_float, to_pil, to_uint8
from facegan.data.dataset import PackedDataset, open_dataset

SIZE = 32
FACES = 10_000
CHUNK = 500  # images at a time, so that their floats fit into memory


@dataclass(frozen=True)
class Trained:
    """A trained GAN of another library."""

    draw: Callable[[int], Tensor]  # N -> (N, 3, SIZE, SIZE) in [-1, 1]
    generator: nn.Module
    discriminator: nn.Module
    photographs: int  # seen by the discriminator
    updates: int  # of the generator
    seconds: float


def resized(images: Tensor, size: int) -> Tensor:
    """(N, 3, H, W) uint8 or in [-1, 1] -> (N, 3, size, size) uint8."""
    floats = to_float(images) if images.dtype == torch.uint8 else images
    return to_uint8(F.interpolate(floats, (size, size), mode="bicubic", antialias=True))


def training_photographs(dataset: PackedDataset) -> Tensor:
    """(N, 3, SIZE, SIZE) uint8."""
    rows = torch.from_numpy(dataset.indices("train"))
    return torch.cat(
        [
            resized(torch.from_numpy(dataset.images[chunk.numpy()]).permute(0, 3, 1, 2), SIZE)
            for chunk in rows.split(CHUNK)
        ]
    )


def write_pngs(images: Tensor, folder: Path, start: int = 0) -> None:
    for number, image in enumerate(images, start):
        save_image(to_pil(image), folder / f"{number:06}.png")


def batches(photographs: Tensor, size: int) -> Iterator[Tensor]:
    """Endless batches of photographs in [-1, 1], shuffled in every epoch."""
    while True:
        for rows in torch.randperm(len(photographs)).split(size):
            yield to_float(photographs[rows])


# torch-mimicry: SNGAN as in its README and its tables, the linear decay over the time given


def import_mimicry() -> tuple[Any, Any]:
    # its __init__ imports these, which import TensorFlow and lmdb; none is used here
    for unused in ("torch_mimicry.metrics", "torch_mimicry.datasets", "skimage"):
        sys.modules[unused] = MagicMock()
    from torch_mimicry import training  # type: ignore
    from torch_mimicry.nets import sngan  # type: ignore

    return sngan, training


def mimicry(photographs: Tensor, seconds: float) -> Trained:
    # the library's Trainer cannot stop after a time, so this is a loop of its training steps
    sngan, training = import_mimicry()
    generator, discriminator = sngan.SNGANGenerator32(), sngan.SNGANDiscriminator32()
    g_optimizer = torch.optim.Adam(generator.parameters(), 2e-4, betas=(0.0, 0.9))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), 2e-4, betas=(0.0, 0.9))
    # its "steps" are seconds here
    decay = training.LRScheduler("linear", d_optimizer, g_optimizer, num_steps=seconds)
    reals = batches(photographs, 64)
    seen = updates = d_updates = 0
    log = training.MetricLog()
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        real = (next(reals), None)  # no labels
        discriminator.train_step(real, netG=generator, optD=d_optimizer, log_data=log)
        seen += len(real[0])
        d_updates += 1
        if d_updates % 5 == 0:
            generator.train_step(real, netD=discriminator, optG=g_optimizer, log_data=log)
            updates += 1
            decay.step(log, passed)
    generator.eval()  # as its metrics do
    return Trained(generator.generate_images, generator, discriminator, seen, updates, passed)


# lightweight-gan: its command line with its defaults, except for the size


def import_lightweight() -> tuple[Any, Any]:
    # its import fails without a GPU
    with patch.object(torch.cuda, "is_available", lambda: True):
        from lightweight_gan import cli, lightweight_gan  # type: ignore

    return cli, lightweight_gan


@contextlib.contextmanager
def on_the_cpu(library: Any) -> Iterator[None]:
    """Makes lightweight-gan, which supports GPUs only, compute on the CPU."""
    cpu = SimpleNamespace(**{**vars(torch), "device": lambda _: torch.device("cpu")})
    with (
        patch.object(library, "torch", cpu),  # its Trainer uses device("cuda:0")
        patch.object(Tensor, "cuda", lambda tensor, *_: tensor),
        patch.object(nn.Module, "cuda", lambda module, *_: module),
    ):
        yield


class StopWatch:
    """Replaces lightweight-gan's Trainer.train: trains and counts until the time is over."""

    def __init__(self, train: Callable[[Any], None], seconds: float) -> None:
        self.train = train
        self.seconds = seconds
        self.passed = 0.0
        self.began: float | None = None
        self.trainer: Any = None

    def step(self, trainer: Any) -> None:
        self.trainer = trainer
        self.began = self.began or time.perf_counter()  # the first step comes after the set-up
        self.passed = time.perf_counter() - self.began
        if self.passed >= self.seconds:
            raise TimeoutError
        self.train(trainer)


def lightweight(photographs: Tensor, seconds: float) -> Trained:
    cli, library = import_lightweight()
    watch = StopWatch(library.Trainer.train, seconds)
    with (
        tempfile.TemporaryDirectory() as name,
        on_the_cpu(library),
        patch.object(library.Trainer, "train", lambda trainer: watch.step(trainer)),
        # sample images during training would cost time
        patch.object(library.Trainer, "evaluate", lambda *_, **__: None),
    ):
        folder = Path(name)
        (folder / "photographs").mkdir()
        write_pngs(photographs, folder / "photographs")
        with contextlib.suppress(TimeoutError):
            cli.train_from_folder(
                data=str(folder / "photographs"),
                results_dir=str(folder / "results"),
                models_dir=str(folder / "models"),
                image_size=SIZE,
            )
    trainer = watch.trainer
    trainer.GAN.eval()  # as its own sampling does
    # its average starts at step 20,000; until then it is a copy up to 1000 steps old
    generator = trainer.GAN.GE if trainer.steps > 20_000 else trainer.GAN.G

    def draw(count: int) -> Tensor:
        latents = torch.randn(count, trainer.latent_dim)
        return 2 * trainer.generate_(generator, latents) - 1

    seen = trainer.steps * trainer.batch_size * trainer.gradient_accumulate_every
    return Trained(
        draw, generator, trainer.GAN.D, seen, updates=trainer.steps, seconds=watch.passed
    )


PEERS = {"mimicry": mimicry, "lightweight": lightweight}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def write_faces(trained: Trained, size: int, folder: Path) -> None:
    for start in range(0, FACES, CHUNK):
        with torch.no_grad():
            faces = trained.draw(min(CHUNK, FACES - start))
        write_pngs(resized(faces, size), folder, start)


def main(peer: str, dataset: str, seconds: str, out: str, seed: str = "0") -> None:
    folder = Path(out)
    folder.mkdir(parents=True)
    packed = open_dataset(Path(dataset))
    torch.manual_seed(int(seed))
    random.seed(int(seed))  # lightweight-gan's augmentation draws from it
    trained = PEERS[peer](training_photographs(packed), float(seconds))
    print(
        f"{peer}: {trained.photographs} photographs seen and {trained.updates} updates of the "
        f"generator in {trained.seconds:.1f} s; parameters: {parameters(trained.generator)} of "
        f"the generator, {parameters(trained.discriminator)} of the discriminator"
    )
    write_faces(trained, packed.image_size, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
