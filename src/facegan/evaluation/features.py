"""Feature extractors: uint8 images -> vectors whose distances measure similarity."""

import hashlib
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from facegan.core import pretrained
from facegan.core.console import progress_bar
from facegan.core.errors import FaceganError
from facegan.core.files import check_tensors, reading, write_tensors
from facegan.data.dataset import SPLITS, PackedDataset
from facegan.networks.attributes import AttributeNetwork, bundled_classifier
from facegan.networks.base import join

BATCH = 250  # images at a time


class FeatureExtractor(ABC):
    """Maps images to features. `labels` renames metrics that have another name in this space."""

    labels: Mapping[str, str] = {}
    resizing = "antialiased, to the network's size"

    @property
    @abstractmethod
    def key(self) -> str:
        """Names the network and its weights: features with different keys are not comparable."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8, any size -> (B, D) float32, on the images' device."""

    def __call__(
        self, images: Tensor, progress: str | None = None, device: torch.device | None = None
    ) -> Tensor:
        """(N, 3 or 1, H, W) uint8 -> (N, D) float32 on the CPU; `progress` is a bar's title.

        Computed on `device`; by default on a GPU if there is one.
        """
        return self.embed_batches(images.split(BATCH), len(images), progress, device)

    @torch.inference_mode()
    def embed_batches(
        self,
        batches: Iterable[Tensor],
        count: int,
        progress: str | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """The features of `count` images in batches, of which one is in memory at a time."""
        device = device or best_device()
        if progress:
            batches = progress_bar(batches, total=-(-count // BATCH), desc=progress)
        # the networks were trained on colours
        colours = (batch.expand(-1, 3, -1, -1).to(device) for batch in batches)
        return join((self.embed(batch).cpu() for batch in colours), count)


class AttributeFeatures(FeatureExtractor):
    """The pooled features of an attribute classifier: trained on faces, 50 times cheaper than
    Inception at 299 pixels. Images of another size are resized to the network's, antialiased.

    The default is the bundled classifier whose size is nearest to `image_size`; `weights` names
    another one.
    """

    def __init__(self, image_size: int = 28, weights: str | Path | None = None) -> None:
        if weights is None:
            self.network = bundled_classifier(image_size)
        else:
            self.network = pretrained.load(weights, AttributeNetwork)
        self.digest = pretrained.digest(self.network)

    @property
    def key(self) -> str:
        return f"attributes-{self.network.image_size}-{self.digest}"

    @property
    def attributes(self) -> tuple[str, ...]:
        return self.network.attributes

    def embed(self, images: Tensor) -> Tensor:
        return self.network.to(images.device).embed(images)

    @torch.inference_mode()
    def has_attributes(self, features: Tensor) -> Tensor:
        """The attributes that the classifier predicts: (N, D) on the CPU -> (N, A) bool."""
        return self.network.cpu().logits(features) > 0


class InceptionFeatures(FeatureExtractor):
    """The 2,048 pooled features of the TensorFlow Inception-v3 that FID is defined with
    (Heusel et al. 2017), by torch-fidelity, which resizes to 299 pixels as the original does.
    """

    labels: Mapping[str, str] = {"frechet_distance": "FID", "kernel_distance": "KID"}
    resizing = "to 299x299 by TensorFlow 1's bilinear filter"

    def __init__(self, weights: str | None = None) -> None:
        try:
            from torch_fidelity import feature_extractor_inceptionv3 as fidelity
        except ImportError as error:
            raise FaceganError(
                "features=inception needs torch-fidelity: pip install -e '.[inception]'"
            ) from error
        url = fidelity.URL_INCEPTION_V3
        path = Path(weights or Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2]))
        safe: dict[str, Any] = {"map_location": "cpu", "weights_only": True}
        try:  # first without code, which torch-fidelity would run
            if weights:
                torch.load(path, **safe)
            else:
                torch.hub.load_state_dict_from_url(url, check_hash=True, **safe)
            self.extractor: Any = fidelity.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise FaceganError(
                f"{path}: the weights of Inception-v3 cannot be read ({error}): download {url} and "
                "set evaluation.inception_weights to the file"
            ) from error
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()[:10]

    @property
    def key(self) -> str:
        return f"inception-{self.digest}"

    def embed(self, images: Tensor) -> Tensor:
        (features,) = self.extractor.to(images.device)(images)
        return features


def best_device() -> torch.device:
    """The device for drawing and embedding faces: a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def split_features(
    dataset: PackedDataset,
    split: str,
    extractor: FeatureExtractor,
    device: torch.device | None = None,
) -> Tensor:
    """The features of one split's faces, or of "all", (N, D), cached in the dataset's folder."""
    if split == "all":
        splits = [name for name in SPLITS if dataset.counts[name]]
        return torch.cat([split_features(dataset, s, extractor, device) for s in splits])
    path = dataset.path / f"features-{split}-{extractor.key}.safetensors"
    count = len(dataset.indices(split))
    if (cached := _cached_features(path, count)) is not None:
        return cached
    batches = _batches(dataset, split)
    features = extractor.embed_batches(batches, count, f"{split} faces", device)
    try:
        write_tensors(path, {"features": features})
    except OSError as error:  # the folder may be read-only
        print(f"the features of the {split} faces are not kept: {error}", flush=True)
    return features


def _cached_features(path: Path, count: int) -> Tensor | None:
    """The features in the cache, (count, D); None if they are missing or damaged."""
    if not path.exists():
        return None
    try:
        with reading(path, "remove it"), safe_open(path, framework="pt") as file:
            check_tensors(path, file.metadata() or {})
            features = cast(Tensor, file.get_tensor("features"))
    except FaceganError:
        return None
    return features if features.ndim == 2 and len(features) == count else None


def _batches(dataset: PackedDataset, split: str) -> Iterator[Tensor]:
    """The faces of one split in batches, (up to BATCH, C, H, W) uint8, read one at a time."""
    rows = dataset.indices(split)
    for start in range(0, len(rows), BATCH):
        yield images_of(dataset, rows[start : start + BATCH])
        dataset.release_memory()


def images_of(dataset: PackedDataset, rows: NDArray[np.int64]) -> Tensor:
    """The faces of `rows`, (N,), copied: (N, C, H, W) uint8 in channels_last."""
    return torch.from_numpy(dataset.images[rows]).permute(0, 3, 1, 2)
