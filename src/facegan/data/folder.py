"""Anybody's own photographs: a folder tree or a zip of images of any format and size."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegan.core.errors import FaceganError
from facegan.data.align import FaceAligner, frame_name
from facegan.data.base import FaceSource
from facegan.data.dataset import Labels
from facegan.data.decode import Decoder
from facegan.data.duplicates import find_duplicates
from facegan.data.labels import class_labels
from facegan.data.listing import LEFT_OUT, write_left_out, write_names
from facegan.data.pack import PACK_VERSION, describe, pack
from facegan.data.photos import PhotoStore, Unused, open_photos, summarize
from facegan.data.splits import split_twins, unite

MINIMUM = 8  # photographs


class PhotoSource(FaceSource):
    """The photographs of a store, whichever it is.

    `split` is the share of the photographs held out for "val", and as much for "test"; by default
    it depends on their number. Folders called train, val and test are honoured. `labels` is
    "subfolder" or a CSV of name and label.
    """

    kind = "folder"  # of source, in the name of the packed data set

    def __init__(
        self,
        photos: PhotoStore,
        decode: Decoder,
        packed_dir: str,
        split: float | None = None,
        labels: str | None = None,
    ) -> None:
        super().__init__(packed_dir, decode.image_size, decode.mode)
        self.decode = decode
        if split is not None and not 0 <= split < 0.5:
            raise FaceganError(
                f"data.split is the share of the photographs in each of val and test, and must lie "
                f"in [0, 0.5), got {split}; try 0.1"
            )
        self.photos = photos
        self.split = split
        self.labels = labels

    def recipe(self) -> dict[str, Any]:
        return {
            "source": self.kind,
            "photos": self.photos.fingerprint(),
            "packing": PACK_VERSION,
            **dataclasses.asdict(self.decode),
            "split": self.split,
            "labels": self._labels_fingerprint(),
        }

    def write(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        names = self.photos.names()
        attributes, classes = self.class_labels(names)
        packed = pack(self.photos, names, self.decode, images)
        kept = [names[row] for row in packed.rows]
        not_used = [Unused(names[row], reason) for row, reason in packed.left_out]
        not_used += self.photos.unused()
        if len(kept) < MINIMUM:
            raise FaceganError(
                f"{len(kept)} faces are no data set: a GAN needs at least {MINIMUM}, and a few "
                "hundred to learn from; add photographs"
                + (f"; not used: {summarize(not_used)}" if not_used else "")
            )
        duplicates = find_duplicates(np.load(images, mmap_mode="r"))
        failed = [Unused(names[row], reason) for row, reason in packed.failures]
        write_left_out(images.parent, failed + not_used)
        write_names(images.parent, kept)
        notes = {
            "photographs": len(names),
            "left_out": describe(names, packed.failures),
            "unused": summarize(not_used),
            "duplicates": {"exact": duplicates.exact, "near": duplicates.near},
        }
        _print_notes(notes)
        labels = Labels(
            splits=split_twins(kept, unite(duplicates.leaders, packed.rows), self.split),
            attributes=attributes[packed.rows],
            identities=duplicates.groups(),
            attribute_names=tuple(classes),
        )
        return labels, notes

    def class_labels(self, names: Sequence[str]) -> tuple[NDArray[np.bool_], list[str]]:
        """One attribute per class, (N, A) bool, and the classes' names."""
        return class_labels(names, self.labels)

    def _labels_fingerprint(self) -> str | None:
        path = Path(self.labels or "").expanduser()
        return path.read_text(errors="replace") if path.is_file() else self.labels


class FolderDataset(PhotoSource):
    """Every image at `root`, a folder or a zip. Without `crop`, each gives its largest square.

    With `align`, true or "wide", each face in an image gives one instead (see FaceAligner).
    """

    def __init__(
        self,
        root: str,
        packed_dir: str,
        image_size: int,
        crop: int | None = None,
        mode: str = "RGB",
        background: str = "white",
        split: float | None = None,
        labels: str | None = None,
        align: bool | str | None = None,
        faces: str = "all",
    ) -> None:
        decode = choose_decoder(image_size, crop, mode, background, align, faces)
        super().__init__(open_photos(Path(root)), decode, packed_dir, split, labels)


def choose_decoder(
    image_size: int,
    crop: int | None,
    mode: str,
    background: str,
    align: bool | str | None,
    faces: str,
) -> Decoder:
    """What crops the centre square of a photograph or, with `align`, its faces."""
    if align:
        return FaceAligner(image_size, crop, mode, background, frame_name(align), faces)
    if faces != "all":
        raise FaceganError(f"data.faces={faces} needs data.align=true, which finds the faces")
    return Decoder(image_size, crop, mode, background)


def _print_notes(notes: dict[str, Any]) -> None:
    if notes["unused"]:
        print(f"not used: {notes['unused']}; each is listed in {LEFT_OUT}", flush=True)
    exact, near = notes["duplicates"].values()
    if exact or near:
        print(f"duplicates: {exact} exact, {near} near; twins share a split", flush=True)
