"""Faces with attributes to order: the seeds of them, by the bundled classifier."""

from collections.abc import Mapping

import torch

from facegan.core.errors import FaceganError
from facegan.latent.directions import find_name, unique
from facegan.networks.attributes import bundled_classifier, classify
from facegan.networks.base import Generator
from facegan.networks.latents import MAX_SEED

CANDIDATES = 10_000
BATCH = 96  # seeds at a time
MARGIN = 1.0  # of a logit: the classifier is at least 73% certain


def find_seeds(
    generator: Generator,
    wanted: Mapping[str, bool],
    count: int,
    first: int = 0,
    candidates: int = CANDIDATES,
    truncation: float = 1.0,
) -> list[int]:
    """Up to `count` seeds, from `first` on, whose faces have some attributes and lack others.

    `wanted`: {"Smiling": True, "Eyeglasses": False}. At most `candidates` faces are drawn: rare
    attributes may give fewer seeds, or none. Raises FaceganError for an unknown attribute.
    """
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


def parse_attributes(text: str) -> dict[str, bool]:
    """Parses "Smiling,-Eyeglasses" -> {"Smiling": True, "Eyeglasses": False}.

    Raises FaceganError.
    """
    try:
        parts = [part.strip() for part in text.split(",")]
        return unique((part.removeprefix("-"), not part.startswith("-")) for part in parts)
    except ValueError:
        raise FaceganError(
            "attributes are names, each once, with - before those that a face must lack, such as "
            f"Smiling,-Eyeglasses; got {text!r}"
        ) from None
