"""How to train on own photographs: their number, sizes and faces, and the machine -> overrides."""

import itertools
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.data.align import FRAMES, MAX_OUTSIDE, find_landmarks, fit_similarity, share_outside
from facegan.data.decode import flatten, open_photo
from facegan.data.photos import open_photos
from facegan.latent.movement import ENOUGH
from facegan.training.build import uses_cuda
from facegan.training.evaluation import MEMORIZED

LOOKED_AT = 24  # photographs
SIDE = 1600  # pixels of the longer side in which faces are searched, at least
START = {28: "full-28", 64: "full-64"}  # bundled weights with a discriminator, by image size
WIDEST = FRAMES["true"]._replace(side=148)  # the crop of full-64
FEW, MANY = 100, 5_000  # photographs: below, they are soon copied; from there on, they suffice
IMAGES = 200_000  # of a training from random weights, as ten minutes of a quiet CPU core see
REPLACED = {  # keys of the user -> choices that do not fit them
    "data.align": ["data.crop"],
    "model": ["init", "model.batch_size"],
    **{key: ["trainer.max_images"] for key in ("trainer.max_epochs", "trainer.max_time")},
}


@dataclass(frozen=True)
class Facts:
    """Photographs and machine; sizes and faces are those of the photographs looked at."""

    photographs: int
    width: int  # median, in pixels
    height: int
    looked_at: int
    with_face: int | None  # photographs with a face; None: the detector's packages are missing
    whole: int  # … whose widest crop lies within the photograph
    side: int  # median of these crops, in pixels
    gpu: bool
    cores: int

    def __str__(self) -> str:
        faces = "faces are only searched after pip install -e '.[align]'"
        if self.with_face is not None:
            faces = f"faces in {self.with_face} of {self.looked_at} looked at"
        machine = "a GPU" if self.gpu else f"{self.cores} CPU cores"
        pixels = f"{self.width}x{self.height} pixels"
        return f"{self.photographs:,} of about {pixels}, {faces}; {machine}"


class Choice(NamedTuple):
    """Overrides of facegan.train, and the reason for them."""

    name: str
    overrides: str  # separated by spaces
    reason: str

    def __str__(self) -> str:
        return f"{self.name:14}{': '.join(filter(None, (self.overrides, self.reason)))}"

    def without(self, keys: Collection[str]) -> "Choice":
        """The choice without the overrides of `keys`, which the user has set."""
        kept = [text for text in self.overrides.split() if text.partition("=")[0] not in keys]
        if len(kept) == len(self.overrides.split()):
            return self
        return Choice(self.name, " ".join(kept), "your own keys take precedence")


def look(root: Path) -> Facts:
    """Opens some of the photographs at `root`. Raises FaceganError if there are none."""
    store = open_photos(root, "photos")
    names = store.names()
    sizes, faces, detector = [], [], True
    for row in np.linspace(0, len(names) - 1, min(LOOKED_AT, len(names))).round().astype(int):
        try:
            photo, scale = open_photo(store.read(names[row]), lambda *size: SIDE / max(size))
            photo = flatten(photo, "white").convert("RGB")
        except (OSError, ValueError, SyntaxError):  # damaged: prepare names it
            continue
        sizes.append((photo.width / scale, photo.height / scale))
        try:
            faces += [(side / scale, outside) for side, outside in _largest_face(photo)]
        except FaceganError:
            detector = False
    whole = [side for side, outside in faces if outside <= MAX_OUTSIDE]
    width, height = np.median(sizes or [(0, 0)], axis=0).round().astype(int).tolist()
    found = len(faces) if detector else None
    side = round(float(np.median(whole or [0])))
    gpu, cores = uses_cuda("auto"), os.cpu_count() or 1
    return Facts(len(names), width, height, len(sizes), found, len(whole), side, gpu, cores)


def _largest_face(photo: Image.Image) -> list[tuple[float, float]]:
    """The side of the widest crop and its share outside of the photograph; empty for no face."""
    largest = itertools.islice(find_landmarks(photo), 1)
    found = [landmarks for landmarks in largest if landmarks is not None]
    crops = [fit_similarity(landmarks, WIDEST) for landmarks in found]
    return [(abs(crop.scale_turn), share_outside(photo, crop)) for crop in crops]


def plan(facts: Facts, given: Mapping[str, str]) -> list[Choice]:
    """Five choices. Those that concern the keys in `given` are left to the user."""
    size = Choice("size", "data.image_size=28", "a CPU needs hours for 64")
    if facts.gpu and facts.side >= 64:
        size = Choice("size", "data.image_size=64", "the largest that bundled weights have")
    elif facts.gpu:
        size = size._replace(reason=f"faces are about {facts.side} pixels wide, too few for 64")
    replaced = {*given, *(other for key in given for other in REPLACED.get(key, ()))}
    start = _start(facts, int(given.get("data.image_size", size.overrides[16:]))).without(replaced)
    weights = given.get("init", start.overrides.partition("init=")[2].partition(" ")[0]) or "null"
    others = (_augmentation(facts), _budget(facts, weights != "null"))
    choices = [_alignment(facts, weights), size, start, *others]
    return [choice.without(replaced) for choice in choices]


def _start(facts: Facts, size: int) -> Choice:
    many = facts.with_face is None or facts.with_face >= facts.looked_at / 2
    if many and size in START:
        overrides = f"init={START[size]} model.batch_size=64"
        reason = "these weights learn your faces from theirs; by their terms, show none in public"
        return Choice("start", overrides, reason)
    reason = f"no bundled weights have {size} pixels" if many else "most photographs show no face"
    return Choice("start", "model=lite", f"from random weights, since {reason}")


def _alignment(facts: Facts, weights: str) -> Choice:
    if facts.with_face is None:
        reason = "the centre square; pip install -e '.[align]' finds faces"
    elif facts.with_face < facts.looked_at / 2:
        reason = "the centre square, since most photographs show no face"
    elif facts.whole < facts.with_face / 2:
        reason = "the centre square, since most faces reach to the edges already"
    elif weights in pretrained.bundled():
        crop = f"data.align=true data.crop={pretrained.bundled_crop(weights)}"
        return Choice("alignment", crop, f"each face is placed as in the photographs of {weights}")
    else:
        return Choice("alignment", "data.align=true", "each face is placed alike")
    return Choice("alignment", "data.align=null", reason)


def _augmentation(facts: Facts) -> Choice:
    if facts.photographs < MANY:
        reason = f"fewer than {MANY:,} photographs would be memorized"
        return Choice("augmentation", "model/augment=diffaugment", reason)
    return Choice("augmentation", "model/augment=none", "there are enough photographs")


def _budget(facts: Facts, from_weights: bool) -> Choice:
    images = ENOUGH if from_weights else IMAGES
    reason = "about ten minutes of a quiet CPU core; the training prints the remaining time"
    if facts.gpu:
        images, reason = IMAGES, "a minute or two of a GPU"
    elif facts.photographs < FEW:
        images, reason = images // 2, "few photographs are soon copied"
    return Choice("length", f"trainer.max_images={images}", reason)


def next_steps(facts: Facts, report: Mapping[str, Any], longer: str, scratch: str) -> list[str]:
    """What to try after a run; `report`: the content of its evaluation.json, or nothing.

    `longer`, `scratch`: the commands that train longer, and from random weights.
    """
    verdict = report.get("facts", {}).get("verdict", "")
    steps = [f"longer ({verdict or 'for sharper faces'}): {longer}"]
    if "init=" in verdict:
        steps.append(
            "faces of your photographs alone, to which the terms of bundled weights do not apply "
            f"(docs/for-own-photos.md): {scratch}"
        )
    copied = report.get("measures", {}).get("memorization", {}).get("value", 0)
    if copied > MEMORIZED:
        steps.append(f"{copied:.0%} of the faces are close to a photograph: add photographs")
    if facts.photographs < MANY:
        steps.append(f"more variety: more than {facts.photographs:,} photographs")
    return steps
