"""Obedience of a conditional generator: whether its faces have the labels of their order.

A classifier judges that the training has not seen. Its accuracy on photographs is the ceiling.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facegan.data.dataset import PackedDataset
from facegan.evaluation.distances import kernel_distance
from facegan.evaluation.facts import compared_split
from facegan.evaluation.features import AttributeFeatures, split_features
from facegan.networks.base import Generator
from facegan.networks.labels import LabelTable
from facegan.networks.latents import latents

FLIPS = 100  # faces for each label that is turned over
ENOUGH = 50  # faces, and photographs, with a label for the distance of those
RARE = 0.1  # of the faces, with the rarest combinations of labels
RIDGE = 1e-2  # of the probe, for standardized features
Judge = Callable[[Tensor], Tensor]  # features (N, D) -> labels (N, A) bool


@dataclass(frozen=True)
class Agreement:
    """How well the faces have one label, in [0, 1], 0.5 being chance."""

    name: str
    faces: float  # balanced accuracy: the mean of the shares among ordered and excluded ones
    photographs: float  # the same of photographs with the data's own labels: the ceiling
    others_moved: float  # mean change of the other labels' shares, if this one is turned over
    distance: float | None  # kernel distance of faces and photographs with the label, if ENOUGH


@dataclass(frozen=True)
class Obedience:
    """The agreement on every label, and on faces with the rarest combinations of labels."""

    labels: list[Agreement]
    faces: float  # the mean balanced accuracy over the labels
    photographs: float  # the mean ceiling
    common: float  # share of labels that the faces have as ordered
    rare: float  # the same among the RARE faces with the rarest combinations


def measure_obedience(
    generator: Generator,
    dataset: PackedDataset,
    seeds: Sequence[int],
    extractor: AttributeFeatures,
    features: Tensor,
) -> Obedience | None:
    """The obedience of the faces of `seeds`, which have the `features` (N, D).

    None without labels in the generator, or if the data set lacks one of them.
    """
    table = generator.labels
    if table is None or not {*table.names} <= {*dataset.labels.attribute_names}:
        return None
    labels = dataset.with_attributes(table.names).labels

    def real(split: str) -> Tensor:
        return torch.from_numpy(labels.rows(dataset.indices(split)).attributes)

    unknown = {*table.names} - {*extractor.attributes}
    columns = [extractor.attributes.index(name) for name in table.names if not unknown]
    judge: Judge = (
        linear_probe(split_features(dataset, "train", extractor), real("train"))
        if unknown
        else lambda x: extractor.has_attributes(x)[:, columns]
    )
    split = compared_split(dataset.counts, "test")
    photographs = split_features(dataset, split, extractor)
    ceiling = balanced_accuracy(judge(photographs), real(split))
    ordered, found = table.draw(seeds), judge(features)
    distances = label_distances(photographs, real(split), features, ordered)
    agreement = balanced_accuracy(found, ordered)
    moved = others_moved(generator, table, lambda faces: judge(extractor(faces)))
    right = (found == (ordered > 0)).float().mean(dim=1)
    rarest = rarity(table, ordered).argsort(stable=True)[: max(1, int(RARE * len(right)))]
    rows = zip(
        table.names, *map(Tensor.tolist, (agreement, ceiling, moved)), distances, strict=True
    )
    means = (values.mean().item() for values in (agreement, ceiling, right, right[rarest]))
    return Obedience([Agreement(*row) for row in rows], *means)


def linear_probe(features: Tensor, labels: Tensor) -> Judge:
    """Linear classifiers of features (N, D), by ridge regression on the known labels, (N, A).

    Both classes have the same weight. Alain and Bengio 2017 ("Understanding intermediate layers
    using linear classifier probes").
    """
    mean, scale = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)

    def inputs(raw: Tensor) -> Tensor:
        return torch.cat([(raw - mean) / scale, torch.ones(len(raw), 1)], dim=1).double()

    x, columns = inputs(features), []
    for target in labels.T.double():
        weight = sum((target == sign) / (target == sign).sum().clamp(min=1) for sign in (1, -1))
        gram = x.T @ (weight[:, None] * x) + RIDGE * torch.eye(x.shape[1])
        columns.append(torch.linalg.solve(gram, x.T @ (weight * target)))
    solution = torch.stack(columns, dim=1)
    return lambda raw: inputs(raw) @ solution > 0


def balanced_accuracy(found: Tensor, labels: Tensor) -> Tensor:
    """The mean of the shares of right answers, (N, A) bool, for labels 1 and -1, (N, A): (A,).

    A label without one of these classes has the share of the other.
    """
    counts = torch.stack([(labels == sign).sum(dim=0) for sign in (1, -1)])
    right = torch.stack([(found & (labels == 1)).sum(dim=0), (~found & (labels == -1)).sum(dim=0)])
    return (right / counts.clamp(min=1)).sum(dim=0) / (counts > 0).sum(dim=0).clamp(min=1)


def label_distances(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor
) -> list[float | None]:
    """The kernel distance between photographs and faces with each label: A numbers.

    Features (N, D) with labels (N, A), and (M, D) with (M, A). None for a label with fewer than
    `ENOUGH` photographs or faces.
    """
    pairs = (
        (real[labels == 1], fake[ordered == 1])
        for labels, ordered in zip(real_labels.T, fake_labels.T, strict=True)
    )
    return [
        kernel_distance(*pair).value if min(map(len, pair)) >= ENOUGH else None for pair in pairs
    ]


def others_moved(generator: Generator, table: LabelTable, judge: Judge) -> Tensor:
    """The mean change of the other labels' shares when one is turned over: (A,)."""
    seeds = range(FLIPS)
    z, drawn = latents(seeds, generator.latent_dim), table.draw(seeds)
    moved = []
    for column in range(len(table.names)):
        flipped = (drawn.index_fill(1, torch.tensor(column), sign) for sign in (1, -1))
        faces = (generator.draw(generator.condition(z, labels)) for labels in flipped)
        first, second = (judge(images).float().mean(dim=0) for images in faces)
        change = (first - second).abs()
        moved.append((change.sum() - change[column]) / max(len(change) - 1, 1))
    return torch.stack(moved)


def rarity(table: LabelTable, labels: Tensor) -> Tensor:
    """How often each combination of labels, (N, A), occurs in the data: (N,)."""
    same = torch.cdist(labels, table.combinations) < 0.5  # a difference is at least 1
    return same.float() @ table.counts
