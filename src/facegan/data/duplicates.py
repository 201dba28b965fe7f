"""Duplicates: photographs with the same pixels, or that look the same, as frames of a video do."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16  # of a thumbnail
# Correlation of thumbnails from which photographs are duplicates. Of 4,000 photographs of CelebA at
# 28x28, no two people's exceed 0.969; the same ones saved at JPEG quality 50 reach at least 0.979.
MIN_CORRELATION = 0.975
CHUNK = 2048  # thumbnails that are compared with all others at a time
GROUND_LEVELS, MIN_GROUND = 16, 0.25  # of grey, and the share of the pixels, of a flat ground


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
    """Grey thumbnails of some rows, (N, SIDE²)."""
    pictures = (Image.fromarray(images[row].squeeze()).convert("L") for row in rows)
    small = (picture.resize((SIDE, SIDE), Image.Resampling.BOX) for picture in pictures)
    return np.stack([np.asarray(picture, dtype=np.float32).ravel() for picture in small])


def _near_leaders(thumbnails: NDArray[np.float32]) -> NDArray[np.int64]:
    """The first row, (N,), of the near duplicates of each thumbnail, itself included.

    Each one is compared closely with the most similar one before it. All similar pairs would be too
    many: most frames of a fixed camera resemble each other.
    """
    leaders = np.arange(len(thumbnails))
    for row, earlier in _most_similar(normalize(thumbnails)):
        if _same_subject(thumbnails[row], thumbnails[earlier]):
            leaders[row] = leaders[earlier]
    return leaders


def _most_similar(thumbnails: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Rows in ascending order, each with the most similar row before it if it is similar enough."""
    for start in range(0, len(thumbnails), CHUNK):
        some = thumbnails[start : start + CHUNK]
        correlations = some @ thumbnails[: start + len(some)].T
        correlations[:, start:][~np.tri(len(some), k=-1, dtype=bool)] = -1  # only earlier rows
        best = correlations.argmax(axis=1)
        for row in np.flatnonzero(correlations.max(axis=1) >= MIN_CORRELATION):
            yield start + int(row), int(best[row])


def _same_subject(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two thumbnails correlate outside of a flat ground that both have."""
    subject = ~(_ground(one) & _ground(other))
    a, b = normalize(np.stack([one[subject], other[subject]]))
    return bool(a @ b >= MIN_CORRELATION)


def _ground(thumbnail: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The pixels, (SIDE²,), of the level that most of them have; none if few have it."""
    levels = np.bincount(thumbnail.astype(np.int64) // GROUND_LEVELS)
    ground = np.abs(thumbnail - (levels.argmax() + 0.5) * GROUND_LEVELS) <= GROUND_LEVELS
    return ground & (ground.mean() >= MIN_GROUND)


def normalize(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean 0 and length 1 for each row, so that products are correlations."""
    centred = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
