"""Faces drawn by code: no download, no photograph. For demos and tests; nobody's face is learnt."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from facegan.data.archive import Labels
from facegan.data.base import FaceSource
from facegan.data.folder import split_by_name
from facegan.streams import stream_seed

Colour = tuple[int, int, int]
DRAWING = 1  # counts changes of the way they are drawn, so that old archives are left alone
CANVAS = 112  # pixels a side, before the one antialiased resize

SKINS: list[Colour] = [
    (255, 219, 190),
    (240, 190, 150),
    (200, 145, 105),
    (150, 100, 70),
    (95, 60, 45),
]
HAIRS: list[Colour] = [(30, 25, 25), (80, 50, 30), (140, 90, 45), (220, 180, 110), (160, 160, 160)]
IRISES: list[Colour] = [(60, 40, 25), (70, 110, 160), (70, 120, 70)]
GROUNDS: list[Colour] = [
    (205, 215, 225),
    (120, 140, 160),
    (225, 205, 180),
    (70, 75, 90),
    (180, 200, 170),
]


class DrawnFaces(FaceSource):
    """`count` cartoon faces that differ in skin, hair, eyes, mouth, glasses, size and place."""

    def __init__(self, archives: str, count: int, image_size: int, seed: int = 0) -> None:
        super().__init__(archives, image_size)
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}; try 4000")
        self.count = count
        self.seed = seed

    def recipe(self) -> dict[str, Any]:
        return {
            "source": "drawn",
            "drawing": DRAWING,
            "count": self.count,
            "seed": self.seed,
            "image_size": self.image_size,
        }

    def fill(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        faces = [self._draw(number) for number in range(self.count)]
        np.save(images, np.stack(faces))
        labels = Labels(
            splits=split_by_name([str(number) for number in range(self.count)]),
            attributes=np.zeros((self.count, 0), dtype=bool),
            identities=np.arange(self.count),
            attribute_names=(),
        )
        return labels, {}

    def _draw(self, number: int) -> np.ndarray:
        face = draw_face(np.random.default_rng(stream_seed("drawn", self.seed, number)))
        return np.asarray(face.resize((self.image_size, self.image_size), Image.Resampling.BOX))


def draw_face(rng: np.random.Generator) -> Image.Image:
    """One face on a CANVAS x CANVAS RGB image, a function of the random stream alone."""
    image = Image.new("RGB", (CANVAS, CANVAS), _pick(rng, GROUNDS))
    pen = ImageDraw.Draw(image)
    skin, hair = _pick(rng, SKINS), _pick(rng, HAIRS)
    x, y = 56 + rng.normal(0, 2), 58 + rng.normal(0, 2)
    wide, high = rng.uniform(29, 36), rng.uniform(38, 45)
    long_hair = rng.random() < 0.5
    if long_hair:
        _ellipse(pen, x, y + 8, wide + 9, high + 14, hair)
    _ellipse(pen, x, y - 8, wide + 4, high, hair)
    pen.rectangle((x - 13, y + high - 12, x + 13, CANVAS), fill=_darker(skin, 0.85))
    _ellipse(pen, x, y + 3, wide, high, skin)
    if rng.random() < 0.6:  # a fringe
        pen.chord((x - wide, y - high, x + wide, y + 8), 200, 340, fill=hair)
    _eyes(pen, rng, x, y, hair)
    pen.line((x, y, x - 2, y + 12, x + 3, y + 13), fill=_darker(skin, 0.7), width=3)
    _mouth(pen, rng, x, y + 25, skin)
    return image


def _eyes(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, hair: Colour
) -> None:
    iris, apart = _pick(rng, IRISES), rng.uniform(13, 16)
    raised, glasses = rng.uniform(8, 12), rng.random() < 0.2
    for eye in (x - apart, x + apart):
        _ellipse(pen, eye, y - 2, 7, 4.5, (245, 245, 245))
        _ellipse(pen, eye, y - 2, 3.5, 3.5, iris)
        _ellipse(pen, eye, y - 2, 1.5, 1.5, (10, 10, 10))
        pen.line((eye - 7, y - raised, eye + 7, y - raised), fill=_darker(hair, 0.8), width=3)
        if glasses:
            pen.ellipse((eye - 11, y - 11, eye + 11, y + 8), outline=(25, 25, 25), width=2)


def _mouth(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, skin: Colour
) -> None:
    wide, smile = rng.uniform(9, 15), rng.uniform(3, 9)
    lips = (int(rng.uniform(150, 210)), 70, 80)
    pen.chord((x - wide, y - smile, x + wide, y + smile), 0, 180, fill=lips)
    if smile > 6:
        pen.chord(
            (x - wide + 3, y - smile / 2, x + wide - 3, y + smile / 2), 0, 180, fill=(250, 250, 250)
        )
    pen.line((x - wide, y, x + wide, y), fill=_darker(skin, 0.5), width=2)


def _ellipse(
    pen: ImageDraw.ImageDraw, x: float, y: float, wide: float, high: float, fill: Colour
) -> None:
    pen.ellipse((x - wide, y - high, x + wide, y + high), fill=fill)


def _pick(rng: np.random.Generator, palette: list[Colour]) -> Colour:
    """A colour of the palette, a little off."""
    red, green, blue = palette[rng.integers(len(palette))] + rng.normal(0, 8, 3)
    return int(np.clip(red, 0, 255)), int(np.clip(green, 0, 255)), int(np.clip(blue, 0, 255))


def _darker(colour: Colour, by: float) -> Colour:
    return int(colour[0] * by), int(colour[1] * by), int(colour[2] * by)
