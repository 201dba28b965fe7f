"""Photographs as people have them: formats, links, damage, sizes, duplicates, labels."""

import csv
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import smooth_images
from PIL import Image

from facegan.core.errors import FaceganError
from facegan.data import decode as decoding
from facegan.data import photos as stores
from facegan.data.dataset import LEFT_OUT, SPLITS, PackedDataset
from facegan.data.decode import Decoder
from facegan.data.folder import FolderDataset
from facegan.data.labels import held_out_share, split_by_folder
from facegan.data.photos import PhotoFolder, PhotoZip, open_photos, suffixes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty photographs of 32x32, 00.png to 19.png."""
    root = tmp_path / "photos"
    save(root, 20)
    return root


def save(root: Path, count: int, name: str = "{:02}.png", first: int = 0) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(smooth_images(first + count, 32)[first:]):
        Image.fromarray(image).save(root / name.format(number))


def packed(root: Path, **options: Any) -> PackedDataset:
    return FolderDataset(str(root), str(root.parent / "packed"), 8, **options).dataset()


def left_out(dataset: PackedDataset) -> dict[str, str]:
    with (dataset.path / LEFT_OUT).open(newline="") as file:
        return {row["name"]: row["reason"] for row in csv.DictReader(file)}


def encode(image: Image.Image, path: Path, **options: Any) -> bytes:
    image.save(path, **options)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["bmp", "tif", "gif", "jfif", "avif", "heic", "jp2", "ppm"])
def test_every_format_is_read(folder: Path, suffix: str) -> None:
    suffixes()  # registers HEIC
    kind = {"jfif": "JPEG"}.get(suffix)
    Image.open(folder / "00.png").save(folder / f"other.{suffix}", kind)
    assert sum(packed(folder).manifest["counts"].values()) == 21


def test_heic_without_its_package_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.heic").write_bytes(b"x")
    known = suffixes() - {".heic"}
    monkeypatch.setattr(stores, "suffixes", lambda: known)
    assert left_out(packed(folder)) == {"a.heic": ".heic needs pip install -e '.[heif]'"}


@pytest.mark.parametrize("suffix", ["heic", "HEIC"])
def test_many_heic_that_cannot_be_read_do_not_stop_the_others(folder: Path, suffix: str) -> None:
    for number in range(20):
        (folder / f"{number}.{suffix}").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    dataset = packed(folder)
    assert sum(dataset.manifest["counts"].values()) == 20
    assert left_out(dataset)[f"7.{suffix}"] == "no image"
    assert len(left_out(dataset)) == 20


def test_what_is_not_used_is_counted_and_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("._00.png", ".DS_Store", "Thumbs.db", "a.mp4", "b.mp4"):
        (folder / name).write_bytes(b"x")
    dataset = packed(folder)
    expected = "1 no image format (.db), 2 no image format (.mp4), 2 hidden"
    assert sorted(dataset.manifest["unused"].split(", ")) == sorted(expected.split(", "))
    assert f"not used: {dataset.manifest['unused']}" in capsys.readouterr().out
    assert left_out(dataset)["b.mp4"] == "no image format (.mp4)"
    assert len(left_out(dataset)) == 5


def test_links_are_followed_once_and_loops_are_not(folder: Path) -> None:
    links = folder.parent / "links"
    links.mkdir()
    os.symlink(folder, links / "a")
    os.symlink(folder, links / "b")
    os.symlink("..", links / "loop")
    os.symlink(folder / "00.png", links / "file.png")
    os.symlink("nowhere.png", links / "broken.png")
    store = PhotoFolder(links)
    assert store.names() == [*(f"a/{i:02}.png" for i in range(1, 20)), "file.png"]
    assert {unused.name for unused in store.unused()} == {"a/00.png", "b", "loop", "broken.png"}


def test_an_unreadable_folder_is_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "locked").mkdir()
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (unused,) = PhotoFolder(folder).unused()
    assert unused == ("locked", "cannot be opened (Permission denied)")


@pytest.mark.parametrize(
    "name", ["Müller", "Photos (1)", "a=b", "x#y", "家庭 照片", "t[1]", "a{b}"]
)
def test_a_path_is_taken_literally(folder: Path, name: str) -> None:
    assert len(open_photos(folder.rename(folder.parent / name)).names()) == 20


def test_a_tilde_is_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(open_photos(Path("~/photos")).names()) == 20


def test_names_of_any_bytes(folder: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe.png")
    (folder / "00.png").rename(folder / odd)
    (folder / os.fsdecode(b"\xfd.png")).write_bytes(b"x")
    dataset = packed(folder)
    assert sum(dataset.manifest["counts"].values()) == 20
    assert dataset.manifest["left_out"] == "?.png (no image)"


def test_few_bad_photographs_are_left_out_by_name(folder: Path) -> None:
    for number in range(5):
        (folder / f"{number:02}.png").write_bytes(b"")
    dataset = packed(folder)
    assert sum(dataset.manifest["counts"].values()) == 15
    assert sorted(left_out(dataset)) == [f"{number:02}.png" for number in range(5)]


def test_many_bad_photographs_are_an_error(folder: Path) -> None:
    for number in range(6):
        (folder / f"{number:02}.png").write_bytes(b"not an image")
    with pytest.raises(FaceganError, match=r"6 of 20 photographs .*00\.png \(no image\).*remove"):
        packed(folder)


@pytest.mark.parametrize("count", [1, 7])
def test_too_few_photographs_are_refused_at_once(tmp_path: Path, count: int) -> None:
    save(tmp_path / "photos", count)
    with pytest.raises(FaceganError, match=rf"{count} faces are no data set.*at least 8"):
        packed(tmp_path / "photos")
    assert not any((tmp_path / "packed").iterdir())


@pytest.mark.parametrize(("background", "value"), [("white", 255), ("black", 0), ("#808080", 128)])
def test_transparency_is_composited(tmp_path: Path, background: str, value: int) -> None:
    pixels = np.zeros((16, 16, 4), dtype=np.uint8)
    pixels[:, :, 0] = 255  # red under alpha 0
    data = encode(Image.fromarray(pixels), tmp_path / "a.png")
    (image,) = Decoder(8, background=background)(data).images
    assert np.all(image == value)


def test_a_background_that_is_no_colour() -> None:
    with pytest.raises(FaceganError, match=r"data\.background=whte is no colour; try white"):
        Decoder(8, background="whte")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "I;16", "I"])
def test_grey_and_other_modes_become_one_channel(tmp_path: Path, mode: str) -> None:
    grey = Image.new("L", (16, 16), 255)
    image = (
        grey.convert(mode)
        if mode[0] != "I"
        else Image.fromarray(
            np.full((16, 16), 65535, dtype=np.uint16 if mode == "I;16" else np.int32)
        )
    )
    data = encode(image, tmp_path / "a.tif")
    (decoded,) = Decoder(8, mode="L")(data).images
    assert decoded.shape == (8, 8, 1)
    assert np.all(decoded == 255)


def test_a_mode_that_is_unknown() -> None:
    with pytest.raises(FaceganError, match=r"data\.mode must be one of RGB, L, got HSV"):
        Decoder(8, mode="HSV")


def test_a_large_jpeg_is_decoded_at_a_reduced_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = Image.fromarray(smooth_images(1, 8)[0]).resize((3000, 2000), Image.Resampling.BICUBIC)
    data = encode(photo, tmp_path / "a.jpg", quality=95)
    (reduced,) = Decoder(8, crop=1000)(data).images
    opened, scale = decoding.open_photo(data, lambda width, height: 0.2)
    assert (opened.size, scale) == ((750, 500), 0.25)
    monkeypatch.setattr(decoding, "LARGE", 1 << 40)
    (whole,) = Decoder(8, crop=1000)(data).images
    assert abs(reduced.astype(int) - whole).max() <= 2


def test_a_picture_that_pillow_calls_a_bomb_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (3000, 2000), "red").save(folder / "panorama.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1_000_000)
    assert sum(packed(folder).manifest["counts"].values()) == 21
    assert Image.MAX_IMAGE_PIXELS == 1_000_000


def test_what_cannot_be_reduced_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (300, 200)).save(folder / "huge.png")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 300 * 200 - 1)
    assert "300x200 pixels are too many" in left_out(packed(folder))["huge.png"]


def test_a_zip_entry_that_unpacks_to_more_than_a_photograph(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MAX_FILE_BYTES", 100_000)
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for photo in sorted(folder.iterdir()):
            file.write(photo, f"../../{photo.name}")
        file.writestr("bomb.jpg", bytes(200_000))
    dataset = packed(path)
    assert sum(dataset.manifest["counts"].values()) == 20
    assert "unpacked" in left_out(dataset)["bomb.jpg"]
    (folder / "large.jpg").write_bytes(bytes(200_000))
    assert "large.jpg" in left_out(packed(folder))
    assert sorted(os.listdir(folder.parent)) == ["packed", "photos", "photos.zip"]


def test_a_zip_with_damaged_entries(folder: Path) -> None:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for photo in sorted(folder.iterdir()):
            file.write(photo, photo.name)
    data = bytearray(path.read_bytes())
    data[500:510] = bytes(10)
    path.write_bytes(data)
    assert len(PhotoZip(path).names()) == 20
    assert list(left_out(packed(path))) == ["00.png"]


def test_twins_are_counted_and_share_a_split(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    for number, noise in enumerate(np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3))):
        image = Image.fromarray(noise.astype(np.uint8)).resize((64, 64))
        image.save(root / f"a{number:03}.png")
        image.save(root / f"b{number:03}.bmp")
        if number < 50:
            image.save(root / f"c{number:03}.jpg", quality=90)
    dataset = packed(root)
    assert dataset.manifest["duplicates"] == {"exact": 100, "near": 50}
    splits = dataset.labels.splits
    assert np.array_equal(splits[:100], splits[100:200])
    assert np.array_equal(splits[:50], splits[200:])
    assert np.bincount(splits[:100]).tolist() == [80, 10, 10]


def test_twins_of_a_given_split_belong_to_training(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    save(root / "train", 10)
    save(root / "test", 6, first=8)
    dataset = packed(root)
    assert dataset.manifest["counts"] == {"train": 12, "val": 0, "test": 4}


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "valid", "TEST"), ("training", "dev", "test")]
)
def test_folders_of_splits_are_honoured(tmp_path: Path, names: tuple[str, ...]) -> None:
    for first, count, name in zip((0, 10, 16), (10, 6, 4), names, strict=True):
        save(tmp_path / "photos" / name, count, first=first)
    assert packed(tmp_path / "photos").manifest["counts"] == dict(
        zip(SPLITS, (10, 6, 4), strict=True)
    )
    assert packed(tmp_path / "photos", split=0.1).manifest["counts"]["train"] == 16


@pytest.mark.parametrize(
    "names", [["train/a", "b"], ["train/a"], ["val/a", "test/b"], ["train", "x"]]
)
def test_folders_that_are_no_splits(names: list[str]) -> None:
    assert split_by_folder(names) is None


@pytest.mark.parametrize(
    ("count", "share"), [(20, 0.05), (100, 0.1), (500, 0.1), (800, 0.0625), (2000, 0.05)]
)
def test_the_held_out_share_depends_on_the_count(count: int, share: float) -> None:
    assert held_out_share(count) == share


@pytest.mark.parametrize("split", [-0.1, 0.5])
def test_a_held_out_share_out_of_range(folder: Path, split: float) -> None:
    with pytest.raises(FaceganError, match=r"data\.split .*\[0, 0\.5\), got"):
        packed(folder, split=split)


def test_subfolders_are_labels(tmp_path: Path) -> None:
    for first, name in enumerate(("cats", "dogs", "birds")):
        save(tmp_path / "photos" / "train" / name, 5, first=5 * first)
    save(tmp_path / "photos" / "test" / "cats", 3, first=15)
    dataset = packed(tmp_path / "photos", labels="subfolder")
    assert dataset.labels.attribute_names == ("birds", "cats", "dogs")
    assert dataset.labels.attributes.sum(axis=0).tolist() == [5, 8, 5]
    assert np.all(dataset.labels.attributes.sum(axis=1) == 1)


def test_a_csv_of_labels(folder: Path) -> None:
    table = folder.parent / "labels.csv"
    table.write_text("name,label\n" + "".join(f"{i:02}.png,{'ab'[i % 2]}\n" for i in range(18)))
    dataset = packed(folder, labels=str(table))
    assert dataset.labels.attribute_names == ("a", "b")
    assert dataset.labels.attributes.sum(axis=0).tolist() == [9, 9]
    table.write_text(table.read_text().replace("00.png,a", "00.png,b"))
    assert packed(folder, labels=str(table)).path != dataset.path


@pytest.mark.parametrize(
    ("content", "message"), [(None, "is no file"), ("x.png,a\n", "names none of the photographs")]
)
def test_labels_that_cannot_be_used(folder: Path, content: str | None, message: str) -> None:
    table = folder.parent / "labels.csv"
    if content:
        table.write_text(content)
    with pytest.raises(FaceganError, match=message):
        packed(folder, labels=str(table))


def test_subfolders_without_labels(folder: Path) -> None:
    with pytest.raises(FaceganError, match=r"data\.labels=subfolder gives 0 classes"):
        packed(folder, labels="subfolder")
