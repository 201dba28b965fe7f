"""From a config to a judgement: draw or read the faces, measure them, write the report."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from facegan import pretrained, sampling
from facegan.config import ConfigError, build
from facegan.data.archive import Archive
from facegan.data.pack import pack
from facegan.data.photos import open_photos
from facegan.errors import FaceganError
from facegan.evaluation.coverage import AttributeShare, attribute_coverage
from facegan.evaluation.features import (
    AttributeFeatures,
    FeatureSpace,
    best_device,
    split_features,
    split_images,
)
from facegan.evaluation.judge import (
    LEAST_FACES,
    Measure,
    Suspects,
    measure_distances,
    measure_manifolds,
    measure_originality,
)
from facegan.evaluation.report import html_page, text_table
from facegan.files import replacing, write_json
from facegan.networks.base import Generator

SHOWN = 128  # faces in the report's grid


@dataclass(frozen=True)
class Evaluation:
    """What is known of a set of generated faces."""

    measures: dict[str, Measure]
    coverage: list[AttributeShare]
    suspects: Suspects


def evaluate(cfg: DictConfig) -> None:
    """Judges what `cfg` names, prints a table, and writes evaluation.json and evaluation.html."""
    if cfg.evaluation.faces < LEAST_FACES:
        raise ConfigError(
            f"evaluation.faces must be at least {LEAST_FACES}, got {cfg.evaluation.faces}; "
            "try 10000"
        )
    space = build(cfg.features, "features")
    faces = _faces(cfg)
    archive = build(cfg.data, "data").archive()
    _check_data(cfg, archive, faces)
    evaluation = judge(archive, cfg.evaluation.split, faces, space)
    facts = _facts(cfg, archive, faces, space)
    labels = {"frechet_distance": space.frechet, "kernel_distance": space.kernel}
    run = pretrained.run_folder(cfg.weights) if cfg.images is None else None
    out = Path(cfg.out or run or "outputs/evaluation")
    print(text_table(evaluation.measures, labels))
    write_json(out / "evaluation.json", {"facts": facts, **dataclasses.asdict(evaluation)})
    with replacing(out / "evaluation.html") as temporary:
        page = _page(facts, evaluation, labels, faces, archive)
        temporary.write_text(page, encoding="utf-8")
    print(f"{out / 'evaluation.html'} shows faces, attribute coverage and nearest neighbours")


def judge(archive: Archive, split: str, faces: Tensor, space: FeatureSpace) -> Evaluation:
    """Measures `faces`, (N, 3, H, W) uint8, against the archive's held-out and training faces."""
    ruler = space if isinstance(space, AttributeFeatures) else AttributeFeatures()
    fake = space(faces, "generated faces")
    held_out = split_features(archive, split, space, progress=True)
    training = split_features(archive, "train", space, progress=True)
    originality, suspects = measure_originality(held_out, training, fake)
    coverage = attribute_coverage(
        ruler.has_attributes(split_features(archive, "train", ruler, progress=True)),
        ruler.has_attributes(fake if ruler is space else ruler(faces, "their attributes")),
        ruler.attributes,
    )
    measures = {
        **measure_distances(held_out, training, fake),
        **measure_manifolds(held_out, training, fake),
        **originality,
    }
    return Evaluation(measures, coverage, suspects)


def _faces(cfg: DictConfig) -> Tensor:
    """The faces to judge: (N, 3, H, W) uint8, drawn from weights or read from images."""
    if cfg.images is not None:
        return read_images(Path(cfg.images), cfg.evaluation.faces, cfg.data.image_size)
    generator = Generator.from_pretrained(cfg.weights)
    seed = cfg.evaluation.seed
    z = sampling.latents(range(seed, seed + cfg.evaluation.faces), generator.latent_dim)
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


def _check_data(cfg: DictConfig, archive: Archive, faces: Tensor) -> None:
    size, held_out = faces.shape[-1], archive.manifest["counts"][cfg.evaluation.split]
    if size != archive.image_size:
        raise ConfigError(
            f"weights={cfg.weights} makes faces of {size} pixels, the data has "
            f"{archive.image_size}; judge it with data.image_size={size}"
        )
    if min(len(faces), held_out) < LEAST_FACES:
        raise FaceganError(
            f"{len(faces)} generated faces cannot be judged by {held_out} faces of the "
            f"{cfg.evaluation.split} split: at least {LEAST_FACES} are needed on both sides"
        )


def _facts(cfg: DictConfig, archive: Archive, faces: Tensor, space: FeatureSpace) -> dict[str, str]:
    size = faces.shape[-1]
    judged = {"images": str(cfg.images)}
    if cfg.images is None:
        seen = pretrained.metadata(cfg.weights).get("images_seen", "unknown")
        seeds = f"seeds from {cfg.evaluation.seed} on"
        judged = {"weights": cfg.weights, "images seen": seen, "drawn": seeds}
    counts = archive.manifest["counts"]
    return {
        **judged,
        "faces": f"{len(faces)} of {size}x{size}",
        "against": f"{counts[cfg.evaluation.split]} faces of the {cfg.evaluation.split} split, "
        f"{counts['train']} of the train split",
        "archive": archive.path.name,
        "features": space.key,
    }


def _page(
    facts: dict[str, str],
    evaluation: Evaluation,
    labels: dict[str, str],
    faces: Tensor,
    archive: Archive,
) -> str:
    suspects = evaluation.suspects
    training = split_images(archive, "train")
    return html_page(
        title="Evaluation of generated faces",
        facts=facts,
        measures=evaluation.measures,
        labels=labels,
        coverage=evaluation.coverage,
        faces=faces[:SHOWN],
        pairs=(faces[suspects.generated], training[suspects.training]),
        distances=suspects.distances,
    )
