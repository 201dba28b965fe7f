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

    Both sides are predictions of the classifier, not labels, so that its errors affect both shares.
    Half a face of the smaller side is added to both shares: every ratio is finite, and 1 if neither
    side has the attribute.
    """
    half_a_face = 0.5 / min(len(real), len(generated))

    def share(name: str, real: Tensor, generated: Tensor) -> AttributeShare:
        expected, found = (side.double().mean().item() for side in (real, generated))
        ratio = (found + half_a_face) / (expected + half_a_face)
        return AttributeShare(name, expected, found, math.log2(ratio))

    columns = zip(names, real.T, generated.T, strict=True)
    return sorted((share(*column) for column in columns), key=lambda share: share.log_ratio)
