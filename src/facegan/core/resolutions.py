"""The image sizes that the networks support, 4·2^k and 7·2^k, and their channels."""

from facegan.core.checks import check_number

MAX_WIDTH = 8192  # channels
SIZES = {base << levels: (base, levels) for base in (4, 7) for levels in range(1, 9)}


def base_and_levels(image_size: int) -> tuple[int, int]:
    """The side of the smallest feature map, 4 or 7, and the number of doublings: 28 -> (7, 2).

    Raises ValueError for a size that is neither 4·2^k nor 7·2^k with k of 1 to 8.
    """
    if image_size not in SIZES:
        near = sorted(SIZES, key=lambda size: abs(size - image_size))[:2]
        raise ValueError(
            f"image_size must be 4·2^k or 7·2^k (28, 32, 56, 64, …), got {image_size}; "
            f"try {min(near)} or {max(near)}"
        )
    return SIZES[image_size]


def channels_per_level(width: int, levels: int) -> list[int]:
    """Channels from the smallest feature map to the largest: (1024, 2) -> [1024, 512, 256].

    Raises ValueError if `width` is less than 2^levels, since it is halved that often.
    """
    check_number("width", width, 1 << levels, MAX_WIDTH)
    return [width >> level for level in range(levels + 1)]
