"""Your own photographs: a folder tree or a zip of images of any format and size."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegan.core.checks import check_number
from facegan.core.errors import FaceganError
from facegan.core.provenance import is_marked
from facegan.data.align import FaceAligner, frame_name
from facegan.data.base import FaceSource
from facegan.data.dataset import LEFT_OUT, SPLITS, Labels, write_lists
from facegan.data.decode import Decoder, Faces
from facegan.data.duplicates import find_duplicates
from facegan.data.labels import attributes_of, split_twins, unite
from facegan.data.pack import PACK_VERSION, describe, pack
from facegan.data.photos import PhotoStore, open_photos, summarize

MINIMUM = 8  # photographs


class PhotoSource(FaceSource):
    """The photographs of any store.

    `split` is the share of the photographs held out for "val", and as much for "test"; by default
    it depends on their number, and folders called train, val and test take precedence. `labels` is
    "subfolder", a CSV of names and labels, or StyleGAN's dataset.json.
    """

    kind = "folder"  # of source, in the name of the packed data set

    def __init__(
        self,
        photos: PhotoStore,
        decode: Decoder,
        packed_dir: str,
        split: float | None = None,
        labels: str | None = None,
        attributes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(packed_dir, decode.image_size, decode.mode, attributes)
        if split is not None:
            check_number("split", split, 0, 0.49, whole=False)
        self.decode = decode
        self.photos = photos
        self.split = split
        self.labels = labels

    def recipe(self) -> dict[str, Any]:
        labels = Path(self.labels or "").expanduser()
        return {
            "source": self.kind,
            "photos": self.photos.fingerprint(),
            "packing": PACK_VERSION,
            **dataclasses.asdict(self.decode),
            "split": self.split,
            "labels": labels.read_text(errors="replace") if labels.is_file() else self.labels,
        }

    def other_content(self, manifest: dict[str, Any]) -> str:
        return self.photos.other_content(manifest)

    def write(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        names = self.photos.names()
        attributes, attribute_names = self.attributes_of(names)

        def decode(data: bytes) -> Faces:
            return Faces([], ["drawn by facegan"]) if is_marked(data) else self.decode(data)

        packed = pack(self.photos, names, decode, self.decode.shape, images)
        kept = [names[row] for row in packed.rows]
        unused = packed.left_out + self.photos.unused()
        if len(kept) < MINIMUM:
            raise FaceganError(
                f"{len(kept)} faces are too few: a GAN needs at least {MINIMUM}, better a few "
                f"hundred; not used: {summarize(unused) or 'nothing'}"
            )
        duplicates = find_duplicates(np.load(images, mmap_mode="r"))
        write_lists(images.parent, packed.failures + unused, kept)
        notes = {
            **self.photos.content_record(),
            "photographs": len(names),
            "left_out": describe(packed.failures),
            "unused": summarize(unused),
            "duplicates": {"exact": duplicates.exact, "near": duplicates.near},
        }
        if unused:
            print(f"not used: {notes['unused']}; each is listed in {LEFT_OUT}", flush=True)
        if duplicates.exact or duplicates.near:
            print(f"duplicates: {duplicates.exact} exact, {duplicates.near} near", flush=True)
        groups = unite(duplicates.leaders, packed.rows)
        splits = split_twins(kept, groups, self.split)
        largest = groups == np.bincount(groups).argmax()
        if largest.sum() > 1 + (splits == SPLITS.index("test")).sum() and not splits[largest].any():
            notes["alike"] = f"{largest.sum():,} images that look alike are all for training"
            print(notes["alike"], flush=True)
        labels = Labels(
            splits=splits,
            attributes=attributes[packed.rows],
            identities=duplicates.groups(),
            attribute_names=tuple(attribute_names),
        )
        return labels, notes

    def attributes_of(self, names: Sequence[str]) -> tuple[NDArray[np.int8], list[str]]:
        """The attributes of the photographs, (N, A) as in `Labels`, and their names."""
        return attributes_of(names, self.labels)


class FolderDataset(PhotoSource):
    """Every image at `root`, a folder or a zip: its centre square of `crop` pixels.

    Without `crop`, the largest square. With `align`, true or "wide", each face in an image is
    used instead (see FaceAligner).
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
        attributes: Sequence[str] | None = None,
    ) -> None:
        decode = choose_decoder(align, faces, (image_size, crop, mode, background))
        super().__init__(open_photos(Path(root)), decode, packed_dir, split, labels, attributes)


def choose_decoder(
    align: bool | str | None, faces: str, arguments: tuple[int, int | None, str, str]
) -> Decoder:
    """A Decoder of the centre square or, with `align`, a FaceAligner; both have `arguments`."""
    if align:
        return FaceAligner(*arguments, frame_name(align), faces)
    if faces != "all":
        raise ValueError(f"faces must be all without align=true, got {faces}")
    return Decoder(*arguments)
