"""One photograph's bytes -> its faces, each rotated, scaled and cropped as in CelebA."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facegan.core.checks import check_choice
from facegan.data.centerface import Points, detect_faces, locate_landmarks, mirror
from facegan.data.decode import FILTER, OVERSAMPLING, Decoder, Faces, flatten, open_photo
from facegan.data.quality import is_blurred

# Median landmarks of CelebA's aligned photographs, 178x218: eyes, nose, mouth corners
CELEBA_LANDMARKS = np.array(
    [(70.2, 112.5), (108.5, 111.5), (88.7, 135.9), (73.0, 153.9), (105.1, 153.1)]
)
EYES_AND_MOUTH = [0, 1, 3, 4]  # the nose moves when the head turns
DETECTION_SIDE = 640  # pixels of the longer side, for the first detection
SMALLEST = 1 / 40  # of the longer side: the side of the smallest crop that the detector finds
UPRIGHT_SIDE = 160  # pixels of the upright crop, for the second detection
MAX_OUTSIDE = 0.05  # share of a crop outside the photograph, which is filled by reflection


class Frame(NamedTuple):
    """A square in CelebA's aligned photographs, in pixels of 178x218."""

    x: float  # of the centre
    y: float
    side: float


# FFHQ's square (Karras et al. 2019): its side is four times the distance of the eyes, and its
# centre a tenth of the way from the eyes to the mouth.
FRAMES = {"true": Frame(89, 109, 108), "wide": Frame(89.3, 116.2, 153)}
UPRIGHT = Frame(89, 128, 140)  # the whole face, centred
NO_FACE, UNCLEAR = "no face", "a face turned away, covered or unclear"
CUT_OFF, BLURRED = "a face too near to the photograph's edge", "a face too blurred"
FACES = ("all", "one")


class Similarity(NamedTuple):
    """z -> scale_turn · z + shift in the complex plane, where x + iy is a point."""

    scale_turn: complex
    shift: complex

    def __call__(self, points: Points) -> Points:
        """Maps points, (..., 2)."""
        mapped = self.scale_turn * (points @ (1, 1j)) + self.shift
        return np.stack([mapped.real, mapped.imag], axis=-1)


@dataclass(frozen=True)
class FaceAligner(Decoder):
    """Every face in a photograph: bytes -> (size, size, channels) uint8 each.

    A similarity maps a face's eyes and mouth corners to their positions in CelebA's aligned
    photographs. `crop` is in pixels of these; by default 108 for `align` "true", 153 for "wide".
    `faces` "one" takes the largest that is not left out. A call raises FaceganError if the
    detector's packages are missing.
    """

    align: str = "true"
    faces: str = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("align", self.align, FRAMES)
        check_choice("faces", self.faces, FACES)

    def __call__(self, data: bytes) -> Faces:
        photo, _ = open_photo(data, self._least_scale)
        photo = flatten(photo, self.background).convert("RGB")
        results: list[NDArray[np.uint8] | str] = []
        for landmarks in find_landmarks(photo):  # the largest first
            results.append(self._crop(photo, landmarks))
            if self.faces == "one" and not isinstance(results[-1], str):
                break
        images = [result for result in results if not isinstance(result, str)]
        left_out = [result for result in results if isinstance(result, str)]
        if images:  # the photograph itself is used
            left_out = [f"{reason} (another face of the photograph is used)" for reason in left_out]
        return Faces(images, left_out if results else [NO_FACE])

    def _least_scale(self, width: int, height: int) -> float:
        return max(DETECTION_SIDE, self.image_size / SMALLEST) / max(width, height)

    def _crop(self, photo: Image.Image, landmarks: Points | None) -> NDArray[np.uint8] | str:
        """The face's image, or the reason for leaving it out."""
        if landmarks is None:
            return UNCLEAR
        frame = FRAMES[self.align]
        to_photo = fit_similarity(landmarks, frame._replace(side=self.crop or frame.side))
        side = abs(to_photo.scale_turn)  # of the crop, in pixels of the photograph
        if side < self.image_size:
            return f"a face too small for {self.image_size} pixels"
        if share_outside(photo, to_photo) > MAX_OUTSIDE:
            return CUT_OFF
        image = crop_square(photo, to_photo, self.image_size).convert(self.mode)
        pixels = np.asarray(image).reshape(self.shape)
        return BLURRED if is_blurred(pixels) else pixels


def frame_name(align: bool | str) -> str:
    """The key in FRAMES of data.align, true or a name."""
    return "true" if align is True else str(align)


def find_landmarks(photo: Image.Image) -> Iterator[Points | None]:
    """Yields the landmarks, (5, 2), of each face in an RGB photograph, the largest face first.

    Each face is detected twice: in the whole photograph, and in its upright crop. None for a face
    that is not found the second time.
    """
    scale = min(1, DETECTION_SIDE / max(photo.size))
    small = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    boxes, landmarks = detect_faces(np.asarray(small))
    widths, heights = (boxes[:, 2:] - boxes[:, :2]).T
    order = np.argsort(-widths * heights, kind="stable")
    ratios = np.divide(photo.size, small.size)
    for face in order:
        yield refine_landmarks(photo, landmarks[face] * ratios)


def refine_landmarks(photo: Image.Image, landmarks: Points) -> Points | None:
    """Detects landmarks, (5, 2), again: the mean over the upright crop and its mirror image."""
    to_photo = fit_similarity(landmarks, UPRIGHT)
    crop = np.asarray(crop_square(photo, to_photo, UPRIGHT_SIDE))
    upright, mirrored = locate_landmarks(np.stack([crop, crop[:, ::-1]]))
    if upright is None or mirrored is None:
        return None
    return to_photo((upright + mirror(mirrored, UPRIGHT_SIDE)) / 2 / UPRIGHT_SIDE)


def fit_similarity(landmarks: Points, frame: Frame) -> Similarity:
    """From the unit square to the square around a face with landmarks (5, 2), framed as `frame`.

    Least squares over eyes and mouth, in closed form (Umeyama 1991, in two dimensions).
    """
    corner = np.array([frame.x, frame.y]) - frame.side / 2
    source = (CELEBA_LANDMARKS[EYES_AND_MOUTH] - corner) / frame.side @ (1, 1j)
    target = landmarks[EYES_AND_MOUTH] @ (1, 1j)
    centred = source - source.mean()
    scale_turn = np.vdot(centred, target) / np.vdot(centred, centred).real
    return Similarity(complex(scale_turn), complex(target.mean() - scale_turn * source.mean()))


def crop_square(photo: Image.Image, to_photo: Similarity, size: int) -> Image.Image:
    """The image of the unit square, (size, size), antialiased; reflected outside the photograph.

    It is sampled at up to OVERSAMPLING times `size`, and resized as by Decoder.
    """
    side = abs(to_photo.scale_turn)
    inner = round(min(max(side, size), OVERSAMPLING * size))
    region, left, top = _region(photo, to_photo)
    factor = max(1, int(side / inner))
    a, b = to_photo.scale_turn / inner / factor, (to_photo.shift - complex(left, top)) / factor
    coefficients = (a.real, -a.imag, b.real, a.imag, a.real, b.imag)
    square = region.reduce(factor).transform(
        (inner, inner), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    return square.resize((size, size), FILTER)


def _region(photo: Image.Image, to_photo: Similarity) -> tuple[Image.Image, int, int]:
    """The part of the photograph around the square, with a margin, and its left and top."""
    corners = to_photo(np.array([(0, 0), (0, 1), (1, 0), (1, 1)]))
    margin = 4 + abs(to_photo.scale_turn) / 8
    (left, top), (right, bottom) = (
        np.floor(corners.min(axis=0) - margin).astype(int),
        np.ceil(corners.max(axis=0) + margin).astype(int),
    )
    inside = (max(left, 0), max(top, 0), min(right, photo.width), min(bottom, photo.height))
    pixels = np.asarray(photo.crop(inside))
    missing = ((inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]), (0, 0))
    return Image.fromarray(np.pad(pixels, missing, mode="symmetric")), int(left), int(top)


def share_outside(photo: Image.Image, to_photo: Similarity) -> float:
    """The share of the square outside the photograph."""
    steps = (np.arange(32) + 0.5) / 32
    points = to_photo(np.stack(np.meshgrid(steps, steps), axis=-1))
    return float(1 - np.all((points >= 0) & (points < photo.size), axis=-1).mean())
