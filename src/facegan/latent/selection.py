"""Faces to order: by labels, or by a search for seeds with the attribute classifiers."""

import math
import sys
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from facegan.core.checks import check_number, check_share
from facegan.core.console import progress_bar
from facegan.core.errors import FaceganError
from facegan.latent.directions import find_name, parse_numbers
from facegan.networks.attributes import (
    BUNDLED_SIZES,
    AttributeNetwork,
    bundled_classifier,
    classify,
)
from facegan.networks.base import Generator
from facegan.networks.latents import MAX_SEED, MAX_SEEDS

CANDIDATES, MORE_CANDIDATES = 10_000, 50  # faces of a search; more of them for each face
BATCH = 96  # seeds at a time
RARE = 0.001  # of the training faces
MARGIN = 1.0  # of a logit: the classifier is at least 73% certain

Cell = tuple[bool, ...]  # which of the wanted attributes a face has


def find_seeds(
    generator: Generator,
    wanted: Mapping[str, float],
    count: int,
    first: int = 0,
    candidates: int | None = None,
    truncation: float = 1.0,
    keep: float | None = None,
    order: Mapping[str, float] | None = None,
    progress: bool = False,
    exclude: Collection[int] = (),
) -> list[int]:
    """Up to `count` seeds, from `first` on, whose faces have some attributes and lack others.

    `wanted`: {"Smiling": True, "Eyeglasses": False}, or independent shares of the faces,
    {"Male": 0.5}. The bundled classifier must be certain of each. At most `candidates` faces are
    drawn, by default 10,000 and 50 for each seed: rare attributes may give fewer seeds, or none.

    With `keep`, the mean of both bundled classifiers decides, and of each combination of attributes
    only the clearest share `keep` is taken, or more if it is rare. `order`: labels that the faces
    of a conditional generator are drawn with; they decide instead of the classifiers. `progress`
    shows a bar. `exclude`: seeds that are left out; the next clearest of the same combinations take
    their places. Raises FaceganError for an unknown attribute, ValueError for impossible numbers.
    """
    found = find_faces(
        generator, wanted, count, first, candidates, truncation, keep, order, progress, exclude
    )
    return [*found]


def find_faces(
    generator: Generator,
    wanted: Mapping[str, float],
    count: int,
    first: int = 0,
    candidates: int | None = None,
    truncation: float = 1.0,
    keep: float | None = None,
    order: Mapping[str, float] | None = None,
    progress: bool = False,
    exclude: Collection[int] = (),
) -> dict[int, str]:
    """The seeds of `find_seeds`, each with its combination of attributes: "-Male,Eyeglasses"."""
    check_number("keep", 1 if keep is None else keep, 0.01, 1, whole=False)
    sizes = BUNDLED_SIZES if keep else (generator.image_size,)
    classifiers = [bundled_classifier(size).to(generator.device) for size in sizes]
    table = generator.labels if order is not None else None
    names = table.names if table else classifiers[0].attributes
    columns = [find_name(name, names, "an attribute") for name in wanted]
    counts = cell_counts(wanted, count)
    pools: dict[Cell, list[tuple[float, int]]] = {cell: [] for cell in counts}
    missing = {cell: math.ceil(number / (keep or 1)) for cell, number in counts.items()}
    most = CANDIDATES + MORE_CANDIDATES * count if candidates is None else candidates
    end = min(first + most, MAX_SEED + 1)
    left_out = {*exclude}
    bar = progress_bar(desc="candidates", total=sum(missing.values()), disable=not progress)
    for start in range(first, end, BATCH):
        seeds = range(start, min(start + BATCH, end))
        faces = generator.sample(seeds=seeds, truncation=truncation, attributes=order)
        logits, clarity = logits_and_clarity(classifiers, faces)
        traits = (table.draw(seeds, order) if table else logits)[:, columns]
        for row in (traits.abs() >= MARGIN).all(dim=1).nonzero().flatten().tolist():
            cell = tuple((traits[row] > 0).tolist())
            if missing.get(cell) and seeds[row] not in left_out:
                pools[cell].append((-clarity[row].item(), seeds[row]))
                missing[cell] -= 1
                bar.update()
        if not any(missing.values()):
            break
    bar.total = bar.n  # of rare faces, fewer are sorted out
    bar.close()
    found: dict[int, str] = {}
    for cell, number in counts.items():
        own = attributes_text({names[c]: has for c, has in zip(columns, cell, strict=True)})
        found |= {seed: own for _, seed in sorted(pools[cell])[:number]}
    return dict(sorted(found.items()))


def logits_and_clarity(
    classifiers: Sequence[AttributeNetwork], faces: Tensor
) -> tuple[Tensor, Tensor]:
    """The mean logits of two classifiers, (N, A), and the clarity of faces, (N,).

    Clarity is the mean difference between the two's logits. It is small for what is hardly a face:
    neither is certain of anything there. With one classifier it is 0.
    """
    logits = torch.stack([classify(classifier, faces) for classifier in classifiers])
    return logits.mean(dim=0), (logits[0] - logits[-1]).abs().mean(dim=1)


def own_order(generator: Generator, seed: int, order: Mapping[str, float] | None) -> str:
    """What the face of a seed is drawn with, of an order in shares: "-Male,Eyeglasses"."""
    if generator.labels is None or not order:
        return ""
    (row,) = generator.labels.draw([seed], order).tolist()
    return attributes_text({name: row[generator.labels.names.index(name)] > 0 for name in order})


def check_found(seeds: Collection[int], count: int, attributes: str) -> None:
    """Raises FaceganError for fewer than `count` seeds."""
    if len(seeds) < count:
        raise FaceganError(
            f"{len(seeds)} of {count} faces with attributes={attributes} were found; ask for fewer "
            "faces or attributes, or move faces by edit="
        )


def cell_counts(wanted: Mapping[str, float], count: int) -> dict[Cell, int]:
    """How many of `count` faces have each combination of attributes: independent shares."""
    check_number("the number of faces", count, 1, MAX_SEEDS)
    exact: dict[Cell, float] = {(): count}
    for name, share in wanted.items():
        check_share(name, share)
        parts = [(has, part) for has, part in ((True, share), (False, 1 - share)) if part]
        exact = {(*cell, has): n * part for cell, n in exact.items() for has, part in parts}
    counts = {cell: int(number) for cell, number in exact.items()}
    largest = sorted(exact, key=lambda cell: counts[cell] - exact[cell])
    for cell in largest[: count - sum(counts.values())]:
        counts[cell] += 1
    return {cell: number for cell, number in counts.items() if number}


def label_order(generator: Generator, wanted: Mapping[str, float]) -> dict[str, float] | None:
    """`wanted` by the names of the generator's labels; None if it has no labels.

    Warns of combinations that the training data hardly has. Raises FaceganError for unknown names.
    """
    if generator.labels is None:
        return None
    names = generator.labels.names
    order = {names[find_name(n, names, "a label of this generator")]: wanted[n] for n in wanted}
    share = generator.labels.share(order)
    if share < RARE:
        print(
            f"warning: {share:.2%} of the training faces have {attributes_text(wanted)}, so that "
            "the generator has hardly learned such faces",
            file=sys.stderr,
        )
    return order


def parse_attributes(text: str | None) -> dict[str, float]:
    """Parses shares of faces: "Smiling,-Hat,Male:0.5" -> {"Smiling": 1, "Hat": 0, "Male": 0.5}.

    No text gives no shares. Raises FaceganError.
    """
    rule = (
        "attributes are names, each once, with - before those that a face must lack, or with the "
        "share of faces that have them, such as Smiling,-Eyeglasses,Male:0.5"
    )
    return parse_numbers(text, rule, 0, 0, 1) if text else {}


def attributes_text(wanted: Mapping[str, float]) -> str:
    """The text that `parse_attributes` parses."""
    forms: dict[float, str] = {1: "{}", 0: "-{}"}
    return ",".join(forms.get(share, "{}:{}").format(name, share) for name, share in wanted.items())
