"""Anybody's own photographs, in a folder or a zip."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from facegan.core.errors import FaceganError
from facegan.data import folder as folders
from facegan.data.decode import Decoder
from facegan.data.folder import FolderDataset
from facegan.data.labels import split_by_name
from facegan.data.photos import PhotoZip, open_photos

NAMES = [
    f"album{i % 3}/photo{i}.{kind}"
    for i, kind in enumerate(("jpg", "png", "webp", "JPEG", "PNG", "jpg", "png", "webp", "png"))
]


def faces(root: Path, crop: int | None = None, size: int = 8) -> FolderDataset:
    return FolderDataset(str(root), str(root.parent / "packed_dir"), size, crop)


@pytest.fixture
def photo_zip(photo_folder: Path) -> Path:
    path = photo_folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for photo in sorted(photo_folder.rglob("*"), reverse=True):
            file.write(photo, photo.relative_to(photo_folder))
    return path


def test_only_photographs_are_found(photo_folder: Path, photo_zip: Path) -> None:
    assert open_photos(photo_folder).names() == sorted(NAMES)
    assert open_photos(photo_zip).names() == sorted(NAMES)


def test_a_folder_below_a_hidden_one_is_read(photo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    moved = photo_folder.rename(tmp_path / ".cache" / "photos")
    assert len(open_photos(moved).names()) == len(NAMES)


def test_the_archive_holds_every_photograph(photo_folder: Path) -> None:
    dataset = faces(photo_folder, crop=12).dataset()
    dataset.verify()
    expected = [Decoder(8, 12)((photo_folder / n).read_bytes()).images[0] for n in sorted(NAMES)]
    assert np.array_equal(dataset.images, expected)
    assert dataset.labels.identities.tolist() == [-1] * 9
    assert dataset.labels.attributes.shape == (9, 0)
    assert dataset.manifest["counts"] == {"train": 7, "val": 1, "test": 1}


def test_folder_and_zip_give_the_same_archive(photo_folder: Path, photo_zip: Path) -> None:
    one, other = faces(photo_folder).dataset(), faces(photo_zip).dataset()
    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.labels.splits, other.labels.splits)
    assert one.manifest["sha256"] == other.manifest["sha256"]


def test_a_second_call_opens_what_the_first_has_packed(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = faces(photo_folder).dataset()
    monkeypatch.setattr(folders, "pack", None)
    assert faces(photo_folder).dataset().path == first.path


def test_another_crop_size_or_photograph_makes_another_archive(photo_folder: Path) -> None:
    paths = {faces(photo_folder).dataset().path, faces(photo_folder, crop=10).dataset().path}
    paths.add(faces(photo_folder, size=16).dataset().path)
    (photo_folder / "more.png").write_bytes((photo_folder / NAMES[1]).read_bytes())
    paths.add(faces(photo_folder).dataset().path)
    (photo_folder / "more.png").write_bytes((photo_folder / NAMES[4]).read_bytes())
    paths.add(faces(photo_folder).dataset().path)
    assert len(paths) == 5


def test_splits_stay_with_their_photographs(photo_folder: Path) -> None:
    names = sorted(NAMES)
    whole = faces(photo_folder).dataset()
    kept = np.arange(9) != 2
    (photo_folder / names[2]).write_bytes(b"broken")
    dataset = faces(photo_folder).dataset()
    assert np.array_equal(dataset.images, whole.images[kept])
    expected = split_by_name([*names[:2], *names[3:]])
    assert np.array_equal(dataset.labels.splits, expected)
    assert dataset.manifest["left_out"] == f"{names[2]} (no image)"


def test_splits_depend_on_names_alone() -> None:
    names = [f"{i}.jpg" for i in range(200)]
    splits = split_by_name(names)
    assert np.bincount(splits).tolist() == [180, 10, 10]
    shuffled = np.random.default_rng(0).permutation(200)
    assert np.array_equal(split_by_name([names[i] for i in shuffled]), splits[shuffled])


def test_a_root_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FaceganError, match=r"nowhere does not exist; give a folder"):
        faces(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [None, "a.txt", ".hidden/a.jpg"])
def test_a_root_without_a_photograph(tmp_path: Path, name: str | None) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    if name:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with pytest.raises(FaceganError, match=r"holds no image; looked for \.jpg, \.jpeg, \.png"):
        faces(root)


def test_a_truncated_zip_and_a_file_that_is_no_zip(photo_zip: Path, tmp_path: Path) -> None:
    photo_zip.write_bytes(photo_zip.read_bytes()[:-200])
    (tmp_path / "text.zip").write_text("hello")
    for path in (photo_zip, tmp_path / "text.zip"):
        with pytest.raises(FaceganError, match=r"is no complete zip"):
            PhotoZip(path)


def test_a_crop_larger_than_the_photographs(photo_folder: Path) -> None:
    with pytest.raises(FaceganError, match=r"9 of 9 photographs.*smaller than data\.crop=108"):
        faces(photo_folder, crop=108).dataset()
    assert not any((photo_folder.parent / "packed_dir").iterdir())


@pytest.mark.parametrize("size", [30, 0, -28])
def test_an_image_size_that_no_network_makes(photo_folder: Path, size: int) -> None:
    with pytest.raises(ValueError, match=rf"4·2\^k or 7·2\^k .*got {size}; try"):
        faces(photo_folder, size=size)
