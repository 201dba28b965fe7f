"""Faces to order: by labels, or by a search for seeds with the attribute classifiers."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegan.core.checks import check_number, check_share
from facegan.core.console import progress_bar
from facegan.core.errors import FaceganError
from facegan.core.files import write_json
from facegan.core.images import enlargement, save_image, to_pil
from facegan.core.provenance import GENERATED, Provenance
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
) -> list[int]:
    """Up to `count` seeds, from `first` on, whose faces have some attributes and lack others.

    `wanted`: {"Smiling": True, "Eyeglasses": False}, or independent shares of the faces,
    {"Male": 0.5}. The bundled classifier must be certain of each. At most `candidates` faces are
    drawn, by default 10,000 and 50 for each seed: rare attributes may give fewer seeds, or none.

    With `keep`, the mean of both bundled classifiers decides, and of each combination of attributes
    only the clearest share `keep` is taken, or more if it is rare. `order`: labels that the faces
    of a conditional generator are drawn with; they decide instead of the classifiers. `progress`
    shows a bar. Raises FaceganError for an unknown attribute, ValueError for impossible numbers.
    """
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
    bar = progress_bar(desc="faces found", total=sum(missing.values()), disable=not progress)
    for start in range(first, end, BATCH):
        seeds = range(start, min(start + BATCH, end))
        faces = generator.sample(seeds=seeds, truncation=truncation, attributes=order)
        logits, clarity = logits_and_clarity(classifiers, faces)
        traits = (table.draw(seeds, order) if table else logits)[:, columns]
        for row in (traits.abs() >= MARGIN).all(dim=1).nonzero().flatten().tolist():
            cell = tuple((traits[row] > 0).tolist())
            if missing.get(cell):
                pools[cell].append((-clarity[row].item(), seeds[row]))
                missing[cell] -= 1
                bar.update()
        if not any(missing.values()):
            break
    bar.close()
    clearest = (sorted(pools[cell])[:number] for cell, number in counts.items())
    return sorted(seed for pool in clearest for _, seed in pool)


def logits_and_clarity(
    classifiers: Sequence[AttributeNetwork], faces: Tensor
) -> tuple[Tensor, Tensor]:
    """The mean logits of two classifiers, (N, A), and the clarity of faces, (N,).

    Clarity is the mean difference between the two's logits. It is small for what is hardly a face:
    neither is certain of anything there. With one classifier it is 0.
    """
    logits = torch.stack([classify(classifier, faces) for classifier in classifiers])
    return logits.mean(dim=0), (logits[0] - logits[-1]).abs().mean(dim=1)


def check_found(seeds: Sequence[int], count: int, attributes: str) -> None:
    """Raises FaceganError for fewer than `count` seeds."""
    if len(seeds) < count:
        raise FaceganError(
            f"{len(seeds)} of {count} faces with attributes={attributes} were found; ask for fewer "
            "faces or attributes, or move faces by edit="
        )


def avatars(
    out: str | Path,
    n: int = 200,
    shares: Mapping[str, float] | None = None,
    weights: str | Path = "full-64",
    upscale: float | None = None,
    filter: str = "lanczos",
    keep: float = 0.25,
    truncation: float = 1.0,
    size: int = 256,
) -> dict[str, Any]:
    """Writes `n` faces as marked PNG files to a folder, and manifest.json, which it returns.

    The faces are those of `find_seeds`: `shares` are its `wanted`, or labels of conditional
    weights. A file has `size` pixels, or `upscale` times the weights'; `filter`: as in `to_pil`. On
    one machine the files always have the same bytes. Raises FaceganError if there are too few such
    faces, and for an unknown attribute; ValueError for numbers out of range.
    """
    generator, wanted = Generator.from_pretrained(weights), dict(shares or {})
    upscale = enlargement(generator.image_size, size) if upscale is None else upscale
    order, text = label_order(generator, wanted), attributes_text(wanted)
    how: dict[str, Any] = {"upscale": upscale, "filter": filter}  # checked before the search
    facts = generator.provenance(truncation=truncation, attributes=text, **how)
    seeds = find_seeds(generator, wanted, n, truncation=truncation, keep=keep, order=order)
    check_found(seeds, n, text)
    images = generator.sample(seeds=seeds, truncation=truncation, attributes=order)
    for seed, image in zip(seeds, images, strict=True):
        picture = to_pil(image, upscale, filter, replace(facts, seeds=str(seed)))
        save_image(picture, Path(out) / f"seed-{seed:04}.png")
    return write_manifest(Path(out), facts, keep, seeds, images)


def write_manifest(
    folder: Path, facts: Provenance, keep: float, seeds: Sequence[int], images: Tensor
) -> dict[str, Any]:
    """Writes manifest.json: how `images`, (N, C, H, W) uint8, were drawn, and what they show."""
    classifiers = [bundled_classifier(size) for size in BUNDLED_SIZES]
    faces = []
    for seed, logits, clarity in zip(seeds, *logits_and_clarity(classifiers, images), strict=True):
        seen = [n for n, x in zip(classifiers[0].attributes, logits, strict=True) if x > 0]
        face = {"file": f"seed-{seed:04}.png", "seed": seed, "attributes": seen}
        faces.append({**face, "clarity": round(clarity.item(), 3)})
    about = {"digital_source_type": GENERATED, "tool": f"facegan {version('facegan')}"}
    fields = ("weights", "license", "truncation", "edit", "upscale", "filter")
    manifest = {**about, **{name: getattr(facts, name) for name in fields}}
    manifest |= {"shares": parse_attributes(facts.attributes), "keep": keep, "faces": faces}
    write_json(folder / "manifest.json", manifest)
    if others := len([*folder.glob("seed-*.png")]) - len(faces):
        print(f"warning: {others} seed-*.png in {folder} are not in its manifest", file=sys.stderr)
    return manifest


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
