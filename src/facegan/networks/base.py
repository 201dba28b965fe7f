"""The contract of every architecture: the base classes of generators and discriminators."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegan.core import pretrained
from facegan.core.checks import check_number
from facegan.core.console import progress_bar
from facegan.core.images import to_uint8
from facegan.core.provenance import Provenance
from facegan.networks.labels import LabelTable
from facegan.networks.latents import latents

CPU_BATCH, GPU_BATCH = 4, 64  # images of a forward pass of `draw`; one face costs as much as four


class FaceNetwork(nn.Module):
    """A network on images of one shape, which `config` rebuilds.

    A subclass passes all of its constructor arguments to `super().__init__`, which keeps them in
    `config`. A weights file stores it: `Subclass(**network.config)` rebuilds the network.
    """

    def __init__(self, image_size: int, channels: int, **structure: Any) -> None:
        super().__init__()
        check_number("channels", channels, 1, 4)
        self.image_size = image_size
        self.channels = channels
        self.config = {"image_size": image_size, "channels": channels, **structure}
        self.labels: LabelTable | None = None  # of a conditional network

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.image_size, self.image_size

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def condition_on(self, labels: Mapping[str, Any]) -> None:
        """Makes the network conditional; `labels` are the arguments of its `LabelTable`.

        Raises ValueError for impossible ones.
        """
        self.labels = LabelTable(**labels)
        self.config["labels"] = self.labels.config
        self.embedding = nn.Linear(len(self.labels.names), self.embedding_dim(), bias=False)

    def embedding_dim(self) -> int:
        """The number of values that a label is embedded in."""
        raise NotImplementedError(f"{type(self).__name__} cannot be conditional")


class Generator(FaceNetwork):
    """Latents z ~ N(0, 1), (B, latent_dim) -> images in [-1, 1], (B, channels, size, size).

    If it is conditional, a linear embedding of the labels is added to z.
    """

    def __init__(self, latent_dim: int, image_size: int, channels: int, **structure: Any) -> None:
        super().__init__(image_size, channels, latent_dim=latent_dim, **structure)
        check_number("latent_dim", latent_dim, 1, 8192)
        self.latent_dim = latent_dim
        self.source: Path | None = None  # the file of the weights
        self.license = ""  # terms of the weights

    @classmethod
    def from_pretrained(cls, source: str | Path) -> Self:
        """A generator in eval mode: bundled ("full-64"), of a run folder, of a safetensors file.

        Also hf:OWNER/REPOSITORY/FILE and https://…/FILE#sha256=…, which are downloaded first.

        Raises `FaceganError` for what is missing, damaged, foreign or of another kind.
        """
        path = pretrained.find(source)
        generator = pretrained.load(path, cls)
        generator.source = path
        generator.license = pretrained.metadata(path).get("license", "")
        return generator

    def save_pretrained(self, path: str | Path, about: dict[str, str] | None = None) -> None:
        """Writes weights and config as one safetensors file; `about` is added to its metadata."""
        pretrained.save(self, Path(path), about)

    def sample(
        self,
        n: int | None = None,
        seeds: Iterable[int] | None = None,
        truncation: float = 1.0,
        attributes: Mapping[str, float] | None = None,
    ) -> Tensor:
        """Draws faces: uint8 (N, channels, size, size), on the CPU, in the order of `seeds`.

        Give either `seeds`, one face each, or `n` for the seeds 0 … n-1. `truncation` scales the
        latents: below 1 it trades variety for likelier faces. A seed has the same latent on every
        machine. On one machine it also has the same bytes, whatever other seeds are drawn with it;
        on another machine, device or number of threads, pixels may differ by one level.

        `attributes`: of a conditional generator, what the faces have (True), lack (False), or have
        in a share of the seeds (0.5). The others follow the training data. Raises ValueError for
        names that the generator does not know.
        """
        if (n is None) == (seeds is None) or (n or 0) < 0:
            raise ValueError(f"give n, at least 0, or seeds, not both; got n={n}, seeds={seeds}")
        chosen = range(n or 0) if seeds is None else seeds
        return self.draw(self.latents(chosen, truncation, attributes))

    @torch.no_grad()
    def latents(
        self,
        seeds: Iterable[int],
        truncation: float = 1.0,
        attributes: Mapping[str, float] | None = None,
    ) -> Tensor:
        """The latents that `sample` draws, labels included: (N, latent_dim), on the CPU."""
        check_number("truncation", truncation, 0, 10, whole=False)
        seeds = [*seeds]
        z = latents(seeds, self.latent_dim) * truncation
        if attributes and self.labels is None:
            raise ValueError(
                f"these weights have no labels to order {', '.join(attributes)} by: take weights "
                'with labels, such as "labels-28", or search for seeds by facegan.find_seeds'
            )
        return z if self.labels is None else self.condition(z, self.labels.draw(seeds, attributes))

    def condition(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """(B, latent_dim) and labels (B, A) in [-1, 1], or None -> the network's input, as z."""
        return z if labels is None else z + F.linear(labels.to(z), self.embedding.weight.to(z))

    def embedding_dim(self) -> int:
        return self.latent_dim

    def provenance(
        self, seeds: Iterable[int] = (), truncation: float = 1.0, **facts: Any
    ) -> Provenance:
        """The facts of sampled faces, for the mark of their file; `facts`: others, such as edit."""
        weights, text = pretrained.digest(self), ",".join(map(str, seeds))
        return Provenance(weights, text, float(truncation), license=self.license, **facts)

    @torch.no_grad()
    def draw(self, z: Tensor, progress: str | None = None) -> Tensor:
        """Images of latents, in eval mode: (N, latent_dim) -> uint8 (N, C, H, W), on the CPU.

        `progress` is the title of a progress bar.
        """
        size = CPU_BATCH if self.device.type == "cpu" else GPU_BATCH
        batches = progress_bar(z.split(size), desc=progress, disable=progress is None)
        with eval_mode(self):
            faces = (to_uint8(self._draw_batch(batch, size)).cpu() for batch in batches)
            return join(faces, len(z))

    def _draw_batch(self, z: Tensor, size: int) -> Tensor:
        """(B, latent_dim) -> (B, C, H, W), as part of a batch of `size`.

        Libraries choose a kernel, and with it the order of a sum, by the shape of a batch. All
        batches have one shape, so that the result for one latent does not depend on the others.
        """
        padded = F.pad(z, (0, 0, 0, size - len(z))).to(next(self.parameters()))
        return self(padded)[: len(z)]


class Discriminator(FaceNetwork):
    """Images in [-1, 1], (B, channels, size, size) -> one logit each, (B,): positive means real.

    With labels, (L, A), it returns the logits of each image with each of them, (B, L). The product
    of their embedding with the features is added to the logit: the projection of Miyato and Koyama
    2018 ("cGANs with Projection Discriminator"), eq. 3. The product is divided by the root of the
    number of features, so that it does not depend on it.
    """

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.features(images)
        logits = self.logits(features)  # (B,)
        if labels is None:
            return logits
        flat = features.flatten(1).float()
        embedded = self.embedding(labels).float()  # (L, features)
        with torch.autocast(flat.device.type, enabled=False):
            return logits[:, None] + flat @ embedded.T / flat.shape[1] ** 0.5

    def features(self, images: Tensor) -> Tensor:
        """The input of the last layer: (B, channels, size, size) -> (B, …)."""
        raise NotImplementedError

    def logits(self, features: Tensor) -> Tensor:
        """The last layer, in fp32 for the losses under autocast: (B, …) -> (B,)."""
        raise NotImplementedError

    def condition_on(self, labels: Mapping[str, Any]) -> None:
        super().condition_on(labels)
        nn.init.zeros_(self.embedding.weight)

    def embedding_dim(self) -> int:
        if type(self).features is Discriminator.features:
            raise ValueError(
                f"{type(self).__name__} cannot be conditional: it has a forward of its own, "
                "instead of features and logits"
            )
        image = torch.zeros(1, *self.image_shape, device=self.device)
        with eval_mode(self), torch.no_grad():
            return self.features(image).numel()


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Within the block, `network` is in eval mode."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def join(parts: Iterable[Tensor], count: int) -> Tensor:
    """torch.cat of parts with `count` rows in all, of which only one is kept at a time.

    Many small results between the large ones of the layers would fragment the memory.
    """
    whole, start = torch.empty(0), 0
    for part in parts:
        if start == 0:
            channels_last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if channels_last else torch.contiguous_format
            shape = (count, *part.shape[1:])
            whole = torch.empty(shape, dtype=part.dtype, memory_format=layout)
        whole[start : start + len(part)] = part
        start += len(part)
    return whole
