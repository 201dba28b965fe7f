"""The input of a training step."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Some faces: images (B, C, H, W) uint8 in channels_last, attributes (B, A) int8:
    1 yes, -1 no, 0 unknown.
    """

    images: Tensor
    attributes: Tensor
