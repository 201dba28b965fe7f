"""Brightness and sharpness of packed images."""

import numpy as np
from numpy.typing import NDArray

# Least sharpness times the root of the size. Of 600 faces of CelebA, at most 0.3% at 28, 56 and 64
# pixels are below it, and 3% at 108, CelebA's own resolution; after a Gaussian blur whose deviation
# is one packed pixel, 86% or more.
MIN_SHARPNESS = 2.0


def brightness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The means, (…), of images (…, size, size, channels), in [0, 255]."""
    return images.mean(axis=(-3, -2, -1), dtype=np.float64)


def is_blurred(image: NDArray[np.uint8]) -> bool:
    """Whether (size, size, channels) has less detail than its pixels could show."""
    return bool(sharpness(image) * len(image) ** 0.5 < MIN_SHARPNESS)


def sharpness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The contrast between neighbouring pixels relative to the image's, (…).

    The standard deviation of the Laplacian of (…, size, size, channels) over that of the pixels:
    4.5 for white noise, 0 for an image of one colour or a smooth gradient.
    """
    grey = images.mean(axis=-1)
    inner = grey[..., 1:-1, 1:-1]
    rows = grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1]
    columns = grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:]
    laplacian = rows + columns - 4 * inner
    return laplacian.std(axis=(-2, -1)) / np.maximum(grey.std(axis=(-2, -1)), 1.0)
