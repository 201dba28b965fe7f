"""CelebA (Liu et al. 2015): downloaded, verified, and packed from its zip or folder."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facegan.data.base import FaceSource
from facegan.data.dataset import Labels
from facegan.data.decode import Decoder
from facegan.data.download import CELEBA_FILES, fetch, md5_of
from facegan.data.listing import write_left_out, write_names
from facegan.data.pack import PACK_VERSION, describe, pack
from facegan.data.photos import PhotoFolder, PhotoStore, PhotoZip, Unused
from facegan.errors import FaceganError

PHOTOGRAPHS = 202_599
ZIP = "img_align_celeba.zip"
FOLDER = "img_align_celeba"
ANNOTATIONS = ("list_eval_partition.txt", "list_attr_celeba.txt", "identity_CelebA.txt")
OTHER_ANNOTATIONS = ("list_bbox_celeba.txt", "list_landmarks_align_celeba.txt")  # torchvision's


class CelebA(FaceSource):
    """CelebA in torchvision's layout, `root`/celeba/, or in `root` itself.

    With `verify`, the data set is complete: missing files are downloaded, and every file must have
    its md5. Without, any part of it is taken as it is, and nothing is downloaded. The photographs
    may lie in the zip or in an extracted img_align_celeba/.
    """

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

    def recipe(self) -> dict[str, Any]:
        return {
            "source": "celeba",
            "photos": "official" if self.verify else self._fingerprint(),
            "packing": PACK_VERSION,
            **dataclasses.asdict(self.decode),
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
        raise FaceganError(
            f"{self.folder} has neither {ZIP} nor {FOLDER}/; data.root must be a folder with "
            "CelebA in torchvision's layout; data.verify=true downloads it"
        )

    def _check_count(self, there: int, listed: int) -> None:
        if there == 0 or (self.verify and there != PHOTOGRAPHS):
            raise FaceganError(
                f"{self.folder} has {there} of the {listed} photographs in "
                f"list_eval_partition.txt, CelebA has {PHOTOGRAPHS}: unpack {ZIP} again, or use "
                "the part that is there with data.verify=false"
            )

    def _fingerprint(self) -> str:
        _require_annotations(self.folder)
        texts = "".join(md5_of(self.folder / name) for name in ANNOTATIONS)
        return f"{self._photos().fingerprint()} {texts}"


class Annotations(NamedTuple):
    """What the text files say about N photographs, beside their split."""

    names: list[str]
    attributes: NDArray[np.bool_]  # (N, 40)
    identities: NDArray[np.int64]  # (N,)
    attribute_names: tuple[str, ...]


def read_annotations(folder: Path) -> tuple[list[str], Labels]:
    """File names and labels from CelebA's text files.

    torchvision's class reads them where its whole layout is there. It also requires boxes,
    landmarks and extracted photographs, which are not used here: without them, numpy reads them.
    """
    _require_annotations(folder)
    names, splits = _read_table(folder / "list_eval_partition.txt")
    annotations = _read_with_torchvision(folder) or _read_with_numpy(folder)
    if names != annotations.names:
        raise _different_photographs(folder)
    return names, Labels(
        splits=splits[:, 0].astype(np.uint8),
        attributes=annotations.attributes,
        identities=annotations.identities,
        attribute_names=annotations.attribute_names,
    )


def _read_with_torchvision(folder: Path) -> Annotations | None:
    """None where torchvision finds its layout incomplete, or a text file with another md5."""
    layout = (FOLDER, *ANNOTATIONS, *OTHER_ANNOTATIONS)
    if folder.name != "celeba" or not all((folder / name).exists() for name in layout):
        return None
    from torchvision import datasets  # takes a second to import

    try:
        celeba = datasets.CelebA(folder.parent, split="all", target_type=["attr", "identity"])
    except RuntimeError:  # "Dataset not found or corrupted"
        return None
    return Annotations(
        celeba.filename,
        celeba.attr.numpy() > 0,
        celeba.identity[:, 0].numpy(),
        tuple(name for name in celeba.attr_names if name),
    )


def _read_with_numpy(folder: Path) -> Annotations:
    names, identities = _read_table(folder / "identity_CelebA.txt")
    attributes_path = folder / "list_attr_celeba.txt"
    attributed, signs = _read_table(attributes_path, header=2)
    if names != attributed:
        raise _different_photographs(folder)
    header = attributes_path.read_text(encoding="utf-8").split("\n", 2)[1]
    return Annotations(names, signs > 0, identities[:, 0], tuple(header.split()))


def _read_table(path: Path, header: int = 0) -> tuple[list[str], NDArray[np.int64]]:
    """File names and whole numbers, (N, columns), of a text file after `header` lines."""
    lines = path.read_text(encoding="utf-8").splitlines()[header:]
    try:
        columns = range(1, len(lines[0].split()))
        if not columns:
            raise ValueError("there are no numbers")
        numbers = np.loadtxt(lines, dtype=np.int64, usecols=columns, ndmin=2)
    except (ValueError, IndexError) as error:
        raise FaceganError(
            f"{path} cannot be read ({error}): it must have a file name and whole numbers in each "
            "line; download it again"
        ) from error
    return [line.split(maxsplit=1)[0] for line in lines], numbers


def _different_photographs(folder: Path) -> FaceganError:
    return FaceganError(
        f"the text files in {folder} name different photographs; take all three from one source"
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
