"""One photograph's bytes -> one square of uint8 pixels."""

import functools
import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageColor
from PIL.JpegImagePlugin import JpegImageFile

from facegan.core.checks import check_choice, check_number

FILTER = Image.Resampling.BICUBIC  # antialiased by Pillow
MODES = {"RGB": 3, "L": 1}  # channels by data.mode
LARGE = 4_000_000  # pixels from which a photograph is reduced before anything else
MAX_MEMORY = 250_000_000  # bytes that the decoding of a photograph may take
# bytes per pixel that Pillow's decoders take, as measured; other formats are not photographs, or
# another program decodes them, or the files inside of them have other sizes than they say
FORMATS = {
    **dict.fromkeys(("JPEG", "MPO", "PNG", "TIFF", "BMP", "DIB", "GIF", "PPM", "TGA"), 4),
    "HEIF": 8,
    "AVIF": 10,
    "WEBP": 16,
    "JPEG2000": 20,
}
PLAIN_MODES = ("L", "RGB", "YCbCr", "CMYK")
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)  # markers
BYTES_TO_CONVERT = 10  # per pixel of another mode
OVERSAMPLING = 4  # pixels that a reduced size keeps for each pixel of the packed image
MAX_ENLARGEMENT = 2  # of a photograph that is smaller than the packed image
ORIENTATIONS = {  # of EXIF -> what makes the photograph upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_limit_lock = threading.Lock()  # of Pillow's global limit


class Faces(NamedTuple):
    """The faces of a photograph."""

    images: list[NDArray[np.uint8]]  # (size, size, channels) each
    left_out: Sequence[str] = ()  # the reason for each face that is not used


@dataclass(frozen=True)
class Decoder:
    """Centre crop, then one antialiased resize: bytes -> (size, size, channels) uint8.

    `crop` is the side of the centre square in pixels; None means the largest that fits. Transparent
    pixels are composited on `background`, one of Pillow's colours. A call raises ValueError for a
    photograph that is smaller than `crop`, and Pillow's errors for damaged bytes.
    """

    image_size: int
    crop: int | None = None
    mode: str = "RGB"
    background: str = "white"

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, MODES)
        if self.crop is not None:
            check_number("crop", self.crop, 1, 10**5)
        ImageColor.getrgb(self.background)  # raises ValueError for an unknown colour

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image: (size, size, channels)."""
        return self.image_size, self.image_size, MODES[self.mode]

    def __call__(self, data: bytes) -> Faces:
        photo, scale = open_photo(data, self._least_scale)
        photo = flatten(photo, self.background).convert(self.mode)
        side = round(self.crop * scale) if self.crop else min(photo.size)
        if side > min(photo.size):
            width, height = (round(length / scale) for length in photo.size)
            raise ValueError(f"smaller than data.crop={self.crop}: {width}x{height}")
        if side * MAX_ENLARGEMENT < self.image_size:
            return Faces([], [f"too small for {self.image_size} pixels"])
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        # not resize(box=…), whose filter reaches beyond the crop
        square = photo.crop((left, top, left + side, top + side))
        square = square.resize((self.image_size, self.image_size), FILTER)
        return Faces([np.asarray(square).reshape(self.shape)])

    def _least_scale(self, width: int, height: int) -> float:
        return OVERSAMPLING * self.image_size / (self.crop or min(width, height))


def open_photo(data: bytes, least_scale: Callable[[int, int], float]) -> tuple[Image.Image, float]:
    """An upright photograph in sRGB, and its scale: 1, 1/2, 1/4 or 1/8.

    A LARGE one is reduced to the smallest of these that is at least `least_scale(width, height)`;
    a JPEG is decoded at it. Raises ValueError if MAX_MEMORY is not enough, before it is decoded.
    """
    with _open_unlimited(data) as opened:
        width, height = opened.size
        least = min(least_scale(width, height), 1) if width * height > LARGE else 1
        opened.draft(None, (round(width * least), round(height * least)))
        needed = FORMATS[str(opened.format)]
        needed = needed if opened.mode in PLAIN_MODES else max(needed, BYTES_TO_CONVERT)
        memory = opened.width * opened.height * needed
        if isinstance(opened, JpegImageFile) and not is_single_scan(data, opened.layers):
            widths, heights = zip(*(layer[1:3] for layer in opened.layer), strict=True)
            samples = sum(map(mul, widths, heights)) / (max(widths) * max(heights))
            memory += round(2 * samples * width * height)  # all coefficients, in 16 bits
        if memory > MAX_MEMORY:
            raise ValueError(
                f"{width}x{height} pixels are too many to decode; save it smaller, or as a JPEG "
                "that is not progressive"
            )
        opened.load()
    scale = opened.width / width
    factor = round(scale * max(n for n in (1, 2, 4, 8) if n * least <= 1))
    photo = opened if factor <= 1 else _reducible(opened).reduce(factor)
    return to_srgb(upright(photo)), scale / max(factor, 1)


def _reducible(photo: Image.Image) -> Image.Image:
    """`photo` in a mode whose pixels can be averaged."""
    if photo.mode in ("P", "PA", "1"):
        return photo.convert("RGBA" if photo.has_transparency_data else "RGB")
    return flatten(photo, "white") if photo.mode.startswith("I;") else photo


def is_single_scan(data: bytes, components: int) -> bool:
    """Whether a decoder can read a JPEG in one pass, without memory for all of its coefficients."""
    start = 2
    while (marker := data[start : start + 2]) != b"\xff\xda":  # of the first scan
        single = marker[:1] == b"\xff" and marker[1:] >= b"\xc0"
        if not single or marker[1] in (*PROGRESSIVE, *range(0xD0, 0xDA)):  # without a length
            return False
        start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[start + 4 : start + 5] == bytes([components])


def upright(photo: Image.Image) -> Image.Image:
    """`photo`, rotated or flipped as EXIF's orientation demands."""
    # not ImageOps.exif_transpose, which also writes all other tags again, and some cannot be
    orientation = photo.getexif().get(ExifTags.Base.Orientation)
    transpose = ORIENTATIONS.get(orientation or 1)
    return photo if transpose is None else photo.transpose(transpose)


def to_srgb(photo: Image.Image) -> Image.Image:
    """`photo` with the colours of its ICC profile (Display P3, Adobe RGB, …) in sRGB."""
    profile = photo.info.get("icc_profile")
    if not profile or photo.mode not in ("RGB", "RGBA", "CMYK"):
        return photo
    mode = "RGBA" if photo.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return photo
        converted = ImageCms.profileToProfile(
            photo, source, ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError):  # a profile that is damaged, or of another mode
        return photo
    return converted or photo


def _open_unlimited(data: bytes) -> Image.Image:
    """Opens one of FORMATS without Pillow's limit of the size, which is that of `open_photo`."""
    with _limit_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(data), formats=openable())
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def flatten(photo: Image.Image, background: str) -> Image.Image:
    """`photo` on `background` without transparency, with 8 bits per channel."""
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", photo.size, background), photo)
    if photo.mode.startswith("I"):
        values = np.asarray(photo)
        if photo.mode != "I" or 0 <= values.min() <= values.max() < 1 << 16:
            return Image.fromarray((values >> 8).astype(np.uint8))
    if photo.mode in ("I", "F"):
        raise ValueError(f"its pixels have no fixed range (Pillow's mode {photo.mode})")
    return photo


@functools.cache
def openable() -> list[str]:
    """The FORMATS that Pillow opens here: HEIC needs pillow-heif."""
    Image.init()
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
    except ImportError:
        pass
    return [name for name in FORMATS if name in Image.OPEN]
