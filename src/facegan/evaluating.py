"""From a config to a judgement: draw or read the faces, measure them, write the report."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from facegan import pretrained, sampling
from facegan.config import ConfigError, build
from facegan.data.archive import Archive
from facegan.data.pack import decode
from facegan.data.photos import open_photos
from facegan.errors import FaceganError
from facegan.evaluation.coverage import AttributeShare, attribute_coverage
from facegan.evaluation.features import (
    AttributeFeatures,
    FeatureSpace,
    split_features,
    split_images,
)
from facegan.evaluation.judge import (
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
DRAWN_AT_ONCE = 500


@dataclass(frozen=True)
class Evaluation:
    """What is known of a set of generated faces."""

    measures: dict[str, Measure]
    coverage: list[AttributeShare]
    suspects: Suspects


def evaluate(cfg: DictConfig) -> None:
    """Judges what `cfg` names, prints a table, and writes evaluation.json and evaluation.html."""
    space = build(cfg.features, "features")
    archive = build(cfg.data, "data").archive()
    faces = _faces(cfg, archive)
    try:
        evaluation = judge(archive, cfg.evaluation.split, faces, space)
    except ValueError as error:  # too few faces for a measure
        raise FaceganError(f"these faces cannot be judged: {error}") from error
    facts = _facts(cfg, archive, faces, space)
    labels = {"frechet_distance": space.frechet, "kernel_distance": space.kernel}
    out = Path(cfg.out or _default_out(cfg))
    print(text_table(evaluation.measures, labels))
    write_json(out / "evaluation.json", {"facts": facts, **dataclasses.asdict(evaluation)})
    with replacing(out / "evaluation.html") as temporary:
        temporary.write_text(_page(facts, evaluation, labels, faces, archive))
    print(f"{out / 'evaluation.html'} shows faces, attribute coverage and nearest neighbours")


def judge(archive: Archive, split: str, faces: Tensor, space: FeatureSpace) -> Evaluation:
    """Measures `faces`, (N, 3, H, W) uint8, against the archive's held-out and training faces."""
    ruler = space if isinstance(space, AttributeFeatures) else AttributeFeatures()
    fake = space(faces, "generated faces")
    held_out, training = (split_features(archive, part, space, True) for part in (split, "train"))
    originality, suspects = measure_originality(held_out, training, fake)
    coverage = attribute_coverage(
        ruler.has_attributes(split_features(archive, "train", ruler, True)),
        ruler.has_attributes(fake if ruler is space else ruler(faces, "their attributes")),
        ruler.attributes,
    )
    measures = {
        **measure_distances(held_out, training, fake),
        **measure_manifolds(held_out, training, fake),
        **originality,
    }
    return Evaluation(measures, coverage, suspects)


def _faces(cfg: DictConfig, archive: Archive) -> Tensor:
    """The faces to judge: (N, 3, H, W) uint8, drawn from weights or read from images."""
    if cfg.images is not None:
        return read_images(Path(cfg.images), cfg.evaluation.faces, archive.image_size)
    generator = Generator.from_pretrained(cfg.weights)
    if generator.image_size != archive.image_size:
        raise ConfigError(
            f"weights={cfg.weights} makes faces of {generator.image_size} pixels, the data has "
            f"{archive.image_size}; judge it with data.image_size={generator.image_size}"
        )
    return draw(generator, cfg.evaluation.faces, cfg.evaluation.seed)


def draw(generator: Generator, count: int, seed: int) -> Tensor:
    """`count` faces with the seeds from `seed` on: (N, 3, H, W) uint8."""
    z = sampling.latents(range(seed, seed + count), generator.latent_dim)
    parts = tqdm(z.split(DRAWN_AT_ONCE), desc="drawing faces", disable=None)
    return torch.cat([generator.draw(part) for part in parts])


def read_images(root: Path, count: int, image_size: int) -> Tensor:
    """At most `count` images of a folder or zip, spread over it: (N, 3, H, W) uint8.

    Images of another size or shape give their largest centre square, resized.
    """
    photos = open_photos(root, "images")
    names = photos.names()
    chosen = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    images = [
        np.asarray(decode(photos.read(names[i]), None, image_size))
        for i in tqdm(chosen, desc="reading images", disable=None)
    ]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _facts(cfg: DictConfig, archive: Archive, faces: Tensor, space: FeatureSpace) -> dict[str, str]:
    if cfg.images is not None:
        judged = {"images": cfg.images}
    else:
        about = pretrained.metadata(cfg.weights)
        judged = {"weights": cfg.weights, "images seen": about.get("images_seen", "unknown")}
    counts = archive.manifest["counts"]
    return {
        **judged,
        "faces": f"{len(faces)} of {faces.shape[-1]}x{faces.shape[-1]}, seed {cfg.evaluation.seed}",
        "against": f"{counts[cfg.evaluation.split]} faces of the {cfg.evaluation.split} split, "
        f"{counts['train']} of the train split",
        "archive": archive.path.name,
        "features": space.key,
    }


def _default_out(cfg: DictConfig) -> Path:
    """The run folder, or the folder that the weights or the images lie beside."""
    if cfg.images is not None:
        return Path("outputs/evaluation")
    return pretrained.find(cfg.weights).parent


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
