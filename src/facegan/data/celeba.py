"""CelebA (Liu et al. 2015): downloaded, verified, and packed from its zip or folder."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facegan.core.errors import FaceganError, NotFoundError
from facegan.data.base import FaceSource
from facegan.data.dataset import Labels, write_lists
from facegan.data.decode import Decoder
from facegan.data.download import CELEBA_FILES, fetch, md5_of
from facegan.data.pack import PACK_VERSION, describe, pack
from facegan.data.photos import PhotoFolder, PhotoStore, PhotoZip

PHOTOGRAPHS = 202_599
ZIP = "img_align_celeba.zip"
FOLDER = "img_align_celeba"
# annotation files: splits, attributes, identities -> lines before the first photograph
OFFICIAL = {"list_eval_partition.txt": 0, "list_attr_celeba.txt": 2, "identity_CelebA.txt": 0}
KAGGLE = {"list_eval_partition.csv": 1, "list_attr_celeba.csv": 1}


class CelebA(FaceSource):
    """CelebA in torchvision's or Kaggle's layout, in `root`/celeba/ or in `root` itself.

    The photographs are read from the zip or from an extracted img_align_celeba/. With `verify`,
    missing files are downloaded, and every file must have its md5. Without it, any part of CelebA
    is used as it is: attributes and identities that are not listed are unknown.

    Kaggle's CSV files have no known md5 and no identities. With `verify`, only the number of
    photographs is checked, and nothing is downloaded.
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
        attributes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(packed_dir, image_size, mode, attributes)
        self.decode = Decoder(image_size, crop, mode)
        self.verify = verify
        self.folder = Path(root).resolve()
        files = (ZIP, FOLDER, *annotation_files(self.folder))
        if not any((self.folder / name).exists() for name in files):
            self.folder /= "celeba"
        self.official = verify and annotation_files(self.folder) is OFFICIAL

    def recipe(self) -> dict[str, Any]:
        return {
            "source": "celeba",
            "photos": "official" if self.official else self._fingerprint(),
            "packing": PACK_VERSION,
            **dataclasses.asdict(self.decode),
        }

    def write(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        if self.official:
            extracted = (self.folder / FOLDER).is_dir() and not (self.folder / ZIP).exists()
            needed = [file for file in CELEBA_FILES if not (extracted and file.name == ZIP)]
            fetch(needed, self.folder)
        photos = self.photos
        names, labels = read_annotations(self.folder)
        paths = {name.rpartition("/")[2]: name for name in photos.names()}
        found = np.array([name in paths for name in names])
        self._check_count(int(found.sum()), len(names))
        listed = [paths[name] for name in names if name in paths]
        packed = pack(photos, listed, self.decode, self.decode.shape, images)
        write_lists(images.parent, packed.failures, (listed[row] for row in packed.rows))
        notes = {"listed": len(names), "left_out": describe(packed.failures)}
        notes |= {} if self.official else photos.content_record()
        return labels.rows(np.flatnonzero(found)[packed.rows]), notes

    def other_content(self, manifest: dict[str, Any]) -> str:
        return "" if self.official else self.photos.other_content(manifest)

    @functools.cached_property
    def photos(self) -> PhotoStore:
        """The zip or, without it, the folder. Raises NotFoundError without both."""
        for path, store in ((self.folder / ZIP, PhotoZip), (self.folder / FOLDER, PhotoFolder)):
            if path.exists():
                return store(path)
        raise _lacks(self.folder, f"{ZIP} or {FOLDER}/")

    def _check_count(self, found: int, listed: int) -> None:
        if found == 0 or (self.verify and found != PHOTOGRAPHS):
            raise FaceganError(
                f"{self.folder} has {found} of the {listed} photographs in list_eval_partition, "
                f"CelebA has {PHOTOGRAPHS}: unpack {ZIP} again, or use a part of CelebA with "
                "data.verify=false"
            )

    def _fingerprint(self) -> str:
        paths = [self.folder / name for name in annotation_files(self.folder)]
        needed = paths if self.verify else paths[:1]  # without verify, the splits only
        if missing := [path.name for path in needed if not path.is_file()]:
            raise _lacks(self.folder, ", ".join(missing))
        texts = "".join(md5_of(path) for path in paths if path.is_file())
        return f"{self.photos.fingerprint()} {texts}"


def annotation_files(folder: Path) -> dict[str, int]:
    """KAGGLE if `folder` has its CSV files and none of the text files, else OFFICIAL."""
    csv, txt = (any((folder / name).exists() for name in files) for files in (KAGGLE, OFFICIAL))
    return KAGGLE if csv and not txt else OFFICIAL


def _lacks(folder: Path, missing: str) -> NotFoundError:
    return NotFoundError(
        f"{folder} lacks {missing}; data.root must be a folder with CelebA in torchvision's or "
        "Kaggle's layout (data=folder reads photographs without annotations); data.verify=true "
        "downloads what is missing"
    )


def read_annotations(folder: Path) -> tuple[list[str], Labels]:
    """File names and labels, from the text files or from Kaggle's CSV files."""
    files = annotation_files(folder).items()
    tables = [_read_table(folder / name, lines) for name, lines in files]
    (splits, _), (signs, header), (people, _), *_ = [*tables, ({}, [])]
    if any(table and table.keys().isdisjoint(splits) for table in (signs, people)):
        raise FaceganError(f"the lists in {folder} name different photographs")
    width = len(next(iter(signs.values()), ()))
    rows = [signs.get(name, [0] * width) for name in splits]
    attributes = np.array(rows, dtype=np.int64).reshape(len(splits), width)
    labels = Labels(
        splits=np.array([split[0] for split in splits.values()]).astype(np.uint8),
        attributes=np.sign(attributes).astype(np.int8),
        identities=np.array([people.get(name, [-1])[0] for name in splits], dtype=np.int64),
        attribute_names=tuple(header[-width:]) if width else (),
    )
    return [*splits], labels


def _read_table(path: Path, header_lines: int) -> tuple[dict[str, list[int]], list[str]]:
    """The numbers of each photograph, and the words of the line before the first.

    Both are empty without the file.
    """
    if not path.is_file():
        return {}, []
    lines = [line.replace(",", " ") for line in path.read_text(encoding="utf-8-sig").splitlines()]
    header, rows = lines[:header_lines], lines[header_lines:]
    try:
        columns = range(1, len(rows[0].split()))
        numbers = np.loadtxt(rows, dtype=np.int64, usecols=columns, ndmin=2)
        names = (row.split()[0] for row in rows)
        return dict(zip(names, numbers.tolist(), strict=True)), " ".join(header[-1:]).split()
    except (ValueError, IndexError) as error:
        raise FaceganError(
            f"{path} cannot be read ({error}): each line must have a file name and whole numbers; "
            "download it again"
        ) from error
