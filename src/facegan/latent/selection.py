"""Faces to order: seeds whose faces have attributes, by the bundled classifier."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from facegan.core.errors import FaceganError
from facegan.latent.directions import find_name
from facegan.networks.attributes import bundled_classifier, classify
from facegan.networks.base import Generator
from facegan.networks.latents import MAX_SEED, latents

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
    """Up to `count` seeds, from `first` on, whose faces have the attributes, and lack others.

    `wanted`: {"Smiling": True, "Eyeglasses": False}. At most `candidates` faces are drawn: rare
    attributes may give fewer seeds, or none. Raises FaceganError for an unknown attribute.
    """
    classifier = bundled_classifier(generator.image_size).to(next(generator.parameters()).device)
    columns = [find_name(name, classifier.attributes, "attribute") for name in wanted]
    signs = torch.tensor([1.0 if has else -1.0 for has in wanted.values()])
    found: list[int] = []
    seeds = range(first, min(first + candidates, MAX_SEED + 1))
    for start in range(0, len(seeds), BATCH):
        batch = seeds[start : start + BATCH]
        images = generator.draw(latents(batch, generator.latent_dim) * truncation)
        logits = classify(classifier, images)[:, columns] * signs
        found += _rows(batch, (logits > MARGIN).all(dim=1))
        if len(found) >= count:
            break
    return found[:count]


def _rows(seeds: Iterable[int], chosen: Tensor) -> list[int]:
    return [seed for seed, take in zip(seeds, chosen.tolist(), strict=True) if take]


def parse_attributes(text: str) -> dict[str, bool]:
    """As a user types them: "Smiling,-Eyeglasses" -> {"Smiling": True, "Eyeglasses": False}.

    Raises FaceganError.
    """
    wanted: dict[str, bool] = {}
    for part in text.split(","):
        name = part.strip().removeprefix("-")
        if not name or name in wanted:
            raise FaceganError(
                "attributes are names, each once, with - before those that a face must lack, such "
                f"as Smiling,-Eyeglasses; got {text!r}"
            )
        wanted[name] = not part.strip().startswith("-")
    return wanted
