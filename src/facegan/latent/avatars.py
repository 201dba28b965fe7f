"""A set of faces with shares of attributes: the clearest of many, with a manifest."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from facegan.core.checks import check_number
from facegan.core.errors import FaceganError
from facegan.core.files import write_json
from facegan.core.images import save_image, to_pil
from facegan.core.provenance import GENERATED
from facegan.latent.directions import find_name, unique
from facegan.latent.selection import BATCH, CANDIDATES, MARGIN
from facegan.networks.attributes import BUNDLED_SIZES, bundled_classifier, classify
from facegan.networks.base import Generator

MANIFEST = "manifest.json"
MORE_CANDIDATES = 50  # for each face of the set

Cell = tuple[bool, ...]  # which of the attributes a face has


class Avatar(NamedTuple):
    """A face of a set."""

    seed: int
    attributes: list[str]  # all that the classifiers see
    clarity: float


def avatars(
    out: str | Path,
    n: int = 200,
    shares: Mapping[str, float] | None = None,
    weights: str | Path = "full-64",
    upscale: int = 4,
    filter: str = "lanczos",
    keep: float = 0.25,
    truncation: float = 1.0,
) -> dict[str, Any]:
    """Writes `n` faces as marked PNG files to a folder, and manifest.json, which it returns.

    `shares`: {"Male": 0.5, "Eyeglasses": 0.33}; independent of each other, rounded. For each
    combination, only the clearest share `keep` of the candidates is taken, and more where they are
    rare: at most 10,000 and 50 for each of the `n` are drawn. `upscale` and `filter`: as in
    `to_pil`. On one machine the files always have the same bytes. Raises FaceganError if there are
    too few such faces, and for an unknown attribute.
    """
    generator, shares = Generator.from_pretrained(weights), dict(shares or {})
    facts, faces = generator.provenance(truncation=truncation), []
    for avatar in choose(generator, n, shares, keep, truncation):
        mark = replace(facts, seeds=str(avatar.seed))
        (image,) = generator.sample(seeds=[avatar.seed], truncation=truncation)
        name = f"seed-{avatar.seed:05}.png"
        save_image(to_pil(image, upscale, filter, mark), Path(out) / name)
        face = {"file": name, "seed": avatar.seed, "attributes": avatar.attributes}
        faces.append({**face, "clarity": round(avatar.clarity, 3)})
    order = {"shares": shares, "keep": keep, "truncation": truncation}
    scale = {"upscale": upscale, "filter": filter}
    about = {"digital_source_type": GENERATED, "tool": f"facegan {version('facegan')}"}
    about |= {"weights": facts.weights, "license": facts.license}
    manifest = {**about, **order, **scale, "faces": faces}
    write_json(Path(out) / MANIFEST, manifest)
    return manifest


def choose(
    generator: Generator,
    count: int,
    shares: Mapping[str, float],
    keep: float = 0.25,
    truncation: float = 1.0,
) -> list[Avatar]:
    """The seeds of `avatars`, in ascending order, with what the two bundled classifiers see.

    The mean of their logits decides, and must be certain of the attributes of `shares`.
    The clarity of a face is the mean difference between the logits of the two classifiers. It is
    small for what is hardly a face: neither is certain of anything there.
    """
    check_number("keep", keep, 0.01, 1, whole=False)
    classifiers = [bundled_classifier(size).to(generator.device) for size in BUNDLED_SIZES]
    names = classifiers[0].attributes
    columns = [find_name(name, names, "an attribute") for name in shares]
    counts = cell_counts(shares, count)
    pools: dict[Cell, list[Avatar]] = {cell: [] for cell in counts}
    missing = {cell: math.ceil(number / keep) for cell, number in counts.items()}
    for start in range(0, CANDIDATES + MORE_CANDIDATES * count, BATCH):
        faces = generator.sample(seeds=range(start, start + BATCH), truncation=truncation)
        first, second = (classify(classifier, faces) for classifier in classifiers)
        clarity, logits = (first - second).abs().mean(dim=1).tolist(), (first + second) / 2
        certain = (logits[:, columns].abs() > MARGIN).all(dim=1)
        for row in certain.nonzero().flatten().tolist():
            cell = tuple((logits[row, columns] > 0).tolist())
            if missing.get(cell, 0) > 0:
                seen = [name for name, logit in zip(names, logits[row], strict=True) if logit > 0]
                pools[cell].append(Avatar(start + row, seen, clarity[row]))
                missing[cell] -= 1
        if not any(missing.values()):
            break
    if any(len(pools[cell]) < number for cell, number in counts.items()):
        raise FaceganError(
            f"{start + BATCH:,} faces are too few for {count} with the shares "
            f"{json.dumps(dict(shares))}; ask for fewer faces or attributes"
        )
    best = (sorted(pools[cell], key=lambda a: -a.clarity)[:n] for cell, n in counts.items())
    return sorted(avatar for part in best for avatar in part)


def cell_counts(shares: Mapping[str, float], count: int) -> dict[Cell, int]:
    """How many of `count` faces have each combination of attributes: independent shares."""
    exact: dict[Cell, float] = {(): count}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise FaceganError(f"the share of {name} must be a number from 0 to 1, got {share}")
        exact = {
            (*cell, has): number * (share if has else 1 - share)
            for cell, number in exact.items()
            for has in (True, False)
        }
    counts = {cell: int(number) for cell, number in exact.items()}
    largest = sorted(exact, key=lambda cell: counts[cell] - exact[cell])
    for cell in largest[: count - sum(counts.values())]:
        counts[cell] += 1
    return {cell: number for cell, number in counts.items() if number}


def parse_shares(text: str) -> dict[str, float]:
    """Parses "Male:0.5,Eyeglasses:0.33" -> {"Male": 0.5, "Eyeglasses": 0.33}. Raises FaceganError.

    Without attributes, "", the shares are those of the generator.
    """
    try:
        pairs = (part.split(":") for part in text.split(",") if text.strip())
        return unique((name, float(share)) for name, share in pairs)
    except ValueError:
        raise FaceganError(
            "shares is names of attributes, each once, with numbers from 0 to 1, such as "
            f"Male:0.5,Eyeglasses:0.33; got {text!r}"
        ) from None
