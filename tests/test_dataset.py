"""The packed data set on disk: written atomically, named by its recipe, checked when read."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegan.core.errors import FaceganError
from facegan.data.dataset import Labels, dataset_path, open_dataset, write_dataset

RECIPE = {"source": "test", "image_size": 8}
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
LABELS = Labels(
    splits=np.array([0, 0, 0, 1, 2], dtype=np.uint8),
    attributes=np.eye(5, 2, k=-1, dtype=np.int8) - np.eye(5, 2, dtype=np.int8),
    identities=np.arange(5),
    attribute_names=("Smiling", "Young"),
)


def write_images(images: Path) -> tuple[Labels, dict[str, Any]]:
    np.save(images, IMAGES)
    return LABELS, {"left_out": "a.jpg"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "test", RECIPE, write_images).path


def test_a_written_data_set_is_read(path: Path) -> None:
    dataset = open_dataset(path)
    dataset.verify()
    assert np.array_equal(dataset.images, IMAGES)
    for name in ("splits", "attributes", "identities", "attribute_names"):
        assert np.array_equal(getattr(dataset.labels, name), getattr(LABELS, name))
    assert dataset.manifest["counts"] == {"train": 3, "val": 1, "test": 1}
    assert dataset.manifest["left_out"] == "a.jpg"
    assert isinstance(dataset.images, np.memmap)


def test_attributes_that_earlier_versions_packed(path: Path) -> None:
    with np.load(path / "labels.npz") as parts:
        arrays = dict(parts)
    np.savez(path / "labels.npz", **arrays | {"attributes": np.eye(5, 2, dtype=bool)})
    assert np.array_equal(open_dataset(path).labels.attributes, 2 * np.eye(5, 2) - 1)


@pytest.mark.parametrize("names", [["Young"], ["young"], ["Young", "young"]])
def test_some_attributes(path: Path, names: list[str]) -> None:
    labels = open_dataset(path).with_attributes(names).labels
    assert labels.attribute_names == ("Young",)
    assert np.array_equal(labels.attributes, LABELS.attributes[:, 1:])


@pytest.mark.parametrize(
    ("known", "own"), [(["Smiling", "Young"], "Smiling, Young"), ([], "none; set data.labels")]
)
def test_unknown_attributes(path: Path, known: list[str], own: str) -> None:
    dataset = open_dataset(path).with_attributes(known)
    with pytest.raises(FaceganError, match=f"data.attributes must .*'Old'; it has {own}"):
        dataset.with_attributes(["Old"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_no_files(tmp_path: Path, error: type[BaseException]) -> None:
    def fail(images: Path) -> tuple[Labels, dict[str, Any]]:
        write_images(images)
        raise error

    with pytest.raises(error):
        write_dataset(tmp_path / "test", RECIPE, fail)
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_are_removed_also_of_killed_processes(tmp_path: Path) -> None:
    (tmp_path / ".test.killed").mkdir()
    path = write_dataset(tmp_path / "test", RECIPE, write_images).path
    assert list(tmp_path.iterdir()) == [path]
    assert {file.name for file in path.iterdir()} == {"images.npy", "labels.npz", "manifest.json"}


def test_the_folder_is_named_by_the_content_of_the_recipe() -> None:
    recipes = [RECIPE, RECIPE | {"crop": 108}, RECIPE | {"image_size": 28}, {"image_size": 8}]
    recipes[3]["source"] = "other"
    assert len({dataset_path(Path("a"), recipe) for recipe in recipes}) == 4
    again = dict(reversed(RECIPE.items()))
    assert dataset_path(Path("a"), again) == dataset_path(Path("a"), RECIPE)


def truncate(name: str, keep: int) -> Callable[[Path], None]:
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:keep])


def empty_the_labels(path: Path) -> None:
    zipfile.ZipFile(path / "labels.npz", "w").close()


def manifest(**changes: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        file = path / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


def labels(save: Callable[..., None] = np.savez, **changes: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with np.load(path / "labels.npz") as file:
            arrays = dict(file)
        save(path / "labels.npz", **{**arrays, **changes})

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *(
            (truncate(name, keep), "delete that folder.*prepare")
            for name in ("images.npy", "labels.npz", "manifest.json")
            for keep in (0, 100)
        ),
        *(
            (lambda path, name=name: (path / name).unlink(), name)
            for name in ("images.npy", "labels.npz", "manifest.json")
        ),
        (empty_the_labels, "NoneType"),
        (lambda path: np.save(path / "images.npy", IMAGES[:3]), "not the labels of 3 images"),
        (lambda path: np.save(path / "images.npy", IMAGES[0]), "not enough values"),
        (lambda path: np.save(path / "images.npy", IMAGES[:, :4]), "images of uint8 and shape"),
        (lambda path: np.save(path / "images.npy", IMAGES.astype(float)), "images of float64"),
        (lambda path: (path / "manifest.json").write_text("[" * 10_000), "recursion"),
        (lambda path: (path / "manifest.json").write_text("9" * 401), "a number of 401 digits"),
        (manifest(recipe=[]), r"recipe is '\[\]'"),
        (manifest(attribute_names=[7]), "attribute_names is '7'"),
        (manifest(duplicates={"exact": 1}), "near is 'None'"),
        (manifest(counts={"train": 10**9}), "other splits than in manifest.json"),
        (labels(splits=np.array(["train"] * 5)), "not the labels of 5 images"),
        (labels(attributes=np.zeros((5, 9), dtype=bool)), "not the labels of 5 images"),
        (labels(identities=np.array([{}] * 5)), "pickle"),
        (labels(np.savez_compressed), "it is compressed"),
    ],
)
def test_damaged_and_missing_files_are_found(
    path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(path)
    with pytest.raises(FaceganError, match=f"damaged.*{message}"):
        open_dataset(path)


def test_a_flipped_bit_is_found(path: Path) -> None:
    changed = IMAGES.copy()
    changed[2, 3, 4, 1] ^= 1
    np.save(path / "images.npy", changed)
    with pytest.raises(FaceganError, match="checksum"):
        open_dataset(path).verify()


def test_a_data_set_written_by_another_process_is_kept(path: Path) -> None:
    write_dataset(path, RECIPE, lambda _: pytest.fail("written again")).verify()
    assert list(path.parent.iterdir()) == [path]


def test_changes_of_the_images_are_not_written_to_disk(path: Path) -> None:
    open_dataset(path).images[:] = 0
    assert np.array_equal(open_dataset(path).images, IMAGES)
