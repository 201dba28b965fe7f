"""Duplicates: photographs with the same pixels, or that look the same, as frames of a video do."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 16  # of a thumbnail
# Correlation of thumbnails from which photographs are duplicates. Of 4,000 photographs of CelebA at
# 28x28, no two people's exceed 0.969; the same ones saved at JPEG quality 50 reach at least 0.979.
MIN_CORRELATION = 0.975
CHUNK = 2048  # thumbnails that are compared with all others at a time


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
    """The duplicates among packed images, (N, size, size, channels)."""
    flat = images.reshape(len(images), -1)
    pixels = flat.view(np.dtype((np.void, flat.shape[1])))[:, 0]  # sorts faster than axis=0
    _, first, inverse = np.unique(pixels, return_index=True, return_inverse=True)
    same = first[inverse]
    exact = int((same != np.arange(len(images))).sum())
    distinct = np.sort(first)
    leaders = distinct[_near_leaders(_thumbnails(images, distinct))]  # of the distinct images
    united = leaders[np.searchsorted(distinct, same)]
    return Duplicates(united, exact, len(distinct) - len(np.unique(leaders)))


def _thumbnails(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Grey thumbnails of some rows, (N, SIDE²), of mean 0 and length 1.

    Their products are correlations, which brightness and contrast do not change. A flat ground
    adds nothing, unlike to a hash of comparisons.
    """
    pictures = (Image.fromarray(images[row].squeeze()).convert("L") for row in rows)
    small = [picture.resize((SIDE, SIDE), Image.Resampling.BOX) for picture in pictures]
    grey = np.stack([np.asarray(picture, dtype=np.float32).ravel() for picture in small])
    grey -= grey.mean(axis=1, keepdims=True)
    return grey / np.maximum(np.linalg.norm(grey, axis=1, keepdims=True), 1e-6)


def _near_leaders(thumbnails: NDArray[np.float32]) -> NDArray[np.int64]:
    """The first row, (N,), of the near duplicates of each thumbnail, itself included.

    Each thumbnail is united with the first and the last one before it that it resembles. All pairs
    would be too many: most frames of a fixed camera resemble each other.
    """
    count = len(thumbnails)
    pairs = np.array([*_near_pairs(thumbnails)], dtype=np.int64).reshape(-1, 2)
    edges = coo_array((np.ones(len(pairs), dtype=bool), pairs.T), shape=(count, count))
    _, component = connected_components(edges, directed=False)
    _, first = np.unique(component, return_index=True)
    return first[component]


def _near_pairs(thumbnails: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    for start in range(0, len(thumbnails), CHUNK):
        some = thumbnails[start : start + CHUNK]
        near = some @ thumbnails[: start + len(some)].T >= MIN_CORRELATION
        near[:, start:] &= np.tri(len(some), k=-1, dtype=bool)  # earlier ones alone
        for row in np.flatnonzero(near.any(axis=1)):
            yield start + int(row), int(near[row].argmax())
            yield start + int(row), near.shape[1] - 1 - int(near[row, ::-1].argmax())
