"""Faces as marked PNG files: of an id, and sets of them with a manifest."""

import functools
import hashlib
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from facegan.core.checks import check_number
from facegan.core.errors import FaceganError
from facegan.core.files import write_json
from facegan.core.images import enlargement, png, save_image, to_pil
from facegan.core.provenance import GENERATED, Provenance, is_marked
from facegan.core.seeds import derive_seed
from facegan.latent.selection import (
    attributes_text,
    check_found,
    find_faces,
    label_order,
    logits_and_clarity,
    parse_attributes,
)
from facegan.networks.attributes import BUNDLED_SIZES, AttributeNetwork, bundled_classifier
from facegan.networks.base import Generator
from facegan.networks.latents import MAX_SEED


def face_png(
    seed: int | str,
    upscale: float | None = None,
    weights: str | None = None,
    attributes: str | None = None,
    size: int = 256,
    truncation: float = 0.7,
    keep: float = 0.25,
) -> bytes:
    """The face of a seed, or of a text such as a user's id, as a marked PNG file.

    The same arguments give the same bytes, as long as version, machine and number of threads are
    the same. `seed`: a text stands for the seed `text_seed(text)`. With `keep` = 1 the face is that
    of the seed; else the clearest of round(1 / keep) faces, whose seeds follow from it. The mark
    names the seed that is drawn.

    `attributes`: "Smiling,-Eyeglasses", as in the command `sample`, for weights with labels.
    `weights`: by default "labels-28" with attributes, else "full-64". The file has `size` pixels in
    width and height, or `upscale` times those of the weights. Raises FaceganError for unknown
    names and for shares, ValueError for attributes of weights without labels.
    """
    check_number("keep", keep, 0.01, 1, whole=False)
    generator, facts = _loaded(weights or ("labels-28" if attributes else "full-64"))
    wanted = parse_attributes(attributes)
    for name, share in wanted.items():
        if share not in (0, 1):
            raise FaceganError(
                f"attributes={attributes}: one face has {name} or lacks it, and a share is of "
                f"several; write {name} or -{name}"
            )
    first = text_seed(seed) if isinstance(seed, str) else seed
    others = (derive_seed("face_png", int(first), n) for n in range(1, round(1 / keep)))
    seeds = [first, *(other % (MAX_SEED + 1) for other in others)]
    order = label_order(generator, wanted) or wanted
    images = generator.sample(seeds=seeds, truncation=truncation, attributes=order)
    many = len(seeds) > 1
    best = int(logits_and_clarity(_classifiers(), images)[1].argmax()) if many else 0
    text, truncation = attributes_text(order), float(truncation)
    facts = replace(facts, seeds=str(seeds[best]), truncation=truncation, attributes=text)
    upscale = enlargement(generator.image_size, size) if upscale is None else upscale
    return png(images[best], upscale, "lanczos", facts)


def text_seed(text: str) -> int:
    """The seed of a text: the first 8 hexadecimal digits of its SHA-256, in UTF-8."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


@functools.cache
def _loaded(weights: str) -> tuple[Generator, Provenance]:
    """A generator, and the facts that all of its faces share: a digest takes 10 ms."""
    generator = Generator.from_pretrained(weights)
    return generator, generator.provenance()


@functools.cache
def _classifiers() -> list[AttributeNetwork]:
    return [bundled_classifier(size) for size in BUNDLED_SIZES]


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
    exclude: Collection[int] = (),
) -> dict[str, Any]:
    """Writes `n` faces as marked PNG files to a folder, and manifest.json, which it returns.

    The faces are those of `find_seeds`: `shares` are its `wanted`, or labels of conditional
    weights; `exclude` are seeds of broken faces, whose files are removed and replaced by others. A
    file has `size` pixels, or `upscale` times the weights'; `filter`: as in `to_pil`. On one
    machine the files always have the same bytes, with one number of threads. Raises FaceganError if
    there are too few such faces, and for an unknown attribute; ValueError for numbers out of range.
    """
    generator, wanted = Generator.from_pretrained(weights), dict(shares or {})
    upscale = enlargement(generator.image_size, size) if upscale is None else upscale
    order, text = label_order(generator, wanted), attributes_text(wanted)
    how: dict[str, Any] = {"upscale": upscale, "filter": filter}  # checked before the search
    facts = generator.provenance(truncation=truncation, attributes=text, **how)
    options: dict[str, Any] = {"keep": keep, "order": order, "exclude": exclude}
    found = find_faces(generator, wanted, n, truncation=truncation, **options)
    check_found(found, n, text)
    images = generator.sample(seeds=found, truncation=truncation, attributes=order)
    for (seed, own), image in zip(found.items(), images, strict=True):
        picture = to_pil(image, upscale, filter, replace(facts, seeds=str(seed), attributes=own))
        save_image(picture, Path(out) / file_name(seed))
    return write_manifest(Path(out), facts, keep, found, images, exclude)


def file_name(seed: int) -> str:
    """Of the image of a seed."""
    return f"seed-{seed:04}.png"


def write_manifest(
    folder: Path,
    facts: Provenance,
    keep: float,
    found: Mapping[int, str],
    images: Tensor,
    exclude: Collection[int] = (),
) -> dict[str, Any]:
    """Writes manifest.json: how the files of `found` were drawn, and what they show.

    `found`: seeds, and what was ordered of each; `images`: theirs, (N, C, H, W) uint8. Files of
    the seeds `exclude`, which an earlier call has written, are removed.
    """
    faces, names = [], _classifiers()[0].attributes
    seen = zip(*logits_and_clarity(_classifiers(), images), strict=True)
    for (seed, own), (logits, clarity) in zip(found.items(), seen, strict=True):
        digest = hashlib.sha256((folder / file_name(seed)).read_bytes()).hexdigest()
        face = {"file": file_name(seed), "sha256": digest, "seed": seed}
        face["ordered"] = {name: bool(has) for name, has in parse_attributes(own).items()}
        face["attributes"] = [n for n, x in zip(names, logits, strict=True) if x > 0]
        faces.append({**face, "clarity": round(clarity.item(), 3)})
    about = {"digital_source_type": GENERATED, "tool": f"facegan {version('facegan')}"}
    fields = ("weights", "license", "truncation", "edit", "upscale", "filter")
    manifest = {**about, **{name: getattr(facts, name) for name in fields}}
    manifest |= {
        "shares": parse_attributes(facts.attributes),
        "keep": keep,
        "exclude": sorted(exclude),
        "faces": faces,
    }
    write_json(folder / "manifest.json", manifest)
    _remove(folder / file_name(seed) for seed in exclude)
    if others := len([*folder.glob("seed-*.png")]) - len(faces):
        print(f"warning: {others} seed-*.png in {folder} are not in its manifest", file=sys.stderr)
    return manifest


def _remove(paths: Iterable[Path]) -> None:
    """Removes images that the package has written."""
    for path in paths:
        if path.is_file() and is_marked(path.read_bytes()):
            path.unlink()
