"""From a config to a judgement: draw or read the faces, measure them, write the report."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from facegan import pretrained
from facegan._files import atomic_path, write_json
from facegan.config import ConfigError, instantiate
from facegan.data.dataset import PackedDataset
from facegan.data.pack import pack
from facegan.data.photos import open_photos
from facegan.errors import FaceganError
from facegan.evaluation.coverage import AttributeShare, attribute_coverage
from facegan.evaluation.features import (
    AttributeFeatures,
    FeatureExtractor,
    best_device,
    split_features,
    split_images,
)
from facegan.evaluation.metrics import (
    MIN_FACES,
    Measure,
    NearestPairs,
    measure_distances,
    measure_manifolds,
    measure_memorization,
)
from facegan.evaluation.report import html_page, text_table
from facegan.networks.base import Generator
from facegan.sampling.latents import latents

SHOWN = 128  # faces in the report's grid


@dataclass(frozen=True)
class Evaluation:
    """What is known of a set of generated faces."""

    measures: dict[str, Measure]
    coverage: list[AttributeShare]
    nearest_pairs: NearestPairs


def evaluate(cfg: DictConfig) -> None:
    """Judges what `cfg` names, prints a table, and writes evaluation.json and evaluation.html."""
    if cfg.evaluation.faces < MIN_FACES:
        raise ConfigError(
            f"evaluation.faces must be at least {MIN_FACES}, got {cfg.evaluation.faces}; try 10000"
        )
    extractor = instantiate(cfg.features, "features")
    faces = _faces(cfg)
    dataset = instantiate(cfg.data, "data").dataset()
    _check_data(cfg, dataset, faces)
    evaluation = evaluate_faces(dataset, cfg.evaluation.split, faces, extractor)
    facts = _facts(cfg, dataset, faces, extractor)
    labels = {"frechet_distance": extractor.frechet, "kernel_distance": extractor.kernel}
    run = pretrained.run_folder(cfg.weights) if cfg.images is None else None
    out = Path(cfg.out or run or "outputs/evaluation")
    print(text_table(evaluation.measures, labels))
    write_json(out / "evaluation.json", {"facts": facts, **dataclasses.asdict(evaluation)})
    with atomic_path(out / "evaluation.html") as temporary:
        page = _page(facts, evaluation, labels, faces, dataset)
        temporary.write_text(page, encoding="utf-8")
    print(f"{out / 'evaluation.html'} shows faces, attribute coverage and nearest neighbours")


def evaluate_faces(
    dataset: PackedDataset, split: str, faces: Tensor, extractor: FeatureExtractor
) -> Evaluation:
    """Measures `faces`, (N, 3, H, W) uint8, against the dataset's held-out and training faces."""
    attributes = extractor if isinstance(extractor, AttributeFeatures) else AttributeFeatures()
    fake = extractor(faces, "generated faces")
    held_out = split_features(dataset, split, extractor, progress=True)
    training = split_features(dataset, "train", extractor, progress=True)
    memorization, nearest_pairs = measure_memorization(held_out, training, fake)
    coverage = attribute_coverage(
        attributes.has_attributes(split_features(dataset, "train", attributes, progress=True)),
        attributes.has_attributes(
            fake if attributes is extractor else attributes(faces, "their attributes")
        ),
        attributes.attributes,
    )
    measures = {
        **measure_distances(held_out, training, fake),
        **measure_manifolds(held_out, training, fake),
        **memorization,
    }
    return Evaluation(measures, coverage, nearest_pairs)


def _faces(cfg: DictConfig) -> Tensor:
    """The faces to judge: (N, 3, H, W) uint8, drawn from weights or read from images."""
    if cfg.images is not None:
        return read_images(Path(cfg.images), cfg.evaluation.faces, cfg.data.image_size)
    generator = Generator.from_pretrained(cfg.weights)
    seed = cfg.evaluation.seed
    z = latents(range(seed, seed + cfg.evaluation.faces), generator.latent_dim)
    return generator.to(best_device()).draw(z, progress="drawing faces")


def read_images(root: Path, count: int, image_size: int) -> Tensor:
    """At most `count` images of a folder or zip, spread over it: (N, 3, H, W) uint8.

    Images of another size or shape give their largest centre square, resized.
    """
    photos = open_photos(root, "images")
    names = photos.names()
    rows = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "images.npy"
        pack(photos, [names[row] for row in rows], None, image_size, packed)
        return torch.from_numpy(np.load(packed)).permute(0, 3, 1, 2)


def _check_data(cfg: DictConfig, dataset: PackedDataset, faces: Tensor) -> None:
    size, held_out = faces.shape[-1], dataset.manifest["counts"][cfg.evaluation.split]
    if size != dataset.image_size:
        raise ConfigError(
            f"weights={cfg.weights} makes faces of {size} pixels, the data has "
            f"{dataset.image_size}; judge it with data.image_size={size}"
        )
    if min(len(faces), held_out) < MIN_FACES:
        raise FaceganError(
            f"{len(faces)} generated faces cannot be judged by {held_out} faces of the "
            f"{cfg.evaluation.split} split: at least {MIN_FACES} are needed on both sides"
        )


def _facts(
    cfg: DictConfig, dataset: PackedDataset, faces: Tensor, extractor: FeatureExtractor
) -> dict[str, str]:
    size = faces.shape[-1]
    judged = {"images": str(cfg.images)}
    if cfg.images is None:
        seen = pretrained.metadata(cfg.weights).get("images_seen", "unknown")
        seeds = f"seeds from {cfg.evaluation.seed} on"
        judged = {"weights": cfg.weights, "images seen": seen, "drawn": seeds}
    counts = dataset.manifest["counts"]
    return {
        **judged,
        "faces": f"{len(faces)} of {size}x{size}",
        "against": f"{counts[cfg.evaluation.split]} faces of the {cfg.evaluation.split} split, "
        f"{counts['train']} of the train split",
        "dataset": dataset.path.name,
        "features": extractor.key,
    }


def _page(
    facts: dict[str, str],
    evaluation: Evaluation,
    labels: dict[str, str],
    faces: Tensor,
    dataset: PackedDataset,
) -> str:
    nearest_pairs = evaluation.nearest_pairs
    training = split_images(dataset, "train")
    return html_page(
        title="Evaluation of generated faces",
        facts=facts,
        measures=evaluation.measures,
        labels=labels,
        coverage=evaluation.coverage,
        faces=faces[:SHOWN],
        pairs=(faces[nearest_pairs.generated], training[nearest_pairs.training]),
        distances=nearest_pairs.distances,
    )
