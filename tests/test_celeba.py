"""CelebA in its official layout, a dozen photographs of it, and the real sample."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ATTRIBUTES
from torchvision import datasets

from facegan.core.errors import FaceganError
from facegan.data import celeba, celeba_annotations, download
from facegan.data.celeba import FOLDER, ZIP, CelebA
from facegan.data.celeba_annotations import read_annotations
from facegan.data.dataset import PackedDataset
from facegan.data.download import RemoteFile, Source, md5_of


def faces(root: Path, verify: bool = False, crop: int | None = 108, size: int = 28) -> CelebA:
    return CelebA(str(root), str(root.parent / "packed_dir"), crop, size, verify)


def zip_photos(root: Path) -> Path:
    """The photographs as the official zip, beside their folder."""
    folder = root / "celeba"
    with zipfile.ZipFile(folder / ZIP, "w") as file:
        for photo in sorted((folder / FOLDER).iterdir(), reverse=True):
            file.write(photo, photo.relative_to(folder))
    return folder / ZIP


def remove_photos(root: Path) -> None:
    for photo in (root / "celeba" / FOLDER).iterdir():
        photo.unlink()
    (root / "celeba" / FOLDER).rmdir()


def check(dataset: PackedDataset, keep: list[int]) -> None:
    """Every photograph of `keep` has its own labels."""
    dataset.verify()
    reds = dataset.images[:, 14, 14, 0].astype(int)
    assert np.all(abs(reds - 20 * np.array(keep)) <= 2)
    assert dataset.labels.identities.tolist() == [100 + i for i in keep]
    bits = dataset.labels.attributes @ (1 << np.arange(40))
    assert bits.tolist() == keep
    assert dataset.labels.splits.tolist() == [[0, 1, 2][(i > 7) + (i > 9)] for i in keep]


@pytest.mark.parametrize("zipped", [False, True])
def test_photographs_in_a_folder_or_a_zip(tiny_celeba: Path, zipped: bool) -> None:
    if zipped:
        zip_photos(tiny_celeba)
        remove_photos(tiny_celeba)
    dataset = faces(tiny_celeba).dataset()
    check(dataset, list(range(12)))
    assert dataset.manifest["counts"] == {"train": 8, "val": 2, "test": 2}
    assert dataset.labels.attribute_names == ATTRIBUTES


def test_root_may_be_the_celeba_folder_itself(tiny_celeba: Path) -> None:
    one, other = faces(tiny_celeba), faces(tiny_celeba / "celeba")
    assert one.folder == other.folder == tiny_celeba / "celeba"
    assert one.recipe() == other.recipe()


def test_a_subset_of_the_listed_photographs(tiny_celeba: Path) -> None:
    for number in (1, 7):
        (tiny_celeba / "celeba" / FOLDER / f"{number:06}.jpg").unlink()
    dataset = faces(tiny_celeba).dataset()
    check(dataset, [1, 2, 3, 4, 5, 7, 8, 9, 10, 11])
    assert dataset.manifest["listed"] == 12


def test_labels_stay_with_their_photographs(
    tiny_celeba: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny_celeba / "celeba" / FOLDER / "000001.jpg").unlink()
    (tiny_celeba / "celeba" / FOLDER / "000006.jpg").write_bytes(b"broken")
    dataset = faces(tiny_celeba).dataset()
    check(dataset, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    assert dataset.manifest["left_out"] == "000006.jpg (no image)"
    assert "left out 1 of 11" in capsys.readouterr().out


def test_torchvision_and_numpy_read_the_same_annotations(
    tiny_celeba: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_celeba / "celeba"
    by_numpy = read_annotations(folder)
    names = [f"{i:06}.jpg" for i in range(1, 13)]
    for name, columns in (("list_bbox_celeba.txt", 4), ("list_landmarks_align_celeba.txt", 10)):
        rows = [f"{name} {' 1' * columns}" for name in names]
        (folder / name).write_text("\n".join(["12", "header", *rows]) + "\n")
    monkeypatch.setattr(datasets.CelebA, "_check_integrity", lambda _: True)
    monkeypatch.setattr(
        celeba_annotations, "_read_with_numpy", lambda _: pytest.fail("read by numpy")
    )
    (by_torchvision_names, by_torchvision) = read_annotations(folder)
    assert by_torchvision_names == by_numpy[0] == names
    for label, other in zip(vars(by_torchvision).values(), vars(by_numpy[1]).values(), strict=True):
        assert np.array_equal(label, other)


def test_a_text_file_that_is_none(tiny_celeba: Path) -> None:
    (tiny_celeba / "celeba" / "identity_CelebA.txt").write_text("<html>\n<body>Quota exceeded\n")
    with pytest.raises(FaceganError, match=r"identity_CelebA\.txt cannot be read"):
        faces(tiny_celeba).dataset()


@pytest.mark.parametrize(
    "name", ["list_eval_partition.txt", "list_attr_celeba.txt", "identity_CelebA.txt"]
)
def test_a_missing_annotation_file(tiny_celeba: Path, name: str) -> None:
    (tiny_celeba / "celeba" / name).unlink()
    with pytest.raises(
        FaceganError, match=rf"lacks {name}; .*torchvision's or Kaggle's layout.*verify=true"
    ):
        faces(tiny_celeba).dataset()


def test_missing_photographs(tiny_celeba: Path) -> None:
    remove_photos(tiny_celeba)
    with pytest.raises(FaceganError, match=rf"has neither {ZIP} nor {FOLDER}/; .*verify=true"):
        faces(tiny_celeba).dataset()


def test_photographs_without_annotations(tiny_celeba: Path) -> None:
    for photo in (tiny_celeba / "celeba" / FOLDER).iterdir():
        photo.rename(photo.with_stem(f"x{photo.stem}"))
    with pytest.raises(FaceganError, match="has 0 of the 12 photographs"):
        faces(tiny_celeba).dataset()


def test_annotations_of_different_photographs(tiny_celeba: Path) -> None:
    path = tiny_celeba / "celeba" / "identity_CelebA.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(FaceganError, match="name different photographs"):
        faces(tiny_celeba).dataset()


def test_an_empty_root(tmp_path: Path) -> None:
    with pytest.raises(FaceganError, match=r"lacks list_eval_partition\.txt, list_attr"):
        faces(tmp_path).dataset()


def test_a_truncated_zip(tiny_celeba: Path) -> None:
    path = zip_photos(tiny_celeba)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FaceganError, match=rf"{ZIP} is no complete zip"):
        faces(tiny_celeba).dataset()


@pytest.fixture
def official(tiny_celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny CelebA is the official one; its only source is a folder beside it."""
    zip_photos(tiny_celeba)
    remove_photos(tiny_celeba)
    source = shutil.copytree(tiny_celeba / "celeba", tmp_path / "source")
    files = sorted(source.iterdir(), key=lambda path: path.suffix != ".zip")
    remote = tuple(RemoteFile(file.name, md5_of(file), "id", ()) for file in files)

    def only_source(file: RemoteFile) -> list[Source]:
        return [Source("beside", "", lambda _, part: shutil.copyfile(source / file.name, part))]

    monkeypatch.setattr(celeba, "CELEBA_FILES", remote)
    monkeypatch.setattr(celeba, "PHOTOGRAPHS", 12)
    monkeypatch.setattr(download, "_sources", only_source)
    return tiny_celeba


def test_complete_celeba_is_verified(official: Path) -> None:
    check(faces(official, verify=True).dataset(), list(range(12)))
    assert faces(official, verify=True).recipe()["photos"] == "official"


def test_an_extracted_folder_needs_no_zip(official: Path) -> None:
    with zipfile.ZipFile(official / "celeba" / ZIP) as file:
        file.extractall(official / "celeba")
    (official / "celeba" / ZIP).unlink()
    check(faces(official, verify=True).dataset(), list(range(12)))


def test_an_incomplete_extracted_folder(official: Path) -> None:
    with zipfile.ZipFile(official / "celeba" / ZIP) as file:
        file.extractall(official / "celeba")
    (official / "celeba" / ZIP).unlink()
    (official / "celeba" / FOLDER / "000003.jpg").unlink()
    with pytest.raises(FaceganError, match=r"has 11 of the 12 photographs.*verify=false"):
        faces(official, verify=True).dataset()


@pytest.mark.parametrize("name", [ZIP, "list_attr_celeba.txt"])
def test_a_wrong_md5(official: Path, name: str) -> None:
    with (official / "celeba" / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(FaceganError, match=rf"{name} has the md5 .*verify=false"):
        faces(official, verify=True).dataset()
    assert not any((official.parent / "packed_dir").iterdir())


@pytest.mark.parametrize("name", [ZIP, "identity_CelebA.txt", ""])
def test_missing_files_are_downloaded(official: Path, name: str) -> None:
    for path in (official / "celeba").glob(name or "*"):
        path.unlink()
    check(faces(official, verify=True).dataset(), list(range(12)))


@pytest.mark.celeba
@pytest.mark.slow
def test_the_real_sample(celeba_root: Path, tmp_path: Path) -> None:
    dataset = CelebA(str(celeba_root), str(tmp_path), 108, 28, verify=False).dataset()
    dataset.verify()
    attributes, names = dataset.labels.attributes, dataset.labels.attribute_names
    assert dataset.manifest["counts"] == {"train": 18_000, "val": 1_000, "test": 1_000}
    assert dataset.manifest["left_out"] == ""
    assert attributes.shape == (20_000, 40)
    assert 0.35 < attributes[:, names.index("Male")].mean() < 0.5
    mean = dataset.images.mean(axis=0)  # the mean face, (28, 28, 3)
    red, green, blue = mean.mean(axis=(0, 1))
    assert 80 < blue < green < red < 170  # skin
    assert abs(mean - mean[:, ::-1]).mean() < 6  # looks straight ahead


@pytest.fixture
def kaggle(tiny_celeba: Path) -> Path:
    """tiny_celeba as Kaggle has it: CSV files, no identities, and a folder in a folder."""
    source, folder = tiny_celeba / "celeba", tiny_celeba.parent / "kaggle"
    shutil.copytree(source / FOLDER, folder / FOLDER / FOLDER)
    for name, header in (("list_eval_partition", ["partition"]), ("list_attr_celeba", ATTRIBUTES)):
        rows = [line.split() for line in (source / f"{name}.txt").read_text().splitlines()]
        rows = [("image_id", *header), *(row for row in rows if row[0].endswith(".jpg"))]
        (folder / f"{name}.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return folder


def check_kaggle(dataset: PackedDataset, official: PackedDataset) -> None:
    assert np.array_equal(dataset.images, official.images)
    assert np.array_equal(dataset.labels.splits, official.labels.splits)
    assert np.array_equal(dataset.labels.attributes, official.labels.attributes)
    assert dataset.labels.attribute_names == ATTRIBUTES
    assert set(dataset.labels.identities) == {-1}
    assert dataset.path != official.path


def test_kaggles_layout_is_read_as_it_comes(kaggle: Path, tiny_celeba: Path) -> None:
    check_kaggle(faces(kaggle).dataset(), faces(tiny_celeba).dataset())


def test_kaggles_layout_is_complete_without_a_download(
    kaggle: Path, tiny_celeba: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celeba, "PHOTOGRAPHS", 12)
    check_kaggle(faces(kaggle, verify=True).dataset(), faces(tiny_celeba).dataset())
    (kaggle / FOLDER / FOLDER / "000003.jpg").unlink()
    with pytest.raises(FaceganError, match=r"has 11 of the 12 photographs.*verify=false"):
        faces(kaggle, verify=True).dataset()


def test_kaggles_layout_in_data(kaggle: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    kaggle.rename(tmp_path / "data" / "celeba")
    assert len(faces(tmp_path / "data").dataset().images) == 12


def test_a_csv_of_kaggle_is_missing(kaggle: Path) -> None:
    (kaggle / "list_attr_celeba.csv").unlink()
    with pytest.raises(FaceganError, match=r"lacks list_attr_celeba\.csv; .*Kaggle's layout"):
        faces(kaggle).dataset()
