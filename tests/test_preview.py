"""The page and the PNG that show what a training will see."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, smooth_images
from numpy.typing import NDArray
from PIL import Image

from facegan.data.celeba import CelebA
from facegan.data.dataset import PackedDataset
from facegan.data.folder import FolderDataset
from facegan.data.listing import read_names
from facegan.data.photos import Unused
from facegan.data.quality import brightness, is_blurred, sharpness
from facegan.evaluation.preview import PNG, Reason, outliers, reasons, write_preview


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Thirty photographs of 32x32, four with something to see."""
    root = tmp_path / "photos"
    root.mkdir()
    for number, image in enumerate(smooth_images(30, 32)):
        Image.fromarray(image // 4 + 96).save(root / f"{number:02}.png")
    Image.new("RGB", (32, 32)).save(root / "black.png")
    Image.fromarray(noise()).save(root / "noise.png")
    Image.open(root / "07.png").save(root / "seven <b>.png")
    (root / "broken.png").write_bytes(b"no image")
    (root / "notes.txt").write_text("no photograph")
    return root


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(96, 160, (32, 32, 3), dtype=np.uint8)


def page(dataset: PackedDataset) -> str:
    return write_preview(dataset).read_text(encoding="utf-8")


def packed(photos: Path, **options: object) -> PackedDataset:
    return FolderDataset(str(photos), str(photos.parent / "packed_dir"), 8, **options).dataset()


def section(text: str, title: str) -> str:
    return text.partition(f">{title}</h")[2].partition("<h")[0]


def test_the_page_loads_nothing(photos: Path) -> None:
    text = page(packed(photos))
    assert set(re.findall(r'(?:src|href)="([^":]*):', text)) == {"data"}
    assert "http" not in text
    assert "<b>.png" not in text
    assert "seven &lt;b&gt;.png" in text


def test_counts_and_what_is_left_out(photos: Path) -> None:
    text = page(packed(photos))
    assert "<th>photographs</th><td>34</td>" in text
    assert "<th>images</th><td>33 of 8x8, RGB</td>" in text
    assert "<th>splits</th><td>29 train, 2 val, 2 test</td>" in text
    left_out = section(text, "Left out")
    assert re.search(r"1</td><td>no image</td><td[^>]*>broken.png<", left_out)
    assert re.search(r"1</td><td>no image format \(.txt\)</td><td[^>]*>notes.txt<", left_out)


def test_duplicates_are_shown_together(photos: Path) -> None:
    duplicates = section(page(packed(photos)), "Duplicates")
    assert "1 exact, 0 near" in duplicates
    assert re.findall(r'title="([^"]*)"', duplicates) == ["07.png", "seven &lt;b&gt;.png"]


@pytest.mark.parametrize(
    ("title", "name", "others"), [("darkest", "black.png", 9), ("sharpest", "noise.png", 9)]
)
def test_outliers_are_framed(photos: Path, title: str, name: str, others: int) -> None:
    figures = section(page(packed(photos)), title).split("<figure")[1:]
    assert f'class="outlier" title="{name}"' in figures[0]
    assert [("outlier" in figure) for figure in figures[1:]] == [False] * others


def test_labels_are_counted(photos: Path) -> None:
    labels = photos.parent / "labels.csv"
    labels.write_text("".join(f"{number:02}.png,{number % 3}\n" for number in range(20)))
    text = page(packed(photos, labels=str(labels)))
    assert re.findall(r"<th>(\d)</th><td[^>]*>(\d+)<", section(text, "Labels")) == [
        ("0", "7"),
        ("1", "7"),
        ("2", "6"),
    ]


def test_the_png_shows_up_to_a_hundred_images(photos: Path, dataset: PackedDataset) -> None:
    write_preview(dataset)
    with Image.open(dataset.path / PNG) as few:
        assert few.size == (11 * 89, 11 * 35)  # 36 training images of 8x8, enlarged 11 times
    save_many(photos, 300)
    many = packed(photos, mode="L")
    write_preview(many)
    with Image.open(many.path / PNG) as sheet:
        assert sheet.size == (11 * 89, 11 * 89)
        assert sheet.mode == "L"


def save_many(root: Path, count: int) -> None:
    for number, image in enumerate(smooth_images(count, 16)):
        Image.fromarray(image).save(root / f"many{number:03}.png")


def test_a_data_set_without_lists(dataset: PackedDataset) -> None:
    text = page(dataset)
    assert "Nothing." in section(text, "Left out")
    assert "Duplicates" not in text
    assert 'title="image ' in section(text, "darkest")


def test_people_are_no_duplicates(tiny_celeba: Path) -> None:
    dataset = CelebA(str(tiny_celeba), str(tiny_celeba / "packed"), None, 8, verify=False).dataset()
    assert read_names(dataset.path) == [f"{number:06}.jpg" for number in range(1, 13)]
    assert "Duplicates" not in page(dataset)


def test_prepare_writes_the_page(cli: Cli, photos: Path) -> None:
    result = cli("prepare", "data=folder", f"data.root={photos}")
    assert result.code == 0, result.err
    assert "left out: 1 no image, 1 no image format (.txt)\n" in result.out
    (written,) = re.findall(r"^(.*preview\.html) shows the training images$", result.out, re.M)
    assert Path(written).is_file()


def test_reasons_are_sorted_by_count() -> None:
    files = [Unused(f"{n}.x", "hidden") for n in range(5)] + [Unused("a.jpg", "blurred")]
    assert reasons(files[::-1]) == [
        Reason("hidden", 5, ["4.x", "3.x", "2.x"]),
        Reason("blurred", 1, ["a.jpg"]),
    ]


def test_outliers_lie_beyond_the_quartiles() -> None:
    values = np.array([0.0, 4.5, *range(11, 18), 23.5, 25.0])  # quartiles 11.5 and 16.5
    assert np.flatnonzero(outliers(values)).tolist() == [0, 10]
    assert not outliers(np.ones(5)).any()


def test_sharpness_is_that_of_each_image() -> None:
    images = np.stack([noise(), np.full_like(noise(), 7), smooth_images(1, 32)[0]])
    values = sharpness(images)
    assert values == pytest.approx([sharpness(image) for image in images])
    assert values[1] == 0
    assert values[0] == pytest.approx(20**0.5, rel=0.1)  # the Laplacian's weights: 4, -1, …
    assert is_blurred(images[2])
    assert not is_blurred(images[0])
    assert brightness(images)[1] == 7
