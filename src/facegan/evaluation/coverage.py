"""Attribute coverage: which attributes are under- or over-represented in generated faces."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class AttributeShare:
    """The shares of faces with one attribute, in [0, 1], both predicted by the same classifier."""

    name: str
    reference: float  # of the training images
    generated: float
    log_ratio: float  # about log2(generated / reference): -1 is half as often, 0 equally often


def attribute_coverage(
    real: Tensor, generated: Tensor, names: tuple[str, ...]
) -> list[AttributeShare]:
    """Compares (N, A) with (M, A) bool; sorted from most under- to most over-represented.

    Both sides are predictions of the classifier, never labels made by hand, so that its errors
    shift both shares alike. Half a face of the smaller side is added to both shares: every ratio is
    finite, and 1 where neither side has the attribute.
    """
    if real.shape[1] != len(names) or generated.shape[1] != len(names):
        raise ValueError(
            f"attributes must have one column for each of the {len(names)} names, got "
            f"{tuple(real.shape)} and {tuple(generated.shape)}"
        )
    shares = [_share(name, real[:, i], generated[:, i]) for i, name in enumerate(names)]
    return sorted(shares, key=lambda share: share.log_ratio)


def _share(name: str, real: Tensor, generated: Tensor) -> AttributeShare:
    half_a_face = 0.5 / min(len(real), len(generated))
    expected, found = (side.double().mean().item() for side in (real, generated))
    return AttributeShare(
        name, expected, found, math.log2((found + half_a_face) / (expected + half_a_face))
    )
