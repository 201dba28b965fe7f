"""CelebA in its official layout, in Kaggle's, and the real sample."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import gdown
import numpy as np
import pytest
from conftest import ATTRIBUTES

from facegan.core.errors import FaceganError
from facegan.data import celeba
from facegan.data.celeba import FOLDER, ZIP, CelebA
from facegan.data.dataset import PackedDataset
from facegan.data.download import RemoteFile, md5_of


def faces(root: Path, verify: bool = False) -> CelebA:
    return CelebA(str(root), str(root.parent / "packed_dir"), 108, 28, verify)


def move_photos_to_a_zip(root: Path) -> Path:
    folder = root / "celeba"
    with zipfile.ZipFile(folder / ZIP, "w") as file:
        for photo in sorted((folder / FOLDER).iterdir(), reverse=True):
            file.write(photo, photo.relative_to(folder))
    shutil.rmtree(folder / FOLDER)
    return folder / ZIP


def extract(folder: Path) -> None:
    with zipfile.ZipFile(folder / ZIP) as file:
        file.extractall(folder)
    (folder / ZIP).unlink()


def check(dataset: PackedDataset, keep: list[int]) -> None:
    """Every photograph of `keep` has its own labels."""
    dataset.verify()
    reds = dataset.images[:, 14, 14, 0].astype(int)
    assert np.all(abs(reds - 20 * np.array(keep)) <= 2)
    assert dataset.labels.identities.tolist() == [100 + i for i in keep]
    bits = (dataset.labels.attributes > 0) @ (1 << np.arange(40))
    assert bits.tolist() == keep
    assert dataset.labels.splits.tolist() == [[0, 1, 2][(i > 7) + (i > 9)] for i in keep]


@pytest.mark.parametrize("zipped", [False, True])
def test_photographs_are_read_from_a_folder_or_a_zip(tiny_celeba: Path, zipped: bool) -> None:
    if zipped:
        move_photos_to_a_zip(tiny_celeba)
    dataset = faces(tiny_celeba).dataset()
    check(dataset, list(range(12)))
    assert dataset.manifest["counts"] == {"train": 8, "val": 2, "test": 2}
    assert dataset.labels.attribute_names == ATTRIBUTES


def test_other_photographs_of_the_same_names_and_sizes_are_noticed(tiny_celeba: Path) -> None:
    first = faces(tiny_celeba).dataset()
    photo = next((tiny_celeba / "celeba" / FOLDER).iterdir())
    photo.write_bytes(photo.read_bytes()[:-1] + b"x")
    assert faces(tiny_celeba).dataset().path != first.path


def test_root_may_be_the_celeba_folder_itself(tiny_celeba: Path) -> None:
    one, other = faces(tiny_celeba), faces(tiny_celeba / "celeba")
    assert one.folder == other.folder == tiny_celeba / "celeba"
    assert one.recipe() == other.recipe()


def test_labels_stay_with_their_photographs(
    tiny_celeba: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny_celeba / "celeba" / FOLDER / "000001.jpg").unlink()
    (tiny_celeba / "celeba" / FOLDER / "000006.jpg").write_bytes(b"broken")
    dataset = faces(tiny_celeba).dataset()
    check(dataset, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    assert dataset.manifest["listed"] == 12
    assert dataset.manifest["left_out"] == "000006.jpg (no image)"
    assert "left out 1 of 11" in capsys.readouterr().out


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


def rename_photos(folder: Path) -> None:
    for photo in (folder / FOLDER).iterdir():
        photo.rename(photo.with_stem(f"x{photo.stem}"))


def drop_a_line(name: str) -> Callable[[Path], None]:
    """Removes the line of the first photograph."""

    def change(folder: Path) -> None:
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(x for x in lines if not x.startswith("000001.jpg")))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("list_eval_partition.txt"), r"lacks list_eval_partition\.txt; .*Kaggle's layout"),
        (shutil.rmtree, r"lacks list_eval_partition\.txt; .*verify=true"),
        (lambda folder: shutil.rmtree(folder / FOLDER), rf"lacks {ZIP} or {FOLDER}/; .*verify"),
        (rename_photos, "has 0 of the 12 photographs"),
        (write("identity_CelebA.txt", "<html>\n<body>Quota\n"), "name different photographs"),
        (write("identity_CelebA.txt", "000001.jpg one\n"), r"identity_CelebA\.txt cannot be read"),
        (write("identity_CelebA.txt", ""), r"identity_CelebA\.txt cannot be read"),
    ],
)
def test_missing_and_damaged_files_are_named(
    tiny_celeba: Path, change: Callable[[Path], None], message: str
) -> None:
    change(tiny_celeba / "celeba")
    with pytest.raises(FaceganError, match=message):
        faces(tiny_celeba).dataset()


@pytest.mark.parametrize(
    ("change", "count", "attributes", "identity"),
    [
        (remove("list_attr_celeba.txt"), 12, 0, 100),
        (remove("identity_CelebA.txt"), 12, 40, -1),
        (drop_a_line("identity_CelebA.txt"), 12, 40, -1),
        (drop_a_line("list_attr_celeba.txt"), 12, 40, 100),
        (drop_a_line("list_eval_partition.txt"), 11, 40, 101),
        (write("identity_CelebA.txt", "\ufeff000001.jpg 7\n"), 12, 40, 7),
    ],
)
def test_a_part_of_the_annotations(
    tiny_celeba: Path,
    change: Callable[[Path], None],
    count: int,
    attributes: int,
    identity: int,
) -> None:
    change(tiny_celeba / "celeba")
    dataset = faces(tiny_celeba).dataset()
    labels = dataset.labels
    assert (len(dataset.images), labels.attributes.shape) == (count, (count, attributes))
    assert labels.identities[0] == identity
    if attributes:
        first = 12 - count  # the number in the attributes of the first photograph
        signs = [1 if i % 2 else -1 for i in range(first, 12)]
        known = labels.attributes[:, 0] != 0  # not of the photograph without attributes
        assert labels.attributes[known, 0].tolist() == signs[len(signs) - known.sum() :]
        assert known.sum() >= 11


@pytest.fixture
def official(tiny_celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny CelebA is the official one; its only source is a folder."""
    move_photos_to_a_zip(tiny_celeba)
    source = shutil.copytree(tiny_celeba / "celeba", tmp_path / "source")
    remote = [RemoteFile(file.name, md5_of(file), (str(file),)) for file in source.iterdir()]
    monkeypatch.setattr(celeba, "CELEBA_FILES", remote)
    monkeypatch.setattr(celeba, "PHOTOGRAPHS", 12)
    monkeypatch.setattr(gdown, "download", lambda url, part, *_, **__: shutil.copyfile(url, part))
    return tiny_celeba


def test_complete_celeba_is_verified(official: Path) -> None:
    check(faces(official, verify=True).dataset(), list(range(12)))
    assert faces(official, verify=True).recipe()["photos"] == "official"


def test_an_extracted_folder_is_complete_without_the_zip(official: Path) -> None:
    extract(official / "celeba")
    (official / "celeba" / FOLDER / "000003.jpg").rename(official / "moved")
    with pytest.raises(FaceganError, match=r"has 11 of the 12 photographs.*verify=false"):
        faces(official, verify=True).dataset()
    (official / "moved").rename(official / "celeba" / FOLDER / "000003.jpg")
    check(faces(official, verify=True).dataset(), list(range(12)))


@pytest.mark.parametrize("name", [ZIP, "list_attr_celeba.txt"])
def test_a_file_with_another_md5_is_refused(official: Path, name: str) -> None:
    with (official / "celeba" / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(FaceganError, match=rf"{name} has the md5 .*verify=false"):
        faces(official, verify=True).dataset()
    assert not any((official.parent / "packed_dir").iterdir())


@pytest.mark.parametrize("name", [ZIP, "identity_CelebA.txt", "*"])
def test_missing_files_are_downloaded(official: Path, name: str) -> None:
    for path in (official / "celeba").glob(name):
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
    assert 0.35 < (attributes[:, names.index("Male")] > 0).mean() < 0.5
    mean = dataset.images.mean(axis=0)  # the mean face, (28, 28, 3)
    red, green, blue = mean.mean(axis=(0, 1))
    assert 80 < blue < green < red < 170  # skin
    assert abs(mean - mean[:, ::-1]).mean() < 6  # symmetric


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


@pytest.mark.parametrize("verify", [False, True])
def test_kaggles_layout_is_read_without_a_download(
    kaggle: Path, tiny_celeba: Path, verify: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celeba, "PHOTOGRAPHS", 12)
    dataset, official = faces(kaggle, verify).dataset(), faces(tiny_celeba).dataset()
    assert np.array_equal(dataset.images, official.images)
    assert np.array_equal(dataset.labels.splits, official.labels.splits)
    assert np.array_equal(dataset.labels.attributes, official.labels.attributes)
    assert dataset.labels.attribute_names == ATTRIBUTES
    assert set(dataset.labels.identities) == {-1}
    assert dataset.path != official.path


def test_kaggles_layout_must_be_complete_with_verify(kaggle: Path) -> None:
    with pytest.raises(FaceganError, match=r"has 12 of the 12 .* has 202599.*verify=false"):
        faces(kaggle, verify=True).dataset()
    (kaggle / "list_attr_celeba.csv").unlink()
    with pytest.raises(FaceganError, match=r"lacks list_attr_celeba\.csv; .*Kaggle's layout"):
        faces(kaggle, verify=True).dataset()
    assert faces(kaggle).dataset().labels.attributes.shape == (12, 0)


def test_kaggles_layout_in_the_folder_celeba(kaggle: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    kaggle.rename(tmp_path / "data" / "celeba")
    assert len(faces(tmp_path / "data").dataset().images) == 12
