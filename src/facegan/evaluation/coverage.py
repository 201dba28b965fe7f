"""Attribute coverage: what of the data's variety the generated faces drop or overdo."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class AttributeShare:
    """The shares, in [0, 1], of faces with one attribute; both as the same classifier sees them."""

    name: str
    real: float
    generated: float
    log_ratio: float  # log2(generated / real): -1 is half as often, 0 as it should be


def attribute_coverage(
    real: Tensor, generated: Tensor, names: tuple[str, ...]
) -> list[AttributeShare]:
    """Compares (N, A) with (M, A) bool; sorted from what is dropped most to what is overdone most.

    Both sides are judged by the classifier, never by hand-made labels: its mistakes then shift
    both shares alike. Half a face is added to each count, so that a ratio is always finite.
    """
    if real.shape[1] != len(names) or generated.shape[1] != len(names):
        raise ValueError(
            f"attributes must have one column for each of the {len(names)} names, got "
            f"{tuple(real.shape)} and {tuple(generated.shape)}"
        )
    shares = [_share(name, real[:, i], generated[:, i]) for i, name in enumerate(names)]
    return sorted(shares, key=lambda share: share.log_ratio)


def _share(name: str, real: Tensor, generated: Tensor) -> AttributeShare:
    expected = (int(real.sum()) + 0.5) / (len(real) + 1)
    found = (int(generated.sum()) + 0.5) / (len(generated) + 1)
    return AttributeShare(
        name,
        real.double().mean().item(),
        generated.double().mean().item(),
        math.log2(found / expected),
    )
