"""From a config to a report: draw or read the faces, compute the metrics, write the results."""

import dataclasses
import functools
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from facegan.cli.config import ConfigError, instantiate, read_data_config
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.files import atomic_path, write_json
from facegan.data.align import FRAMES, frame_name
from facegan.data.base import FaceSource
from facegan.data.dataset import PackedDataset
from facegan.data.decode import Decoder
from facegan.data.pack import pack
from facegan.data.photos import open_photos
from facegan.data.recorded import recorded_rollbacks, source_or_recorded
from facegan.evaluation.coverage import AttributeShare, attribute_coverage
from facegan.evaluation.features import (
    AttributeFeatures,
    FeatureExtractor,
    best_device,
    images_of,
    split_features,
)
from facegan.evaluation.metrics import (
    FEW,
    METRICS,
    MIN_FACES,
    Comparison,
    Measure,
    Metric,
    NearestPairs,
    Photographs,
    measure,
    nearest_pairs,
)
from facegan.evaluation.report import html_page, text_table
from facegan.networks.base import Generator
from facegan.networks.latents import latents

GRID_FACES = 128  # in the report


@dataclass(frozen=True)
class Evaluation:
    """The results for one set of generated faces."""

    measures: dict[Metric, Measure]
    coverage: list[AttributeShare]
    nearest_pairs: NearestPairs


def evaluate(cfg: DictConfig) -> None:
    """Evaluates what `cfg` names; writes evaluation.json and evaluation.html, prints a table."""
    if cfg.evaluation.faces < MIN_FACES:
        raise ConfigError(
            f"evaluation.faces must be at least {MIN_FACES}, got {cfg.evaluation.faces}; try 10000"
        )
    extractor = instantiate(cfg.features, "features")
    source = _source(cfg)
    warning = crop_warning(cfg)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    faces, dataset = _faces_and_dataset(cfg, source)
    evaluation = evaluate_faces(dataset, cfg.evaluation.split, faces, extractor)
    facts = _facts(cfg, dataset, faces, extractor) | _unmeasured(evaluation.measures)
    if warning:
        facts["warning"] = warning
    out = _output_folder(cfg)
    write_json(out / "evaluation.json", to_json(facts, evaluation))
    with atomic_path(out / "evaluation.html") as temporary:
        page = _page(facts, evaluation, source.images_are, faces, dataset)
        temporary.write_text(page, encoding="utf-8")
    print(text_table(evaluation.measures, source.images_are))
    print(f"{out / 'evaluation.html'} shows faces, attribute coverage and nearest neighbours")


def evaluate_faces(
    dataset: PackedDataset, split: str, faces: Tensor, extractor: FeatureExtractor
) -> Evaluation:
    """Compares `faces`, (N, 3, H, W) uint8, with the dataset's held-out and training images."""
    attributes = (
        extractor
        if isinstance(extractor, AttributeFeatures)
        else AttributeFeatures(dataset.image_size)
    )
    fake = extractor(faces, "generated faces")
    held_out = split_features(dataset, split, extractor, progress=True)
    training = split_features(dataset, "train", extractor, progress=True)
    coverage = attribute_coverage(
        attributes.has_attributes(split_features(dataset, "train", attributes, progress=True)),
        attributes.has_attributes(
            fake if attributes is extractor else attributes(faces, "their attributes")
        ),
        attributes.attributes,
    )
    comparison = Comparison(Photographs(held_out, training), fake, min(len(fake), len(training)))
    measures = {
        dataclasses.replace(metric, label=extractor.labels.get(metric.name, metric.label)): value
        for metric, value in measure(comparison).items()
    }
    return Evaluation(measures, coverage, nearest_pairs(comparison))


def to_json(facts: dict[str, str], evaluation: Evaluation) -> dict[str, Any]:
    """The content of evaluation.json."""
    return {
        "facts": facts,
        "measures": {
            metric.name: dataclasses.asdict(value) for metric, value in evaluation.measures.items()
        },
        "coverage": [dataclasses.asdict(share) for share in evaluation.coverage],
        "nearest_pairs": dataclasses.asdict(evaluation.nearest_pairs),
    }


def _source(cfg: DictConfig) -> FaceSource:
    """The data of `cfg`; the packed one, where it is the run's own and its photographs are gone."""
    run = _run_folder(cfg)
    make_source = functools.partial(instantiate, cfg.data, "data")
    own = read_data_config(run)
    packed_dir = cfg.data.get("packed_dir")
    if run is None or {**own, "packed_dir": packed_dir} != dict(cfg.data):
        return make_source()
    return source_or_recorded(make_source, packed_dir, run)


def _faces_and_dataset(cfg: DictConfig, source: Any) -> tuple[Tensor, PackedDataset]:
    """The faces to evaluate, (N, 3, H, W) uint8, and the data to compare them with.

    Everything that can be wrong is checked before faces are drawn, which may take minutes.
    """
    if cfg.images is not None:
        faces = read_images(Path(cfg.images), cfg.evaluation.faces, source.image_size, source.mode)
        if len(faces) < MIN_FACES:
            raise FaceganError(
                f"images={cfg.images} holds {len(faces)} images, at least {MIN_FACES} are needed; "
                "generate more"
            )
        return faces, _dataset(source, cfg.evaluation.split)
    generator = Generator.from_pretrained(cfg.weights)
    if generator.image_size != source.image_size:
        raise ConfigError(
            f"weights={cfg.weights} makes faces of {generator.image_size} pixels, the data has "
            f"{source.image_size}; evaluate it with data.image_size={generator.image_size}"
        )
    dataset = _dataset(source, cfg.evaluation.split)
    seed = cfg.evaluation.seed
    z = latents(range(seed, seed + cfg.evaluation.faces), generator.latent_dim)
    return generator.to(best_device()).draw(z, progress="drawing faces"), dataset


def _dataset(source: Any, split: str) -> PackedDataset:
    dataset: PackedDataset = source.dataset()
    counts = dataset.manifest["counts"]
    if counts["train"] < FEW:
        raise FaceganError(
            f"the data has {counts['train']} training photographs, but an evaluation needs at "
            f"least {FEW}: use more photographs, or evaluate against another data set with data=…"
        )
    compared = _compared(counts, split)
    if compared != split:
        print(
            f"few photographs: the faces are compared with the {counts['train']} training ones, "
            f"since there are only {counts[split]} {split} ones"
        )
    if counts[compared] < MIN_FACES:
        shown = f"{counts[compared]} {compared}"
        print(f"few photographs: only the metrics that say something with {shown} ones are shown")
    return dataset


def _compared(counts: Mapping[str, int], split: str) -> str:
    """The split that the faces are compared with: `split`, where it has enough photographs."""
    return split if counts[split] >= FEW else "train"


def read_images(root: Path, count: int, image_size: int, mode: str = "RGB") -> Tensor:
    """At most `count` images of a folder or zip, spread over it: (N, C, H, W) uint8.

    Images of another size or shape are cropped to their largest centre square and resized.
    """
    photos = open_photos(root, "images")
    names = photos.names()
    rows = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "images.npy"
        pack(photos, [names[row] for row in rows], Decoder(image_size, mode=mode), packed)
        return torch.from_numpy(np.load(packed)).permute(0, 3, 1, 2)


def crop_warning(cfg: DictConfig) -> str:
    """What to say of weights that were trained on another crop than the data's; else nothing."""
    trained_on = _training_data(cfg)
    if any("crop" not in data for data in (trained_on, cfg.data)):
        return ""
    trained, crop = map(_crop, (trained_on, cfg.data))
    if trained == crop:
        return ""
    return (
        f"weights={cfg.weights} were trained with data.crop={trained}, and the data has "
        f"data.crop={crop}: the distances include the difference between the crops; "
        f"set data.crop={trained}, or leave data=… out where a run has data of its own"
    )


def _crop(data: Mapping[str, Any]) -> str:
    """data.crop, and what it is by default where the faces are aligned."""
    if data["crop"] is None and data.get("align"):
        return str(FRAMES[frame_name(data["align"])].side)
    return "null" if data["crop"] is None else str(data["crop"])


def _training_data(cfg: DictConfig) -> Mapping[str, Any]:
    """The config of the data that the weights were trained on; empty where it is not known."""
    if cfg.images is not None:
        return {}
    if cfg.weights in pretrained.bundled():  # a crop says nothing of photographs of another size
        same_kind = cfg.data.get("_target_") == "facegan.data.celeba.CelebA"
        return {"crop": pretrained.bundled_crop(cfg.weights)} if same_kind else {}
    return read_data_config(_run_folder(cfg))


def _run_folder(cfg: DictConfig) -> Path | None:
    return pretrained.run_folder(cfg.weights) if cfg.images is None else None


def _output_folder(cfg: DictConfig) -> Path:
    return Path(cfg.out or _run_folder(cfg) or "outputs/evaluation")


def _facts(
    cfg: DictConfig, dataset: PackedDataset, faces: Tensor, extractor: FeatureExtractor
) -> dict[str, str]:
    size = faces.shape[-1]
    subject = {"images": str(cfg.images)}
    if cfg.images is None:
        seen = pretrained.metadata(cfg.weights).get("images_seen", "unknown")
        seeds = f"seeds from {cfg.evaluation.seed} on"
        subject = {"weights": cfg.weights, "images seen": seen, "drawn": seeds}
        subject |= _rollbacks(_run_folder(cfg))
    counts = dataset.manifest["counts"]
    splits = dict.fromkeys([_compared(counts, cfg.evaluation.split), "train"])
    return {
        **subject,
        "faces": f"{len(faces)} of {size}x{size}",
        "against": ", ".join(f"{counts[split]} faces of the {split} split" for split in splits),
        "dataset": dataset.path.name,
        "features": extractor.key,
    }


def _unmeasured(measures: Mapping[Metric, Measure]) -> dict[str, str]:
    """The metrics that were not measured, and why."""
    measured = {metric.name for metric in measures}
    missing = [metric for metric in METRICS if metric.name not in measured]
    if not missing:
        return {}
    least = min(metric.least for metric in missing)
    labels = ", ".join(metric.label for metric in missing)
    return {"left out": f"{labels}: they need at least {least} photographs to compare with"}


def _rollbacks(run: Path | None) -> dict[str, str]:
    """What the training went back from, if it did."""
    events = recorded_rollbacks(run) if run is not None else []
    reasons = [str(event.get("reason")).split(";")[0] for event in events]  # without the advice
    texts = [
        f"back to {event.get('back_to_images')} images, since {reason}"
        for event, reason in zip(events, reasons, strict=True)
    ]
    return {"rollbacks": "; ".join(texts)} if texts else {}


def _page(
    facts: dict[str, str],
    evaluation: Evaluation,
    reference: str,
    faces: Tensor,
    dataset: PackedDataset,
) -> str:
    pairs = evaluation.nearest_pairs
    nearest = dataset.indices("train")[pairs.training]
    return html_page(
        facts=facts,
        measures=evaluation.measures,
        coverage=evaluation.coverage,
        reference=reference,
        faces=faces[:GRID_FACES],
        pairs=(faces[pairs.generated], images_of(dataset, nearest)),
        distances=pairs.distances,
    )
