"""Does every metric react in the right direction? Corrupted real photographs are evaluated.

python benchmarks/measures.py data.root=PATH data.verify=false +trained=outputs/latest
python benchmarks/measures.py data.root=PATH data.verify=false data.image_size=64 data.crop=148

Half of the training photographs are the training set, the other half the generated faces; the
held-out ones are the test split. Prints a Markdown table (docs/evaluation.md).
"""

import sys
from collections.abc import Callable

import hydra
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from facegan.cli.config import instantiate
from facegan.core.images import to_float, to_uint8
from facegan.core.paths import CONFIG_PATH
from facegan.data.dataset import PackedDataset
from facegan.evaluation.coverage import attribute_coverage
from facegan.evaluation.distances import subsample
from facegan.evaluation.features import AttributeFeatures, images_of
from facegan.evaluation.metrics import METRICS, Comparison, Photographs, measure
from facegan.networks.base import Generator
from facegan.networks.dcgan import DCGANGenerator

COUNT = 3500  # faces in every row but that of the copies
SHIFT = 1 / 7  # of the width


def rescaled(images: Tensor, size: int) -> Tensor:
    """Down to `size` pixels and up again, antialiased, which removes detail only."""
    small = F.interpolate(to_float(images), (size, size), mode="bicubic", antialias=True)
    return to_uint8(F.interpolate(small, images.shape[-2:], mode="bicubic", antialias=True))


def noisy(images: Tensor) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    return to_uint8(to_float(images) + 0.2 * torch.randn(images.shape, generator=stream))


def moved(images: Tensor) -> Tensor:
    """A shifted crop, with the border repeated."""
    shift = round(SHIFT * images.shape[-1])
    padded = F.pad(images.float(), [shift, 0, shift, 0], mode="replicate").to(torch.uint8)
    return padded[:, :, : images.shape[2], : images.shape[3]]


def variants(dataset: PackedDataset, images: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The table's rows from real photographs; `images` are those of the train split."""
    rows = dataset.indices("train")
    even, odd = torch.arange(0, len(rows), 2), torch.arange(1, len(rows), 2)
    male = torch.from_numpy(dataset.labels.attributes[rows][:, _column(dataset, "Male")])
    identities = torch.from_numpy(dataset.labels.identities[rows])
    generated, size = images[odd], dataset.image_size
    return {
        "real photographs": lambda: generated,
        "half of the identities": lambda: generated[identities[odd] % 2 == 0],
        "only men": lambda: generated[male[odd]],
        "only women": lambda: generated[~male[odd]],
        "noise (σ = 0.1 of the range)": lambda: noisy(generated),
        "blur (σ = 1 pixel)": lambda: gaussian_blur(generated, [7, 7], [1.0, 1.0]),
        f"down to {size // 2} pixels and up": lambda: rescaled(generated, size // 2),
        f"down to {size // 4} pixels and up": lambda: rescaled(generated, size // 4),
        f"crop shifted by {round(SHIFT * size)} pixels": lambda: moved(generated),
        "1,000 copies of one face": lambda: generated[:1].expand(1000, -1, -1, -1),
        "the training set itself": lambda: images[even],
    }


def _column(dataset: PackedDataset, attribute: str) -> int:
    return dataset.labels.attribute_names.index(attribute)


@hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name="prepare")
def main(cfg: DictConfig) -> None:
    dataset = instantiate(cfg.data, "data").dataset()
    extractor = AttributeFeatures(dataset.image_size)
    images = images_of(dataset, dataset.indices("train"))
    held_out = extractor(images_of(dataset, dataset.indices("test")))
    training = extractor(images[0::2])
    real = extractor.has_attributes(training)
    torch.manual_seed(0)
    generators: dict[str, Generator] = {
        "an untrained generator": DCGANGenerator(64, width=160, image_size=dataset.image_size),
    }
    if "trained" in cfg:
        name = f"a trained generator ({cfg.trained})"
        generators[name] = Generator.from_pretrained(cfg.trained)
    rows = variants(dataset, images) | {
        name: lambda network=network: network.sample(n=COUNT)
        for name, network in generators.items()
    }
    labels = " | ".join(metric.label for metric in METRICS)
    print("| used as generated faces |", labels, "| most under-represented |")
    print("|---|" + "---|" * (len(METRICS) + 1))
    photographs = Photographs(held_out, training)
    for name, make in rows.items():
        fake = subsample(extractor(make()), COUNT) if name[:5] != "1,000" else extractor(make())
        measures = measure(Comparison(photographs, fake, min(len(fake), len(training))))
        under = attribute_coverage(real, extractor.has_attributes(fake), extractor.attributes)[0]
        numbers = " | ".join(f"{result.value:.3g}" for result in measures.values())
        share = f"{under.name} {under.reference:.1%} → {under.generated:.1%}"
        print(f"| {name} | {numbers} | {share} |", flush=True)


if __name__ == "__main__":
    sys.argv.append("hydra/job_logging=none")
    main()
