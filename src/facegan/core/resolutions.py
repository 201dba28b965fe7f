"""The image sizes that the networks support, 4·2^k and 7·2^k, and their channels."""

from facegan.core.checks import check_number

MAX_WIDTH = 8192  # channels


def base_and_levels(image_size: int) -> tuple[int, int]:
    """The side of the smallest feature map, 4 or 7, and the number of doublings: 28 -> (7, 2).

    Raises ValueError for a size that is neither 4·2^k nor 7·2^k with k >= 1.
    """
    check_number("image_size", image_size, 8, 1792)
    for base in (4, 7):
        levels = (image_size // base).bit_length() - 1
        if levels >= 1 and base << levels == image_size:
            return base, levels
    sizes = [base << level for base in (4, 7) for level in range(1, 9)]
    near = sorted(sizes, key=lambda size: abs(size - image_size))[:2]
    raise ValueError(
        f"image_size must be 4·2^k or 7·2^k (28, 32, 56, 64, …), got {image_size}; "
        f"try {min(near)} or {max(near)}"
    )


def channels_per_level(width: int, levels: int) -> list[int]:
    """Channels from the smallest feature map to the largest: (1024, 2) -> [1024, 512, 256].

    Raises ValueError if `width` is less than 2^levels, since it is halved that often.
    """
    check_number("width", width, 1 << levels, MAX_WIDTH)
    return [width >> level for level in range(levels + 1)]
