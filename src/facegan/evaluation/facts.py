"""The facts of a report besides its metrics: what was compared with what."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from facegan.cli.config import read_data_config, read_run_config, shown
from facegan.core import pretrained
from facegan.data.align import FRAMES, frame_name
from facegan.data.base import FaceSource
from facegan.data.dataset import PackedDataset
from facegan.data.decode import FILTER
from facegan.data.recorded import read_record
from facegan.evaluation import metrics
from facegan.evaluation.coverage import AttributeShare
from facegan.evaluation.features import FeatureExtractor
from facegan.latent.movement import FACT, still_the_start, train_longer

SEEN = ("train", "all")  # splits with photographs that a training has seen
FEW_COVERED = 0.1  # coverage: below it, single photographs change the precision by tenths
BALANCE = ("Male", "Young", "Pale_Skin")


def balance(coverage: Sequence[AttributeShare], images_are: str) -> str:
    """The shares of sex, age and skin among the faces, as the classifier sees them."""
    shares = {share.name: share for share in coverage}
    found = [shares[name] for name in BALANCE if name in shares]
    texts = (f"{s.name} {s.generated:.0%} ({s.reference:.0%})" for s in found)
    return f"{', '.join(texts)}; in brackets {images_are}"


def training_data(weights: str, run: Path | None, source: FaceSource) -> dict[str, Any]:
    """What is known of the data that the weights were trained on, with the keys of `data`."""
    if weights in pretrained.bundled():  # trained on crops of aligned photographs
        return {"crop": pretrained.bundled_crop(weights)} if source.aligned else {}
    return read_data_config(run)


def crop_warning(weights: str, trained_on: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """A warning if the weights were trained on another crop than the data's; else empty."""
    if "crop" not in trained_on or "crop" not in data:
        return ""
    trained, crop = _crop(trained_on), _crop(data)
    if trained == crop:
        return ""
    return (
        f"weights={weights} were trained with data.crop={trained}, and the data has "
        f"data.crop={crop}: the distances include the difference between the crops; "
        f"set data.crop={trained}, or leave data=… out if a run has data of its own"
    )


def _crop(data: Mapping[str, Any]) -> str:
    """data.crop, or its default if the faces are aligned."""
    if data["crop"] is None and data.get("align"):
        return str(FRAMES[frame_name(data["align"])].side)
    return "null" if data["crop"] is None else str(data["crop"])


def weights_facts(weights: str, seed: int, run: Path | None) -> dict[str, str]:
    """The weights, the length of their training, the seeds, and the training's rollbacks."""
    seen = pretrained.metadata(weights).get("images_seen", "unknown")
    facts = {"weights": weights, "images seen": seen, "drawn": f"seeds from {seed} on"}
    rollbacks = [
        f"back to {event.get('back_to_images')} images, since "
        + str(event.get("reason")).split(";")[0]  # without the advice
        for event in (read_record(run).get("rollbacks", []) if run is not None else [])
    ]
    return facts | ({"rollbacks": "; ".join(rollbacks)} if rollbacks else {})


def verdict(weights: str, run: Path | None) -> dict[str, str]:
    """Whether a training with init= has left the faces that it started from, and what is next."""
    text = pretrained.metadata(weights).get(FACT, "")
    if not text or run is None or not read_run_config(run):
        return {}
    page = f"python -m facegan.export weights={shlex.quote(str(run))}"
    command = train_longer(run) if still_the_start(weights) else page
    return {"verdict": text, "next": command}


def comparison_facts(
    dataset: PackedDataset, split: str, faces: Tensor, extractor: FeatureExtractor
) -> dict[str, str]:
    """What is compared with what, in which feature space."""
    counts, size, recipe = dataset.counts, faces.shape[-1], dataset.manifest["recipe"]
    splits = dict.fromkeys([compared_split(counts, split), *([] if split in SEEN else ["train"])])
    against = ", ".join(f"{counts[name]} faces of the {name} split" for name in splits)
    decoded = "drawn by a generator, not resized"
    if "crop" in recipe:
        decoded = f"data.crop={shown(recipe['crop'])}, {FILTER.name.lower()} and antialiased"
    return {
        "faces": f"{len(faces)} of {size}x{size}",
        "against": f"all {counts['all']} faces" if split == "all" else against,
        "photographs": decoded,
        "dataset": dataset.path.name,
        "features": extractor.key,
        "resized for features": extractor.resizing,
        "uncertainty": "over the faces drawn; trainings with other seeds differ by more",
    }


def unmeasured(measures: Mapping[metrics.Quantity, metrics.Measure], split: str) -> dict[str, str]:
    """The metrics that were not measured, and why."""
    measured = {metric.name for metric in measures}
    missing = [metric for metric in metrics.METRICS if metric.name not in measured]
    if not missing:
        return {}
    least = min(metric.least for metric in missing)
    needs = f"at least {least} photographs to compare with"
    if split in SEEN:
        needs = "photographs that no training has seen (evaluation.split=test)"
    return {"left out": f"{', '.join(metric.label for metric in missing)}: only with {needs}"}


def precision_warning(measures: Mapping[metrics.Quantity, metrics.Measure]) -> dict[str, str]:
    """A warning if few photographs decide the precision; else empty."""
    coverage = next((m.value for metric, m in measures.items() if metric.name == "coverage"), 1.0)
    text = f"means little: few photographs, {coverage:.1%}, have a generated face nearby (coverage)"
    return {"precision": text} if coverage < FEW_COVERED else {}


def compared_split(counts: Mapping[str, int], split: str) -> str:
    """The split that the faces are compared with: `split` if it has enough photographs."""
    return split if counts[split] >= metrics.FEW else "train"
