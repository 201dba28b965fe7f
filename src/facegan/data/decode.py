"""One photograph's bytes -> one square of uint8 pixels."""

import functools
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps

from facegan.core.checks import check_number
from facegan.core.errors import FaceganError

MODES = {"RGB": 3, "L": 1}  # channels by data.mode
MAX_PIXELS = 100_000_000  # of a decoded photograph: 300 MB in RGB
LARGE = 4_000_000  # pixels from which a JPEG is decoded at a reduced size
OVERSAMPLING = 4  # pixels that a reduced size keeps for each pixel of the packed image


class Faces(NamedTuple):
    """What a photograph becomes."""

    images: list[NDArray[np.uint8]]  # (size, size, channels) each
    left_out: Sequence[str] = ()  # why further faces in it are not used, a reason for each


@dataclass(frozen=True)
class Decoder:
    """Centre crop, then one antialiased resize: bytes -> (size, size, channels) uint8.

    `crop` is the side of the centre square in pixels; None means the largest that fits. Transparent
    pixels are composited on `background`, a colour that Pillow knows. Raises ValueError where a
    photograph has no such square, and whatever Pillow raises on damaged bytes.
    """

    image_size: int
    crop: int | None = None
    mode: str = "RGB"
    background: str = "white"

    chunk: ClassVar[int] = 256  # photographs per task of a process: it hides the queue

    def __post_init__(self) -> None:
        check_mode(self.mode)
        if self.crop is not None:
            check_number("crop", self.crop, 1, 10**5)
        try:
            ImageColor.getrgb(self.background)
        except ValueError as error:
            raise FaceganError(
                f"data.background={self.background} is no colour; try white, black or '#808080'"
            ) from error

    @property
    def channels(self) -> int:
        return MODES[self.mode]

    def __call__(self, data: bytes) -> Faces:
        photo, scale = open_photo(data, self._least_scale)
        photo = flatten(photo, self.background).convert(self.mode)
        side = round(self.crop * scale) if self.crop else min(photo.size)
        if side > min(photo.size):
            width, height = (round(length / scale) for length in photo.size)
            raise ValueError(f"smaller than data.crop={self.crop}: {width}x{height}")
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        # not resize(box=…), whose filter reaches beyond the crop
        square = photo.crop((left, top, left + side, top + side))
        square = square.resize((self.image_size, self.image_size), Image.Resampling.BICUBIC)
        return Faces([np.asarray(square).reshape(self.image_size, self.image_size, self.channels)])

    def _least_scale(self, width: int, height: int) -> float:
        return OVERSAMPLING * self.image_size / (self.crop or min(width, height))


def check_mode(mode: str) -> int:
    """The channels of images of `mode`. Raises FaceganError for a mode that is not in MODES."""
    if mode not in MODES:
        raise FaceganError(f"data.mode must be one of {', '.join(MODES)}, got {mode}")
    return MODES[mode]


def open_photo(data: bytes, least_scale: Callable[[int, int], float]) -> tuple[Image.Image, float]:
    """An upright photograph, and the scale at which it was decoded: 1, 1/2, 1/4 or 1/8.

    A large JPEG is decoded at the smallest of these that is at least `least_scale(width, height)`,
    which takes less time and memory. Raises ValueError for more than MAX_PIXELS after that.
    """
    register_heif()
    with _without_pixel_limit():
        opened = Image.open(io.BytesIO(data))
    with opened:
        width, height = opened.size
        if width * height > LARGE:
            least = min(least_scale(width, height), 1)
            opened.draft(None, (round(width * least), round(height * least)))
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(
                f"{width}x{height} pixels are too many to decode; save it smaller, or as JPEG"
            )
        return ImageOps.exif_transpose(opened), opened.width / width


def flatten(photo: Image.Image, background: str) -> Image.Image:
    """`photo` without transparency and with 8 bits a channel; colours under alpha 0 do not show."""
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        canvas = Image.new("RGBA", photo.size, background)
        return Image.alpha_composite(canvas, photo)
    if photo.mode.startswith("I"):
        values = np.asarray(photo)
        if photo.mode != "I" or 0 <= values.min() <= values.max() < 1 << 16:
            return Image.fromarray((values >> 8).astype(np.uint8))  # the byte that a screen shows
    if photo.mode in ("I", "F"):
        raise ValueError(f"its pixels have no fixed range (Pillow's mode {photo.mode})")
    return photo


@functools.cache
def register_heif() -> bool:
    """Teaches Pillow HEIC, where pillow-heif is installed; returns whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@contextmanager
def _without_pixel_limit() -> Iterator[None]:
    """Pillow refuses by the size of the file; here the size after `draft` decides."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
