"""A Hugging Face image data set, here a local one: nothing is downloaded."""

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
    [("kind", ("cat", "dog"), [7, 6]), ("text", ("0", "1"), [11, 10])],
)
def test_labels(local: Path, column: str, classes: tuple[str, ...], counts: list[int]) -> None:
    labels = source(local, labels=column).dataset().labels
    assert labels.attribute_names == classes
    assert labels.attributes.sum(axis=0).tolist() == counts


def test_a_folder_of_images(local: Path) -> None:
    dataset = source(local.parent / "photos", mode="L").dataset()
    assert dataset.images.shape == (21, 8, 8, 1)


def test_worker_processes_read_it(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoder, "chunk", 8)
    monkeypatch.setattr("facegan.data.pack._cores", lambda: 2)
    several = source(local).dataset()
    monkeypatch.setattr("facegan.data.pack._cores", lambda: 1)
    one = HubDataset(str(local), str(local.parent / "other"), 8).dataset()
    assert several.manifest["sha256"] == one.manifest["sha256"]


def test_what_the_data_set_holds_is_part_of_its_identity(local: Path, tmp_path: Path) -> None:
    first = source(local).recipe()
    assert source(local).recipe() == first
    assert source(local, labels="kind").recipe() != first
    features = datasets.Features(image=datasets.Image())
    one = {"image": [encode(smooth_images(1, 16)[0], tmp_path / "one.png")]}
    datasets.Dataset.from_dict(one, features=features).to_parquet(local / "test-00000.parquet")
    (local / "test-00000-of-00001.parquet").unlink()
    for split in ("train", "validation"):
        (local / f"{split}-00000-of-00001.parquet").unlink()
    assert source(local).recipe() != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "text"}, r"data\.column=text must be one of the columns of images: image"),
        ({"labels": "colour"}, r"data\.labels=colour is no column of .*: image, kind, text"),
        ({"subset": "small"}, r"data\.name=.*small.* not found.*; give OWNER/NAME"),
        ({"faces": "one"}, r"data\.faces=one needs data\.align=true"),
    ],
)
def test_what_is_refused(local: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(FaceganError, match=message):
        source(local, **options)


def test_a_data_set_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(FaceganError, match=r"data\.name=.*nowhere cannot be loaded: "):
        source(tmp_path / "nowhere")


def test_the_package_is_named(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(FaceganError, match=r"needs datasets: pip install -e '\.\[datasets\]'"):
        source(local)


def test_the_command(cli: Cli, local: Path) -> None:
    result = cli("prepare", "data=hub", f"data.name={local}", "data.labels=kind")
    assert result.code == 0, result.err
    assert "14 train, 3 val, 4 test faces of 28x28" in result.out
