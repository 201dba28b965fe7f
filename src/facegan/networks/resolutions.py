"""The image sizes that the networks support: 4·2^k and 7·2^k."""


def base_and_levels(image_size: int) -> tuple[int, int]:
    """The side of the smallest feature map, 4 or 7, and the number of doublings: 28 -> (7, 2).

    Raises ValueError for a size that is neither 4·2^k nor 7·2^k with k >= 1.
    """
    for base in (4, 7):
        levels = (image_size // base).bit_length() - 1
        if levels >= 1 and base << levels == image_size:
            return base, levels
    near = sorted(_image_sizes(), key=lambda size: abs(size - image_size))[:2]
    raise ValueError(
        f"image_size must be 4·2^k or 7·2^k (28, 32, 56, 64, …), got {image_size}; "
        f"try {min(near)} or {max(near)}"
    )


def _image_sizes() -> list[int]:
    return [base << level for base in (4, 7) for level in range(1, 9)]


def channels_per_level(width: int, levels: int) -> list[int]:
    """Channels from the smallest feature map to the largest: (1024, 2) -> [1024, 512, 256].

    Raises ValueError if `width` is less than 2^levels.
    """
    if width < 1 << levels:
        raise ValueError(
            f"width must be at least {1 << levels}, since it is halved {levels} times, got {width}"
        )
    return [width >> level for level in range(levels + 1)]
