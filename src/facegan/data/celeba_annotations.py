"""What CelebA's files say about its photographs: the official text files, or Kaggle's CSV files."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facegan.core.errors import FaceganError, NotFoundError
from facegan.data.dataset import Labels

OFFICIAL = ("list_eval_partition.txt", "list_attr_celeba.txt", "identity_CelebA.txt")
TORCHVISION = ("list_bbox_celeba.txt", "list_landmarks_align_celeba.txt")  # it requires them too
KAGGLE = ("list_eval_partition.csv", "list_attr_celeba.csv")


class Annotations(NamedTuple):
    """What the text files say about N photographs, beside their split."""

    names: list[str]
    attributes: NDArray[np.bool_]  # (N, 40)
    identities: NDArray[np.int64]  # (N,)
    attribute_names: tuple[str, ...]


def is_kaggle(folder: Path) -> bool:
    """Whether CSV files as Kaggle has them lie in `folder`, and no text files."""
    return any((folder / name).exists() for name in KAGGLE) and not any(
        (folder / name).exists() for name in OFFICIAL
    )


def annotation_files(folder: Path) -> tuple[str, ...]:
    """The names of the files that are read in `folder`."""
    return KAGGLE if is_kaggle(folder) else OFFICIAL


def read_annotations(folder: Path) -> tuple[list[str], Labels]:
    """File names and labels from CelebA's text files, or from Kaggle's CSV files.

    torchvision's class reads the text files where its whole layout is there. It also requires
    boxes, landmarks and extracted photographs, which are not used here: without them, numpy reads
    the files.
    """
    require_annotations(folder)
    names, splits = _read_table(folder / annotation_files(folder)[0], header=int(is_kaggle(folder)))
    annotations = (
        _read_kaggle(folder)
        if is_kaggle(folder)
        else _read_with_torchvision(folder) or _read_with_numpy(folder)
    )
    if names != annotations.names:
        raise _different_photographs(folder)
    return names, Labels(
        splits=splits[:, 0].astype(np.uint8),
        attributes=annotations.attributes,
        identities=annotations.identities,
        attribute_names=annotations.attribute_names,
    )


def _read_kaggle(folder: Path) -> Annotations:
    path = folder / KAGGLE[1]
    names, signs = _read_table(path, header=1)
    with path.open(newline="", encoding="utf-8") as file:
        _, *attributes = next(csv.reader(file))
    return Annotations(names, signs > 0, np.full(len(names), -1), tuple(attributes))


def _read_with_torchvision(folder: Path) -> Annotations | None:
    """None where torchvision finds its layout incomplete, or a text file with another md5."""
    layout = ("img_align_celeba", *OFFICIAL, *TORCHVISION)
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
    """File names and whole numbers, (N, columns), of a text or CSV file after `header` lines."""
    lines = path.read_text(encoding="utf-8").replace(",", " ").splitlines()[header:]
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
        f"the lists in {folder} name different photographs; take all from one source"
    )


def require_annotations(folder: Path) -> None:
    """Raises FaceganError where `folder` lacks a file that is read."""
    missing = [name for name in annotation_files(folder) if not (folder / name).is_file()]
    if missing:
        raise NotFoundError(
            f"{folder} lacks {', '.join(missing)}; data.root must be a folder with CelebA in "
            "torchvision's or Kaggle's layout (or use data=folder for photographs without "
            "annotations); data.verify=true downloads what is missing"
        )
