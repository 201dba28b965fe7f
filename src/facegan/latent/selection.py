"""Faces with attributes to order: by labels, or by a search for seeds with the classifier."""

import sys
from collections.abc import Mapping

import torch

from facegan.core.errors import FaceganError
from facegan.latent.directions import find_name, unique
from facegan.networks.attributes import bundled_classifier, classify
from facegan.networks.base import Generator
from facegan.networks.latents import MAX_SEED

CANDIDATES = 10_000
BATCH = 96  # seeds at a time
RARE = 0.001  # of the training faces
MARGIN = 1.0  # of a logit: the classifier is at least 73% certain


def find_seeds(
    generator: Generator,
    wanted: Mapping[str, float],
    count: int,
    first: int = 0,
    candidates: int = CANDIDATES,
    truncation: float = 1.0,
) -> list[int]:
    """Up to `count` seeds, from `first` on, whose faces have some attributes and lack others.

    `wanted`: {"Smiling": True, "Eyeglasses": False}. At most `candidates` faces are drawn: rare
    attributes may give fewer seeds, or none. Raises FaceganError for an unknown attribute, and for
    shares between 0 and 1.
    """
    if not {*wanted.values()} <= {0, 1}:
        raise FaceganError(
            "shares of attributes need weights that were trained with model.conditional=true; give "
            "names alone, such as Smiling,-Eyeglasses"
        )
    classifier = bundled_classifier(generator.image_size).to(generator.device)
    columns = [find_name(name, classifier.attributes, "an attribute") for name in wanted]
    signs = torch.tensor([1.0 if has else -1.0 for has in wanted.values()])
    found: list[int] = []
    end = min(first + candidates, MAX_SEED + 1)
    for start in range(first, end, BATCH):
        seeds = range(start, min(start + BATCH, end))
        logits = classify(classifier, generator.sample(seeds=seeds, truncation=truncation))
        fits = (logits[:, columns] * signs > MARGIN).all(dim=1)
        found += [seeds[row] for row in fits.nonzero().flatten().tolist()]
        if len(found) >= count:
            break
    return found[:count]


def label_order(generator: Generator, text: str | None) -> dict[str, float] | None:
    """The shares of `text` by the names of the generator's labels; None without either.

    Warns of combinations that the training data hardly has. Raises FaceganError for unknown names.
    """
    if text is None or generator.labels is None:
        return None
    names, wanted = generator.labels.names, parse_attributes(text)
    order = {names[find_name(n, names, "a label of this generator")]: wanted[n] for n in wanted}
    share = generator.labels.share(order)
    if share < RARE:
        print(
            f"warning: {share:.2%} of the training faces have {text}, so that the generator has "
            "hardly learned such faces",
            file=sys.stderr,
        )
    return order


def parse_attributes(text: str) -> dict[str, float]:
    """Parses shares of faces: "Smiling,-Hat,Male:0.5" -> {"Smiling": 1, "Hat": 0, "Male": 0.5}.

    Raises FaceganError.
    """
    try:
        return unique(_parse_share(part.strip()) for part in text.split(","))
    except ValueError:
        raise FaceganError(
            "attributes are names, each once, with - before those that a face must lack, or with "
            f"the share of faces that have them, such as Smiling,-Eyeglasses,Male:0.5; got {text!r}"
        ) from None


def _parse_share(text: str) -> tuple[str, float]:
    name, colon, share = text.partition(":")
    if colon and not 0 <= float(share) <= 1:
        raise ValueError(text)
    return (name, float(share)) if colon else (text.removeprefix("-"), float(text[:1] != "-"))
