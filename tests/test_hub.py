"""A Hugging Face image data set, read from the disk: nothing is downloaded."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli, smooth_images
from numpy.typing import NDArray
from PIL import Image

from facegan.core.errors import FaceganError
from facegan.data.dataset import read_names
from facegan.data.decode import Decoder
from facegan.data.hub import HubDataset

datasets = pytest.importorskip("datasets", reason="pip install -e '.[datasets]'")
SPLITS = {"train": 14, "validation": 3, "test": 4}


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A data set in Parquet: images of 32x32, a class that some lack, a text."""
    features = datasets.Features(
        image=datasets.Image(),
        kind=datasets.ClassLabel(names=["cat", "dog"]),
        text=datasets.Value("string"),
    )
    (tmp_path / "hub").mkdir()
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = iter(smooth_images(sum(SPLITS.values()), 32))
    for split, count in SPLITS.items():
        images = [encode(next(rows), photos / f"{split}{number}.png") for number in range(count)]
        columns = {
            "image": images,
            "kind": [number % 3 - 1 for number in range(count)],  # -1: no class
            "text": [f"{number % 2}" for number in range(count)],
        }
        table = datasets.Dataset.from_dict(columns, features=features)
        table.to_parquet(tmp_path / "hub" / f"{split}-00000-of-00001.parquet")
    return tmp_path / "hub"


def encode(pixels: NDArray[np.uint8], path: Path) -> dict[str, Any]:
    Image.fromarray(pixels).save(path)
    return {"bytes": path.read_bytes(), "path": path.name}


def source(root: Path, **options: Any) -> HubDataset:
    return HubDataset(str(root), str(root.parent / "packed_dir"), 8, **options)


def test_images_and_splits(local: Path) -> None:
    dataset = source(local).dataset()
    assert dataset.manifest["counts"] == {"train": 14, "val": 3, "test": 4}
    photo = (local.parent / "photos" / "validation1.png").read_bytes()
    row = read_names(dataset.path).index("validation/0000001")
    assert np.array_equal(dataset.images[row], Decoder(8)(photo).images[0])
    assert dataset.path.name.startswith("hub-8-")


@pytest.mark.parametrize(
    ("column", "classes", "counts"),
    [("kind", ("cat", "dog"), [7, 6]), ("text", ("text",), [10])],
)
def test_labels(local: Path, column: str, classes: tuple[str, ...], counts: list[int]) -> None:
    labels = source(local, labels=column).dataset().labels
    assert labels.attribute_names == classes
    assert (labels.attributes > 0).sum(axis=0).tolist() == counts


def test_a_folder_of_images(local: Path) -> None:
    dataset = source(local.parent / "photos", mode="L").dataset()
    assert dataset.images.shape == (21, 8, 8, 1)


@pytest.mark.parametrize("form", ["struct", "bytes", "path"])
def test_a_named_column_of_encoded_images(local: Path, form: str, tmp_path: Path) -> None:
    pictures = sorted((local.parent / "photos").glob("*.png"))
    forms: dict[str, Any] = {
        "struct": lambda path: {"bytes": path.read_bytes(), "path": None},
        "bytes": Path.read_bytes,
        "path": str,
    }
    table = datasets.Dataset.from_dict({"photo": [forms[form](path) for path in pictures]})
    (tmp_path / "plain").mkdir()
    table.to_parquet(tmp_path / "plain" / "train.parquet")
    dataset = source(tmp_path / "plain", column="photo").dataset()
    expected = [Decoder(8)(path.read_bytes()).images[0] for path in pictures]
    assert np.array_equal(dataset.images, np.stack(expected))


def test_the_recipe_depends_on_the_content(local: Path) -> None:
    first = source(local).recipe()
    assert source(local).recipe() == first
    assert source(local, labels="kind").recipe() != first
    (local / "validation-00000-of-00001.parquet").unlink()
    assert source(local).recipe() != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "kind"}, r"^column must be one of image, text, got 'kind'"),
        ({"labels": "colour"}, r"^labels must be one of image, kind, text, got 'colour'"),
        ({"subset": "small"}, r"data\.name=.*hub cannot be loaded: .*small.* not found"),
        ({"faces": "one"}, r"^faces must be all without align=true"),
    ],
)
def test_wrong_options_are_refused(local: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises((ValueError, FaceganError), match=message):
        source(local, **options)


def test_a_missing_data_set_or_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FaceganError, match=r"data\.name=.*nowhere cannot be loaded: "):
        source(tmp_path / "nowhere")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(FaceganError, match=r"needs datasets: pip install -e '\.\[datasets\]'"):
        source(tmp_path)


def test_the_command(cli: Cli, local: Path) -> None:
    out = cli.ok("prepare", "data=hub", f"data.name={local}", "data.labels=kind")
    assert "14 train, 3 val, 4 test faces of 28x28" in out
