"""From a config to a report: draw or read the faces, compute the metrics, write the results."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import Tensor

from facegan.cli.config import ConfigError, instantiate, read_data_config
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.files import write_bytes, write_json
from facegan.core.images import grid
from facegan.data.base import FaceSource
from facegan.data.dataset import PackedDataset
from facegan.data.recorded import source_or_recorded
from facegan.evaluation import metrics
from facegan.evaluation.coverage import AttributeShare, attribute_coverage
from facegan.evaluation.facts import (
    SEEN,
    balance,
    compared_split,
    comparison_facts,
    crop_warning,
    precision_warning,
    training_data,
    unmeasured,
    verdict,
    weights_facts,
)
from facegan.evaluation.features import (
    AttributeFeatures,
    FeatureExtractor,
    best_device,
    images_of,
    split_features,
)
from facegan.evaluation.images import read_images
from facegan.evaluation.obedience import Obedience, measure_obedience
from facegan.evaluation.report import measures_table, obedience_table, render
from facegan.networks.base import Generator

PRINTED = (
    "faces",
    "images as read",
    "against",
    "photographs",
    "features",
    "resized for features",
    "balance",
    "left out",
    "precision",
    "uncertainty",
)
GRID_FACES, GRID_COLUMNS = 128, 16  # in the report


@dataclass(frozen=True)
class Evaluation:
    """The results for one set of generated faces."""

    measures: dict[metrics.Quantity, metrics.Measure]
    coverage: list[AttributeShare]
    nearest_pairs: metrics.NearestPairs
    obedience: Obedience | None = None  # of a conditional generator


def evaluate(cfg: DictConfig) -> None:
    """Evaluates the faces that `cfg` names; writes evaluation.json and evaluation.html."""
    count, split, seed = cfg.evaluation.faces, cfg.evaluation.split, cfg.evaluation.seed
    _check_count("evaluation.faces", count)
    extractor = instantiate(cfg.features, "features")
    run = pretrained.run_folder(cfg.weights) if cfg.images is None else None
    data = dict(cfg.data)
    source = _source(functools.partial(instantiate, cfg.data, "data"), data, run)
    # every check comes before drawing, which may take minutes
    if cfg.images is None:
        facts = weights_facts(cfg.weights, seed, run)
        trained_on = training_data(cfg.weights, run, source)
        if warning := crop_warning(cfg.weights, trained_on, data):
            print(f"warning: {warning}", file=sys.stderr)
            facts["warning"] = warning
        generator, seeds = _generator(cfg.weights, source.image_size), range(seed, seed + count)
        facts |= verdict(cfg.weights, run)
        dataset = _dataset(source, split)
        z = generator.latents(seeds)
        faces = generator.to(best_device()).draw(z, progress="drawing faces")
    else:
        generator, seeds = None, range(0)
        faces, read = read_images(Path(cfg.images), count, source.image_size, source.mode)
        facts = {"images": str(cfg.images), "images as read": read}
        _check_count(f"the number of images in {cfg.images}", len(faces))
        dataset = _dataset(source, split)
    evaluation = evaluate_faces(dataset, split, faces, extractor, generator, seeds)
    facts |= comparison_facts(dataset, split, faces, extractor)
    facts |= {"balance": balance(evaluation.coverage, source.images_are)}
    facts |= unmeasured(evaluation.measures, split) | precision_warning(evaluation.measures)
    out = Path(cfg.out or run or "outputs/evaluation")
    write_json(out / "evaluation.json", to_json(facts, evaluation))
    page = html_page(facts, evaluation, source.images_are, faces, dataset)
    write_bytes(out / "evaluation.html", page.encode())
    print(measures_table(evaluation.measures, source.images_are), end="")
    if evaluation.obedience is not None:
        print(obedience_table(evaluation.obedience), end="")
    print(*(f"{name}: {facts[name]}" for name in PRINTED if name in facts), sep="\n")
    print(f"{out / 'evaluation.html'} shows faces, attribute coverage and nearest neighbours")
    if "verdict" in facts:
        print(f"{facts['verdict']}. Next: {facts['next']}")


def _check_count(name: str, count: int) -> None:
    if count < metrics.MIN_FACES:
        raise ConfigError(f"{name} must be at least {metrics.MIN_FACES}, got {count}")


def _source(
    make_source: Callable[[], FaceSource], data: Mapping[str, Any], run: Path | None
) -> FaceSource:
    """The data to compare with; a run's own may be packed already, without its photographs."""
    packed_dir = data.get("packed_dir")
    if run is None or {**read_data_config(run), "packed_dir": packed_dir} != data:
        return make_source()
    return source_or_recorded(make_source, packed_dir, run)


def _generator(weights: str, image_size: int) -> Generator:
    generator = Generator.from_pretrained(weights)
    if generator.image_size != image_size:
        raise ConfigError(
            f"weights={weights} makes faces of {generator.image_size} pixels, the data has "
            f"{image_size}; set data.image_size={generator.image_size}"
        )
    return generator


def _dataset(source: FaceSource, split: str) -> PackedDataset:
    dataset = source.dataset()
    counts = dataset.counts
    if counts["train"] < metrics.FEW:
        raise FaceganError(
            f"the data has {counts['train']} training photographs, but an evaluation needs at "
            f"least {metrics.FEW}: use more photographs, or another data set by data=…"
        )
    compared = compared_split(counts, split)
    if compared != split:
        print(
            f"few photographs: the faces are compared with the {counts['train']} training ones, "
            f"since there are only {counts[split]} {split} ones"
        )
    if counts[compared] < metrics.MIN_FACES:
        few = f"{counts[compared]} {compared}"
        print(f"few photographs: only metrics that are meaningful with {few} ones are shown")
    return dataset


def evaluate_faces(
    dataset: PackedDataset,
    split: str,
    faces: Tensor,
    extractor: FeatureExtractor,
    generator: Generator | None = None,
    seeds: Sequence[int] = (),
) -> Evaluation:
    """Compares `faces`, (N, 3, H, W) uint8, with the dataset's held-out and training images.

    `generator` and `seeds`: what has drawn the faces, whose obedience is then measured.
    """
    fake = extractor(faces, "generated faces")
    held_out = split_features(dataset, split, extractor)
    training = split_features(dataset, "train", extractor)
    attributes, real_attributes, fake_attributes = extractor, training, fake
    if not isinstance(attributes, AttributeFeatures):
        attributes = AttributeFeatures(dataset.image_size)
        real_attributes = split_features(dataset, "train", attributes)
        fake_attributes = attributes(faces, "their attributes")
    real, generated = map(attributes.has_attributes, (real_attributes, fake_attributes))
    seen = split in SEEN
    count = len(fake) if seen else min(len(fake), len(training))  # as many for the reference
    comparison = metrics.Comparison(metrics.Photographs(held_out, training, seen=seen), fake, count)
    measures: dict[metrics.Quantity, metrics.Measure] = {
        dataclasses.replace(metric, label=extractor.labels.get(metric.name, metric.label)): value
        for metric, value in metrics.measure(comparison).items()
    }
    coverage = attribute_coverage(real, generated, attributes.attributes)
    obedience = None
    if generator is not None:
        obedience = measure_obedience(generator, dataset, seeds, attributes, fake_attributes)
    if obedience is not None:
        measures[metrics.OBEDIENCE] = metrics.Measure(obedience.faces, obedience.photographs)
    return Evaluation(measures, coverage, metrics.nearest_pairs(comparison), obedience)


def to_json(facts: dict[str, str], evaluation: Evaluation) -> dict[str, Any]:
    """The content of evaluation.json."""
    content = dataclasses.asdict(dataclasses.replace(evaluation, measures={}))
    measures = evaluation.measures.items()
    content["measures"] = {metric.name: dataclasses.asdict(value) for metric, value in measures}
    return {"facts": facts, **content}


def html_page(
    facts: dict[str, str],
    evaluation: Evaluation,
    reference: str,
    faces: Tensor,
    dataset: PackedDataset,
) -> str:
    """The content of evaluation.html. `reference`: a noun for the images of the dataset."""
    pairs = evaluation.nearest_pairs
    nearest = images_of(dataset, dataset.indices("train")[pairs.training])
    return render(
        "evaluation.html",
        facts=facts,
        measures=evaluation.measures,
        coverage=evaluation.coverage,
        obedience=evaluation.obedience,
        reference=reference,
        faces=grid(faces[:GRID_FACES], GRID_COLUMNS),
        pairs=list(zip(faces[pairs.generated], nearest, pairs.distances, strict=True)),
    )
