"""Trains a flow-matching U-Net on the same photographs, for the same time as a GAN.

pip install diffusers
python benchmarks/flow.py DATASET 600 OUT [seed]
python -m facegan.evaluate images=OUT/10 data.root=PATH data.verify=false

DATASET is a folder that `facegan.prepare` or a training has packed. 600 is the time of training in
seconds. The network is a `UNet2DModel` of diffusers at the data's size, trained with the loss of
rectified flow (Liu et al. 2023, "Flow Straight and Fast", eq. 1) and averaged over the steps. OUT
must be new; for each number of Euler steps, 2,000 faces are written to OUT/STEPS as PNGs.
"""

import copy
import sys
import time
from pathlib import Path
from typing import Any

import torch
from peers import CHUNK, batches, parameters, write_pngs
from torch import Tensor, nn

from facegan.core.images import to_uint8
from facegan.data.dataset import open_dataset
from facegan.evaluation.features import images_of
from facegan.gan.ema import update_ema
from facegan.training.build import default_precision

STEPS = (1, 10, 50)  # of Euler's method, for one face
FACES = 2_000  # for each number of steps; 10,000 would take hours
BATCH = 64
LEARNING_RATE = 1e-3
EMA_DECAY = 0.998
TIME_SCALE = 1000  # the network's embedding expects times of [0, 1000], as in DDPM


def build_network(size: int) -> nn.Module:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=size,
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
    )


def velocity(network: nn.Module, x: Tensor, t: Tensor) -> Tensor:
    """The predicted dx/dt at images x, (B, 3, H, W), and times t, (B,) in [0, 1]."""
    bf16 = default_precision("cpu") == "bf16-mixed"
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        prediction: Any = network(x, t * TIME_SCALE)
    return prediction.sample.float()  # type: ignore[no-any-return]


def flow_loss(network: nn.Module, real: Tensor) -> Tensor:
    """The squared error of the velocity from noise at t = 0 to photographs at t = 1."""
    noise, t = torch.randn_like(real), torch.rand(len(real))
    x = torch.lerp(noise, real, t[:, None, None, None])
    return (velocity(network, x, t) - (real - noise)).square().mean()


@torch.no_grad()
def draw(network: nn.Module, count: int, steps: int, size: int) -> Tensor:
    """Euler's method from noise: (count, 3, size, size) in [-1, 1]."""
    x = torch.randn(count, 3, size, size)
    for step in range(steps):
        x = x + velocity(network, x, torch.full((count,), step / steps)) / steps
    return x.clamp(-1, 1)


def train(network: nn.Module, images: Tensor, seconds: float) -> tuple[nn.Module, int]:
    """Trains for some seconds; returns the averaged network and the number of images seen."""
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    reals, seen, began = batches(images, BATCH), 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * max(0.05, 1 - passed / seconds)
        real = next(reals)
        optimizer.zero_grad()
        flow_loss(network, real).backward()
        optimizer.step()
        seen += len(real)
        decay = min(EMA_DECAY, seen / (seen + 10 * BATCH))
        update_ema(average, network, decay)
    return average.eval(), seen


def main(dataset: str, seconds: str, out: str, seed: str = "0") -> None:
    folder = Path(out)
    folder.mkdir(parents=True)
    packed = open_dataset(Path(dataset))
    torch.manual_seed(int(seed))
    photographs = images_of(packed, packed.indices("train"))
    network, seen = train(build_network(packed.image_size), photographs, float(seconds))
    print(f"{parameters(network) / 1e6:.2f}M parameters, {seen:,} photographs seen", flush=True)
    for steps in STEPS:
        (folder / str(steps)).mkdir()
        began = time.perf_counter()
        for start in range(0, FACES, CHUNK):
            faces = draw(network, CHUNK, steps, packed.image_size)
            write_pngs(to_uint8(faces), folder / str(steps), start)
        took = time.perf_counter() - began
        print(f"{steps} steps: {1000 * took / FACES:.2f} ms for a face, with its PNG", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
