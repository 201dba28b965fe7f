"""CelebA (Liu et al. 2015): fetched, verified, and packed from its zip as it lies."""

from pathlib import Path
from typing import Any

import numpy as np

from facegan.data.base import FaceSource
from facegan.data.dataset import Labels
from facegan.data.download import md5_of
from facegan.data.pack import PACK_VERSION, describe, pack
from facegan.data.photos import PhotoFolder, PhotoStore, PhotoZip
from facegan.data.sources import CELEBA_FILES, fetch
from facegan.errors import FaceganError

PHOTOGRAPHS = 202_599
ZIP = "img_align_celeba.zip"
FOLDER = "img_align_celeba"
ANNOTATIONS = ("list_eval_partition.txt", "list_attr_celeba.txt", "identity_CelebA.txt")


class CelebA(FaceSource):
    """CelebA in torchvision's layout, `root`/celeba/, or in `root` itself.

    With `verify` it is the whole of CelebA or nothing: what is missing is downloaded, every file
    must have its md5. Without, whatever part of it lies there is taken, and nothing is fetched.
    An extracted img_align_celeba/ serves as well as the zip.
    """

    def __init__(
        self, root: str, packed_dir: str, crop: int | None, image_size: int, verify: bool = True
    ) -> None:
        super().__init__(packed_dir, image_size)
        self.crop = crop
        self.verify = verify
        self.folder = _celeba_folder(Path(root))

    def recipe(self) -> dict[str, Any]:
        return {
            "source": "celeba",
            "photos": "official" if self.verify else self._fingerprint(),
            "packing": PACK_VERSION,
            "crop": self.crop,
            "image_size": self.image_size,
        }

    def write(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        if self.verify:
            self._fetch()
        photos = self._photos()
        names, labels = read_annotations(self.folder)
        where = {name.rpartition("/")[2]: name for name in photos.names()}
        there = np.array([name in where for name in names])
        self._check_count(int(there.sum()), len(names))
        paths = [where[name] for name in names if name in where]
        failures = pack(photos, paths, self.crop, self.image_size, images)
        notes = {"listed": len(names), "left_out": describe(paths, failures)}
        return labels.rows(there).without([row for row, _ in failures]), notes

    def _fetch(self) -> None:
        extracted = (self.folder / FOLDER).is_dir() and not (self.folder / ZIP).exists()
        fetch([file for file in CELEBA_FILES if not (extracted and file.name == ZIP)], self.folder)

    def _photos(self) -> PhotoStore:
        for path, store in ((self.folder / ZIP, PhotoZip), (self.folder / FOLDER, PhotoFolder)):
            if path.exists():
                return store(path)
        raise FaceganError(
            f"{self.folder} holds neither {ZIP} nor {FOLDER}/; data.root must be a folder with "
            "CelebA in torchvision's layout; data.verify=true downloads it"
        )

    def _check_count(self, there: int, listed: int) -> None:
        if there == 0 or (self.verify and there != PHOTOGRAPHS):
            raise FaceganError(
                f"{self.folder} holds {there} of the {listed} photographs that "
                f"list_eval_partition.txt names; the whole of CelebA has {PHOTOGRAPHS}: unpack "
                f"{ZIP} again, or take the part that is there with data.verify=false"
            )

    def _fingerprint(self) -> str:
        _require_annotations(self.folder)
        texts = "".join(md5_of(self.folder / name) for name in ANNOTATIONS)
        return f"{self._photos().fingerprint()} {texts}"


def read_annotations(folder: Path) -> tuple[list[str], Labels]:
    """File names and labels from CelebA's text files, by torchvision's own reader.

    torchvision's class would also ask for boxes, landmarks and an unpacked folder of photographs;
    none of these is needed here, so that a subset or the zip alone will do.
    """
    from torchvision.datasets import CelebA as Reader  # takes a second to import

    _require_annotations(folder)
    reader = Reader.__new__(Reader)
    reader.root, reader.base_folder = str(folder.parent), folder.name
    splits = reader._load_csv("list_eval_partition.txt")
    attributes = reader._load_csv("list_attr_celeba.txt", header=1)
    identities = reader._load_csv("identity_CelebA.txt")
    if not splits.index == attributes.index == identities.index:
        raise FaceganError(
            f"the text files in {folder} name different photographs; take all three from one source"
        )
    return splits.index, Labels(
        splits=splits.data.squeeze(1).numpy().astype(np.uint8),
        attributes=attributes.data.numpy() > 0,
        identities=identities.data.squeeze(1).numpy(),
        attribute_names=tuple(name for name in attributes.header if name),
    )


def _require_annotations(folder: Path) -> None:
    missing = [name for name in ANNOTATIONS if not (folder / name).is_file()]
    if missing:
        raise FaceganError(
            f"{folder} lacks {', '.join(missing)}; data.root must be a folder with CelebA in "
            "torchvision's layout (or use data=folder for photographs without annotations); "
            "data.verify=true downloads what is missing"
        )


def _celeba_folder(root: Path) -> Path:
    """`root` itself if CelebA's files lie right in it, else torchvision's `root`/celeba."""
    inside = any((root / name).exists() for name in (ZIP, FOLDER, "list_eval_partition.txt"))
    return root.resolve() if inside else root.resolve() / "celeba"
