"""CelebA (Liu et al. 2015): downloaded, verified, and packed from its zip or folder."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from facegan.core.errors import FaceganError, NotFoundError
from facegan.data.base import FaceSource
from facegan.data.celeba_annotations import (
    annotation_files,
    is_kaggle,
    read_annotations,
    require_annotations,
)
from facegan.data.dataset import Labels
from facegan.data.decode import Decoder
from facegan.data.download import CELEBA_FILES, fetch, md5_of
from facegan.data.listing import write_left_out, write_names
from facegan.data.pack import PACK_VERSION, describe, pack
from facegan.data.photos import PhotoFolder, PhotoStore, PhotoZip, Unused

PHOTOGRAPHS = 202_599
ZIP = "img_align_celeba.zip"
FOLDER = "img_align_celeba"


class CelebA(FaceSource):
    """CelebA in torchvision's or Kaggle's layout, in `root`/celeba/ or in `root` itself.

    With `verify`, the data set is complete: missing files are downloaded, and every file must have
    its md5. Without, any part of it is taken as it is, and nothing is downloaded. The photographs
    may lie in the zip or in an extracted img_align_celeba/.

    Kaggle's layout has CSV files without identities, which have no known md5: with `verify`, only
    the number of photographs is checked, and nothing is downloaded.
    """

    aligned = True
    license = (
        "LicenseRef-CelebA-NonCommercial: non-commercial research only, since the weights were "
        "trained on CelebA"
    )

    def __init__(
        self,
        root: str,
        packed_dir: str,
        crop: int | None,
        image_size: int,
        verify: bool = True,
        mode: str = "RGB",
    ) -> None:
        super().__init__(packed_dir, image_size, mode)
        self.decode = Decoder(image_size, crop, mode)
        self.verify = verify
        self.folder = _celeba_folder(Path(root))
        self.official = verify and not is_kaggle(self.folder)

    def recipe(self) -> dict[str, Any]:
        return {
            "source": "celeba",
            "photos": "official" if self.official else self._fingerprint(),
            "packing": PACK_VERSION,
            **dataclasses.asdict(self.decode),
        }

    def write(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        if self.official:
            self._fetch()
        photos = self._photos()
        names, labels = read_annotations(self.folder)
        where = {name.rpartition("/")[2]: name for name in photos.names()}
        there = np.array([name in where for name in names])
        self._check_count(int(there.sum()), len(names))
        paths = [where[name] for name in names if name in where]
        packed = pack(photos, paths, self.decode, images)
        write_left_out(images.parent, (Unused(paths[row], why) for row, why in packed.failures))
        write_names(images.parent, (paths[row] for row in packed.rows))
        notes = {"listed": len(names), "left_out": describe(paths, packed.failures)}
        return labels.rows(np.flatnonzero(there)[packed.rows]), notes

    def _fetch(self) -> None:
        extracted = (self.folder / FOLDER).is_dir() and not (self.folder / ZIP).exists()
        fetch([file for file in CELEBA_FILES if not (extracted and file.name == ZIP)], self.folder)

    def _photos(self) -> PhotoStore:
        for path, store in ((self.folder / ZIP, PhotoZip), (self.folder / FOLDER, PhotoFolder)):
            if path.exists():
                return store(path)
        raise NotFoundError(
            f"{self.folder} has neither {ZIP} nor {FOLDER}/; data.root must be a folder with "
            "CelebA in torchvision's or Kaggle's layout; data.verify=true downloads it"
        )

    def _check_count(self, there: int, listed: int) -> None:
        if there == 0 or (self.verify and there != PHOTOGRAPHS):
            raise FaceganError(
                f"{self.folder} has {there} of the {listed} photographs in "
                f"list_eval_partition, CelebA has {PHOTOGRAPHS}: unpack {ZIP} again, or use "
                "the part that is there with data.verify=false"
            )

    def _fingerprint(self) -> str:
        require_annotations(self.folder)
        texts = "".join(md5_of(self.folder / name) for name in annotation_files(self.folder))
        return f"{self._photos().fingerprint()} {texts}"


def _celeba_folder(root: Path) -> Path:
    """`root` itself if CelebA's files lie right in it, else torchvision's `root`/celeba."""
    inside = any((root / name).exists() for name in (ZIP, FOLDER, *annotation_files(root)))
    return root.resolve() if inside else root.resolve() / "celeba"
