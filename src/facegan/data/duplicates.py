"""Duplicates: photographs with the same pixels, or the same picture in another encoding."""

from collections.abc import Iterator
from typing import NamedTuple

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_SIDE = 16  # of a hash: 256 bits
# Bits in which duplicates may differ. Of 1,200 photographs of CelebA at 28x28, no two people's
# differ in fewer than 35; the same ones saved at JPEG quality 50 differ in 14 at most.
MAX_DISTANCE = 24
CHUNK = 2048


class Duplicates(NamedTuple):
    """The duplicates among N photographs."""

    leaders: NDArray[np.int64]  # (N,) the row of the first of its duplicates, or its own row
    exact: int  # photographs that repeat the pixels of an earlier one
    near: int  # others that look like an earlier one

    def groups(self) -> NDArray[np.int64]:
        """A number that duplicates share, (N,); -1 for photographs without one."""
        sizes = np.bincount(self.leaders, minlength=len(self.leaders))
        return np.where(sizes[self.leaders] > 1, self.leaders, -1)


def find_duplicates(images: NDArray[np.uint8]) -> Duplicates:
    """The duplicates among packed images, (N, size, size, channels).

    The hash compares each pixel of a 17x16 thumbnail with its neighbour, so that brightness and
    JPEG's quality change few bits.
    """
    rows = np.arange(len(images))
    flat = images.reshape(len(images), -1)
    pixels = flat.view(np.dtype((np.void, flat.shape[1])))[:, 0]  # sorts faster than axis=0
    _, first, inverse = np.unique(pixels, return_index=True, return_inverse=True)
    leaders = first[inverse]
    exact = int((leaders != rows).sum())
    distinct = np.flatnonzero(leaders == rows)
    for row, later in _near_pairs(distinct, _hashes(images, distinct)):
        one, other = sorted((leaders[row], leaders[later]))
        leaders[leaders == other] = one
    return Duplicates(leaders, exact, int((leaders != rows).sum()) - exact)


def _hashes(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The bits of the hashes of some rows, (N, 256), as -1 and 1."""
    pictures = (Image.fromarray(images[row].squeeze()) for row in rows)
    bits = [imagehash.dhash(picture, HASH_SIDE).hash.ravel() for picture in pictures]
    return np.stack(bits).astype(np.float32) * 2 - 1


def _near_pairs(rows: NDArray[np.int64], hashes: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """The pairs of rows whose hashes differ in at most MAX_DISTANCE bits."""
    least = HASH_SIDE**2 - 2 * MAX_DISTANCE  # of a product of two hashes
    for start in range(0, len(rows), CHUNK):
        products = hashes[start : start + CHUNK] @ hashes[start:].T
        for i, j in np.argwhere(products >= least):
            if i < j:
                yield int(rows[start + i]), int(rows[start + j])
