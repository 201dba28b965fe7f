"""The packed data set on disk: written atomically, named by its recipe, checked when read."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegan.core.errors import FaceganError
from facegan.data.dataset import Labels, PackedDataset, dataset_path, open_dataset, write_dataset

RECIPE = {"source": "test", "image_size": 8}
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
LABELS = Labels(
    splits=np.array([0, 0, 0, 1, 2], dtype=np.uint8),
    attributes=np.eye(5, 2, dtype=bool),
    identities=np.arange(5),
    attribute_names=("Smiling", "Young"),
)


def write_images(images: Path) -> tuple[Labels, dict[str, Any]]:
    np.save(images, IMAGES)
    return LABELS, {"left_out": "a.jpg"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "test", RECIPE, write_images).path


def test_what_is_written_is_read(path: Path) -> None:
    dataset = open_dataset(path)
    dataset.verify()
    assert np.array_equal(dataset.images, IMAGES)
    assert np.array_equal(dataset.labels.splits, LABELS.splits)
    assert np.array_equal(dataset.labels.attributes, LABELS.attributes)
    assert np.array_equal(dataset.labels.identities, LABELS.identities)
    assert dataset.labels.attribute_names == ("Smiling", "Young")
    assert dataset.image_size == 8
    assert isinstance(dataset.images, np.memmap)


def test_the_content_of_the_manifest(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["recipe"] == RECIPE
    assert manifest["counts"] == {"train": 3, "val": 1, "test": 1}
    assert manifest["left_out"] == "a.jpg"
    assert len(manifest["sha256"]) == 64


def test_splits_are_disjoint_and_complete(dataset: PackedDataset) -> None:
    parts = [dataset.indices(split).tolist() for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [36, 2, 2]
    assert sorted(row for part in parts for row in part) == list(range(40))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_no_files(tmp_path: Path, error: type[BaseException]) -> None:
    def fail(images: Path) -> tuple[Labels, dict[str, Any]]:
        write_images(images)
        raise error

    with pytest.raises(error):
        write_dataset(tmp_path / "test", RECIPE, fail)
    assert list(tmp_path.iterdir()) == []


def test_no_temporary_files_are_left(path: Path) -> None:
    assert [entry.name for entry in path.parent.iterdir()] == ["test"]
    names = {entry.name for entry in path.iterdir()}
    assert names == {"images.npy", "labels.npz", "manifest.json"}


@pytest.mark.parametrize("change", [{"crop": 108}, {"image_size": 28}, {"source": "other"}])
def test_a_changed_recipe_has_another_folder(change: dict[str, Any]) -> None:
    assert dataset_path(Path("a"), RECIPE) != dataset_path(Path("a"), {**RECIPE, **change})


def test_a_recipe_keeps_its_folder() -> None:
    assert dataset_path(Path("a"), dict(reversed(RECIPE.items()))) == dataset_path(
        Path("a"), RECIPE
    )


@pytest.mark.parametrize("name", ["images.npy", "labels.npz", "manifest.json"])
@pytest.mark.parametrize("keep", [0, 100])
def test_a_truncated_file(path: Path, name: str, keep: int) -> None:
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[:keep])
    with pytest.raises(FaceganError, match=r"damaged.*delete that folder.*prepare"):
        open_dataset(path)


@pytest.mark.parametrize("name", ["images.npy", "labels.npz", "manifest.json"])
def test_a_missing_file(path: Path, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(FaceganError, match=f"damaged.*{name}"):
        open_dataset(path)


def test_labels_without_identities(path: Path) -> None:
    (path / "labels.npz").unlink()
    with zipfile.ZipFile(path / "labels.npz", "w"):
        pass
    with pytest.raises(FaceganError, match=r"damaged.*splits"):
        open_dataset(path)


def test_images_and_labels_of_different_length(path: Path) -> None:
    np.save(path / "images.npy", IMAGES[:3])
    with pytest.raises(FaceganError, match="3 images but 5 labels"):
        open_dataset(path)


def test_a_flipped_bit_is_found(path: Path) -> None:
    changed = IMAGES.copy()
    changed[2, 3, 4, 1] ^= 1
    np.save(path / "images.npy", changed)
    with pytest.raises(FaceganError, match="checksum"):
        open_dataset(path).verify()


def test_a_damaged_data_set_is_replaced(path: Path) -> None:
    (path / "images.npy").unlink()
    write_dataset(path, RECIPE, write_images).verify()


def test_a_data_set_written_by_another_process_is_kept(path: Path) -> None:
    before = (path / "images.npy").stat().st_ino
    write_dataset(path, RECIPE, write_images).verify()
    assert (path / "images.npy").stat().st_ino == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_changes_of_the_images_are_not_written_to_disk(path: Path) -> None:
    dataset = open_dataset(path)
    dataset.images[:] = 0
    assert np.array_equal(open_dataset(path).images, IMAGES)
