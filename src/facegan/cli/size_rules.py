"""How lite's and full's values depend on the image size. Each is the identity at 28x28.

The recipes in conf/model name these functions as resolvers (config.py); a value on the command
line replaces the rule. full-28 and full-64 (weights/full-64.md) were trained with these values.
"""

LARGE = 56  # pixels: the discriminator's first layer has half of the channels from here on


def generator_width(width: int, last: int, image_size: int) -> int:
    """`width`, or as much as leaves `last` channels when each doubling of the size halves them.

    (96, 16, 28) -> 96, (96, 16, 32) -> 128, (96, 16, 64) -> 256, (96, 16, 128) -> 512.
    """
    doublings = max(image_size // 4, 1).bit_length() - 1
    return max(width, last << doublings)


def discriminator_width(width: int, image_size: int) -> int:
    """`width`, halved from 56x56 on, since the first layer then takes most of a step's time."""
    return width // 2 if image_size >= LARGE else width


def r1_gamma(gamma: float, image_size: int) -> float:
    """`gamma` at 28x28, in proportion to the number of pixels.

    The rule is that of StyleGAN2-ADA's configuration "auto" (Karras et al. 2020), whose gamma is
    0.0002 · size² / batch.
    """
    return gamma * (image_size / 28) ** 2
