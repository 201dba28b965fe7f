"""The page and the PNG that preview a packed data set."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, save_photos, smooth_images
from numpy.typing import NDArray
from PIL import Image

from facegan.data.celeba import CelebA
from facegan.data.dataset import PackedDataset, read_names
from facegan.data.folder import FolderDataset
from facegan.data.quality import brightness, is_blurred, sharpness
from facegan.evaluation.features import AttributeFeatures, split_features
from facegan.evaluation.preview import PNG, outliers, write_preview

NOISE = np.random.default_rng(1).integers(96, 160, (32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty photographs of 32x32, two outliers, a duplicate, and two files to leave out."""
    root = tmp_path_factory.mktemp("preview") / "photos"
    root.mkdir()
    for number, image in enumerate(smooth_images(30, 32)):
        Image.fromarray(image // 4 + 96).save(root / f"{number:02}.png")
    Image.new("RGB", (32, 32)).save(root / "black.png")
    Image.fromarray(NOISE).save(root / "noise.png")
    Image.open(root / "07.png").save(root / "seven <b>.png")
    (root / "broken.png").write_bytes(b"no image")
    (root / "notes.txt").write_text("no photograph")
    return root


@pytest.fixture(scope="module")
def text(photos: Path) -> str:
    """The page of these photographs, with labels of two thirds of them."""
    labels = photos.parent / "labels.csv"
    labels.write_text("".join(f"{number:02}.png,{number % 3}\n" for number in range(20)))
    return page(packed(photos, labels=str(labels)))


def page(dataset: PackedDataset) -> str:
    return write_preview(dataset).read_text(encoding="utf-8")


def packed(photos: Path, **options: object) -> PackedDataset:
    return FolderDataset(str(photos), str(photos.parent / "packed_dir"), 8, **options).dataset()


def section(text: str, title: str) -> str:
    return text.partition(f">{title}</h")[2].partition("<h")[0]


def test_the_page_loads_nothing_and_escapes_names(text: str) -> None:
    assert set(re.findall(r'(?:src|href)="([^":]*):', text)) == {"data"}
    assert "http" not in text
    assert "<b>.png" not in text
    assert "seven &lt;b&gt;.png" in text


@pytest.mark.parametrize(
    ("title", "pattern"),
    [
        ("What the training will see", "<th>photographs</th><td>34</td>"),
        ("What the training will see", "<th>images</th><td>33 of 8x8, RGB</td>"),
        ("What the training will see", "<th>splits</th><td>29 train, 2 val, 2 test</td>"),
        ("Left out", r"1</td><td>no image</td><td[^>]*>broken.png<"),
        ("Left out", r"1</td><td>no image format \(.txt\)</td><td[^>]*>notes.txt<"),
        ("Duplicates", "1 exact, 0 near"),
        ("Duplicates", r'(?s)title="07.png".*title="seven &lt;b&gt;.png"'),
        ("Labels", r"(?s)<th>0</th><td[^>]*>7<.*<th>1</th><td[^>]*>7<.*<th>2</th><td[^>]*>6<"),
    ],
)
def test_the_sections_of_the_page(title: str, pattern: str, text: str) -> None:
    assert re.search(pattern, section(text, title))


@pytest.mark.parametrize(("title", "name"), [("darkest", "black.png"), ("sharpest", "noise.png")])
def test_outliers_are_first_and_framed(title: str, name: str, text: str) -> None:
    figures = section(text, title).split("<figure")[1:]
    assert f'class="outlier" title="{name}"' in figures[0]
    assert ["outlier" in figure for figure in figures] == [True] + [False] * 9


def test_the_png_shows_up_to_a_hundred_images(tmp_path: Path, dataset: PackedDataset) -> None:
    write_preview(dataset)
    with Image.open(dataset.path / PNG) as few:
        assert few.size == (11 * 89, 11 * 35)  # 36 training images of 8x8, enlarged 11 times
    save_photos(tmp_path / "many", 300, 16)
    many = packed(tmp_path / "many", mode="L")
    write_preview(many)
    with Image.open(many.path / PNG) as sheet:
        assert (sheet.size, sheet.mode) == ((11 * 89, 11 * 89), "L")


def test_a_data_set_without_lists(dataset: PackedDataset) -> None:
    text = page(dataset)
    assert "Nothing." in section(text, "Left out")
    assert "Duplicates" not in text
    assert 'title="image ' in section(text, "darkest")


def test_photographs_of_one_person_are_not_duplicates(tiny_celeba: Path) -> None:
    dataset = CelebA(str(tiny_celeba), str(tiny_celeba / "packed"), None, 8, verify=False).dataset()
    assert read_names(dataset.path) == [f"{number:06}.jpg" for number in range(1, 13)]
    assert "Duplicates" not in page(dataset)


def test_prepare_writes_the_page(cli: Cli, photos: Path) -> None:
    out = cli.ok("prepare", "data=folder", f"data.root={photos}")
    assert "29 train, 2 val, 2 test faces of 28x28" in out
    assert "left out: 1 no image, 1 no image format (.txt)\n" in out
    (written,) = re.findall(r"^(.*preview\.html) shows the training images$", out, re.M)
    assert Path(written).is_file()


def test_a_read_only_data_set(
    cli: Cli, photos: Path, dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    command = ("prepare", "data=folder", f"data.root={photos}")
    cli.ok(*command)
    monkeypatch.setattr("facegan.core.files.atomic_path", refuse)
    monkeypatch.setattr("facegan.core.images.atomic_path", refuse)
    assert "no preview: " in cli.ok(*command)
    assert len(split_features(dataset, "train", AttributeFeatures())) == 36


def test_outliers_are_beyond_the_quartiles() -> None:
    values = np.array([0.0, 4.5, *range(11, 18), 23.5, 25.0])  # quartiles 11.5 and 16.5
    assert np.flatnonzero(outliers(values)).tolist() == [0, 10]
    assert not outliers(np.ones(5)).any()


def test_sharpness_and_brightness_of_each_image() -> None:
    images: NDArray[np.uint8] = np.stack([NOISE, np.full_like(NOISE, 7), smooth_images(1, 32)[0]])
    values = sharpness(images)
    assert values == pytest.approx([sharpness(image) for image in images])
    assert values[:2] == pytest.approx([20**0.5, 0], rel=0.1)  # the Laplacian's weights: 4, -1, …
    assert [is_blurred(image) for image in (images[0], images[2])] == [False, True]
    assert brightness(images)[1] == 7
