"""Photographs as people have them: formats, links, damage, sizes, splits, duplicates, labels."""

import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import save_photos, smooth_images
from PIL import ExifTags, Image, ImageCms

from facegan.core.errors import FaceganError
from facegan.core.images import save_grid, save_video, to_pil
from facegan.core.provenance import Provenance
from facegan.data import decode as decoding
from facegan.data import folder as folders
from facegan.data import photos as stores
from facegan.data.dataset import SPLITS, PackedDataset, read_left_out
from facegan.data.decode import Decoder
from facegan.data.duplicates import find_duplicates
from facegan.data.folder import FolderDataset
from facegan.data.labels import attributes_of, held_out_share, split_by_folder, split_by_name
from facegan.data.photos import PhotoFolder, PhotoZip, open_photos, suffixes

NAMES = sorted(  # of photo_folder
    f"album{i % 3}/photo{i}.{kind}"
    for i, kind in enumerate(("jpg", "png", "webp", "JPEG", "PNG", "jpg", "png", "webp", "png"))
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty photographs of 32x32, 00.png to 19.png."""
    root = tmp_path / "photos"
    save_photos(root, 20, 32)
    return root


@pytest.fixture
def photo_zip(photo_folder: Path) -> Path:
    return zipped(photo_folder)


def zipped(folder: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as file:
        for photo in sorted(folder.rglob("*"), reverse=True):
            file.write(photo, f"{prefix}{photo.relative_to(folder)}")
    return folder.with_suffix(".zip")


def source(root: Path, size: int = 8, **options: Any) -> FolderDataset:
    return FolderDataset(str(root), str(root.parent / "packed"), size, **options)


def packed(root: Path, **options: Any) -> PackedDataset:
    return source(root, **options).dataset()


def left_out(dataset: PackedDataset) -> dict[str, str]:
    return dict(read_left_out(dataset.path))


def encode(image: Image.Image, path: Path, **options: Any) -> bytes:
    image.save(path, **options)
    return path.read_bytes()


def test_folder_and_zip_give_the_same_photographs(photo_folder: Path, photo_zip: Path) -> None:
    assert open_photos(photo_folder).names() == open_photos(photo_zip).names() == NAMES
    one, other = packed(photo_folder), packed(photo_zip)
    assert np.array_equal(one.labels.splits, other.labels.splits)
    assert one.manifest["sha256"] == other.manifest["sha256"]


def test_every_photograph_is_packed(photo_folder: Path) -> None:
    dataset = packed(photo_folder, crop=12)
    dataset.verify()
    expected = [Decoder(8, 12)((photo_folder / name).read_bytes()).images[0] for name in NAMES]
    assert np.array_equal(dataset.images, expected)
    assert dataset.labels.identities.tolist() == [-1] * 9
    assert dataset.labels.attributes.shape == (9, 0)
    assert dataset.manifest["counts"] == {"train": 7, "val": 1, "test": 1}


def test_a_packed_data_set_is_opened_again(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = packed(photo_folder)
    monkeypatch.setattr(folders, "pack", None)
    assert packed(photo_folder).path == first.path


def test_another_crop_size_or_photograph_gives_another_data_set(photo_folder: Path) -> None:
    recipes = [source(photo_folder).recipe(), source(photo_folder, crop=10).recipe()]
    recipes.append(source(photo_folder, size=16).recipe())
    for name in (NAMES[1], NAMES[4]):
        (photo_folder / "more.png").write_bytes((photo_folder / name).read_bytes())
        recipes.append(source(photo_folder).recipe())
    assert len(set(map(str, recipes))) == 5


def test_other_photographs_of_the_same_names_and_sizes_are_packed_again(folder: Path) -> None:
    def replace(first: int) -> None:
        for number, image in enumerate(smooth_images(first + 20, 32)[first:]):
            Image.fromarray(image).save(folder / f"{number:02}.bmp")

    for path in folder.iterdir():
        path.unlink()
    replace(0)
    one = packed(folder)
    for path in folder.iterdir():
        os.utime(path, (1, 1))  # a copy
    assert packed(folder).path == one.path
    replace(20)
    other = packed(folder)
    assert not np.array_equal(one.images, other.images)
    assert packed(folder).path == other.path
    replace(0)
    assert packed(folder).path == one.path
    manifest = one.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"times"', '"none"'))  # an earlier version's
    replace(20)
    assert packed(folder).path == one.path


def test_marked_images_are_not_photographs(folder: Path) -> None:
    facts = Provenance("0" * 64, "0,1", columns=2)
    faces = torch.from_numpy(smooth_images(4, 32)).permute(0, 3, 1, 2)
    save_grid(faces, folder / "faces.png", facts=facts)
    save_video([to_pil(face, facts=facts) for face in faces], folder / "faces.gif", 10)
    assert left_out(packed(folder)) == dict.fromkeys(("faces.gif", "faces.png"), "drawn by facegan")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 30}, r"image_size must be 4·2\^k or 7·2\^k .*got 30; try"),
        ({"size": 0}, "image_size must be 4.*got 0"),
        ({"split": -0.1}, r"split must be a number from 0 to 0\.49, got -0\.1"),
        ({"split": 0.5}, r"split must be a number from 0 to 0\.49, got 0\.5"),
        ({"crop": 0}, "crop must be a whole number from 1 .*got 0"),
        ({"crop": 0, "align": True}, "crop must be a whole number from 1 .*got 0"),
        ({"mode": "HSV"}, "mode must be one of RGB, L, got 'HSV'"),
        ({"background": "whte"}, "unknown color specifier: 'whte'"),
        ({"align": "tall"}, "align must be one of true, wide, got 'tall'"),
        ({"align": True, "faces": "two"}, "faces must be one of all, one, got 'two'"),
        ({"align": False, "faces": "one"}, "faces must be all without align=true, got one"),
    ],
)
def test_wrong_options_are_refused(
    photo_folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{message}"):
        source(photo_folder, **options)


@pytest.mark.parametrize("name", [None, "a.txt", ".hidden/a.jpg"])
def test_a_root_without_a_photograph(tmp_path: Path, name: str | None) -> None:
    with pytest.raises(FaceganError, match=r"empty does not exist; give a folder"):
        source(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    if name:
        (tmp_path / "empty" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "empty" / name).touch()
    with pytest.raises(FaceganError, match=r"contains no image \(\.jpg, \.png, …\); found: "):
        source(tmp_path / "empty")


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


def test_unused_files_are_counted_and_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("._00.png", ".DS_Store", "Thumbs.db", "a.mp4", "b.mp4"):
        (folder / name).write_bytes(b"x")
    dataset = packed(folder)
    expected = "1 no image format (.db), 2 hidden, 2 no image format (.mp4)"
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


def test_a_tilde_is_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(open_photos(Path("~/photos")).names()) == 20


def test_names_may_be_any_bytes(folder: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe.png")
    (folder / "00.png").rename(folder / odd)
    (folder / os.fsdecode(b"\xfd.png")).write_bytes(b"x")
    dataset = packed(folder)
    assert sum(dataset.manifest["counts"].values()) == 20
    assert dataset.manifest["left_out"] == "?.png (no image)"


@pytest.mark.parametrize("count", [1, 7])
def test_too_few_photographs_are_refused(tmp_path: Path, count: int) -> None:
    save_photos(tmp_path / "photos", count, 32)
    with pytest.raises(FaceganError, match=rf"{count} faces are too few.*at least 8"):
        packed(tmp_path / "photos")
    assert not any((tmp_path / "packed").iterdir())


@pytest.mark.parametrize(("background", "value"), [("white", 255), ("black", 0), ("#808080", 128)])
def test_transparency_is_composited(tmp_path: Path, background: str, value: int) -> None:
    pixels = np.zeros((16, 16, 4), dtype=np.uint8)
    pixels[:, :, 0] = 255  # red under alpha 0
    data = encode(Image.fromarray(pixels), tmp_path / "a.png")
    (image,) = Decoder(8, background=background)(data).images
    assert np.all(image == value)


@pytest.mark.parametrize(("suffix", "mode"), [("jpg", "RGB"), ("png", "RGB"), ("png", "P")])
def test_a_large_photograph_is_reduced(
    suffix: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = Image.fromarray(smooth_images(1, 8)[0]).resize((3000, 2000), Image.Resampling.BICUBIC)
    data = encode(photo.convert(mode), tmp_path / f"a.{suffix}", quality=95)
    (reduced,) = Decoder(8, crop=1000)(data).images
    opened, scale = decoding.open_photo(data, lambda width, height: 0.2)
    assert (opened.size, scale) == ((750, 500), 0.25)
    monkeypatch.setattr(decoding, "LARGE", 1 << 40)
    (whole,) = Decoder(8, crop=1000)(data).images
    assert abs(reduced.astype(int) - whole).max() <= 2


def test_a_jpeg_larger_than_pillows_limit_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (3000, 2000), "red").save(folder / "panorama.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    monkeypatch.setattr(decoding, "MAX_MEMORY", 4_000_000)
    assert sum(packed(folder).manifest["counts"].values()) == 21
    assert Image.MAX_IMAGE_PIXELS == 1_000_000


def test_unpacked_bytes_are_bounded_and_nothing_is_written_outside(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MAX_FILE_BYTES", 100_000)
    path = zipped(folder, prefix="../../")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.jpg", bytes(200_000))
    dataset = packed(path)
    assert sum(dataset.manifest["counts"].values()) == 20
    assert "unpacked" in left_out(dataset)["bomb.jpg"]
    (folder / "large.jpg").write_bytes(bytes(200_000))
    assert "large.jpg" in left_out(packed(folder))
    assert sorted(os.listdir(folder.parent)) == ["packed", "photos", "photos.zip"]


def test_damaged_entries_of_a_zip_are_left_out(folder: Path) -> None:
    path = zipped(folder)
    data = bytearray(path.read_bytes())
    data[500:510] = bytes(10)
    path.write_bytes(data)
    assert len(PhotoZip(path).names()) == 20
    assert list(left_out(packed(path))) == ["19.png"]


def test_a_truncated_zip_is_refused(photo_zip: Path) -> None:
    for content in (photo_zip.read_bytes()[:-200], b"hello"):
        photo_zip.write_bytes(content)
        with pytest.raises(FaceganError, match="a complete zip"):
            PhotoZip(photo_zip)


def test_duplicates_are_counted_and_share_a_split(tmp_path: Path) -> None:
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
    assert all(20 <= count <= 25 for count in np.bincount(splits)[1:])  # a tenth of 250


@pytest.mark.parametrize("copies", [1, 2])
def test_a_group_larger_than_the_share_is_for_training(tmp_path: Path, copies: int) -> None:
    root = tmp_path / "photos"
    save_photos(root, 40, 32)
    for number in range(30 * copies):
        (root / f"copy{number}.png").write_bytes((root / f"{number % copies:02}.png").read_bytes())
    dataset = packed(root)
    counts, alike = dataset.manifest["counts"], dataset.labels.identities >= 0
    assert min(counts.values()) >= 2
    assert not dataset.labels.splits[alike].any()
    assert "look alike" in dataset.manifest["alike"]


def test_different_pictures_on_a_flat_ground_are_not_duplicates() -> None:
    images = np.full((60, 32, 32, 3), 255, dtype=np.uint8)
    images[:, 8:24, 8:24] = smooth_images(60, 16)  # the same outline
    assert find_duplicates(images)[1:] == (0, 0)


def test_frames_of_a_fixed_camera_are_one_group() -> None:
    noise = np.random.default_rng(0).integers(-3, 4, (5000, 8, 8, 3))
    frames = np.clip(smooth_images(1, 8).astype(np.int64) + noise, 0, 255).astype(np.uint8)
    assert len(set(find_duplicates(frames).leaders)) == 1


def test_duplicates_of_a_given_split_belong_to_training(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    save_photos(root / "train", 10, 32)
    save_photos(root / "test", 6, 32, first=8)
    dataset = packed(root)
    assert dataset.manifest["counts"] == {"train": 12, "val": 0, "test": 4}


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "valid", "TEST"), ("training", "dev", "test")]
)
def test_folders_of_splits_are_honoured(tmp_path: Path, names: tuple[str, ...]) -> None:
    counts = dict(zip(SPLITS, (10, 6, 4), strict=True))
    for first, count, name in zip((0, 10, 16), counts.values(), names, strict=True):
        save_photos(tmp_path / "photos" / name, count, 32, first=first)
    assert packed(tmp_path / "photos").manifest["counts"] == counts
    assert packed(tmp_path / "photos", split=0.1).manifest["counts"]["train"] == 16


def test_splits_below_a_common_folder_with_a_stray_photograph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photos(tmp_path / "photos" / "all" / "Training", 16, 32)
    save_photos(tmp_path / "photos" / "all" / "eval", 4, 32, first=16)
    save_photos(tmp_path / "photos" / "all", 1, 32, first=20)
    assert packed(tmp_path / "photos").manifest["counts"] == {"train": 17, "val": 0, "test": 4}
    assert "1 photographs outside of train/ and the like" in capsys.readouterr().out


@pytest.mark.parametrize(
    "names", [["train/a", "b"], ["train/a"], ["val/a", "test/b"], ["train", "x"]]
)
def test_other_folders_are_not_splits(names: list[str]) -> None:
    assert split_by_folder(names) is None


def test_splits_depend_on_names_only(photo_folder: Path) -> None:
    names = [f"{i}.jpg" for i in range(200)]
    splits = split_by_name(names)
    assert np.bincount(splits).tolist() == [180, 10, 10]
    shuffled = np.random.default_rng(0).permutation(200)
    assert np.array_equal(split_by_name([names[i] for i in shuffled]), splits[shuffled])
    whole = packed(photo_folder)
    (photo_folder / NAMES[2]).write_bytes(b"broken")
    dataset = packed(photo_folder)
    assert np.array_equal(dataset.images, whole.images[np.arange(9) != 2])
    assert np.array_equal(dataset.labels.splits, split_by_name([*NAMES[:2], *NAMES[3:]]))
    assert dataset.manifest["left_out"] == f"{NAMES[2]} (no image)"


@pytest.mark.parametrize(
    ("count", "share"), [(20, 0.05), (100, 0.1), (500, 0.1), (800, 0.0625), (2000, 0.05)]
)
def test_the_held_out_share_depends_on_the_count(count: int, share: float) -> None:
    assert held_out_share(count) == share


def test_subfolders_are_labels(tmp_path: Path) -> None:
    for first, name in enumerate(("cats", "dogs", "birds")):
        save_photos(tmp_path / "photos" / "train" / name, 5, 32, first=5 * first)
    save_photos(tmp_path / "photos" / "test" / "cats", 3, 32, first=15)
    dataset = packed(tmp_path / "photos", labels="subfolder")
    assert dataset.labels.attribute_names == ("birds", "cats", "dogs")
    assert (dataset.labels.attributes > 0).sum(axis=0).tolist() == [5, 8, 5]
    assert np.all((dataset.labels.attributes > 0).sum(axis=1) == 1)


def test_a_csv_of_labels(folder: Path) -> None:
    table = folder.parent / "labels.csv"
    table.write_text("name,label\n" + "".join(f"{i:02}.png,{'ab'[i % 2]}\n" for i in range(18)))
    dataset = packed(folder, labels=str(table))
    assert dataset.labels.attribute_names == ("a", "b")
    assert (dataset.labels.attributes > 0).sum(axis=0).tolist() == [9, 9]
    table.write_text(table.read_text().replace("00.png,a", "00.png,b"))
    assert packed(folder, labels=str(table)).path != dataset.path


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_labels_from_a_spreadsheet(
    tmp_path: Path, encoding: str, delimiter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [unicodedata.normalize("NFD", f"Jürgen {number}.png") for number in range(10)]
    rows = [unicodedata.normalize("NFC", name) + f"{delimiter}größer" for name in names[:8]]
    (tmp_path / "labels.csv").write_text("\r\n".join(["Datei" + delimiter, *rows]), encoding)
    found, classes = attributes_of(names, str(tmp_path / "labels.csv"))
    assert (classes, found.ravel().tolist()) == (["größer"], [1] * 8 + [0] * 2)
    assert "2 of 10 photographs have no label" in capsys.readouterr().out


def test_an_orientation_with_tags_that_cannot_be_written(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.XResolution] = 1.0
    image = Image.fromarray(smooth_images(1, 32)[0][:, :16])
    data = encode(image, tmp_path / "a.jpg", exif=exif)
    broken = data.replace(struct.pack(">II", 1, 1), struct.pack(">iI", -1, 0))
    assert broken != data
    photo, _ = decoding.open_photo(broken, lambda *_: 1.0)
    assert photo.size == (32, 16)


def jpeg_bomb(side: int, scans: int = 1, **options: Any) -> bytes:
    """A JPEG of side x side pixels in 80 kB: all bits of its scans are zero."""
    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, "JPEG", **options)
    header, _, scan = data.getvalue().partition(b"\xff\xda")
    header = header.replace(struct.pack(">HH", 16, 16), struct.pack(">HH", side, side), 1)
    first = scan[: scan[1]] if scans == 1 else b"\0\x08\1\1\0\0\x3f\0"  # of one component
    return header + (b"\xff\xda" + first + bytes(80_000 // scans)) * scans + b"\xff\xd9"


def png_of(mode: str, side: int) -> bytes:
    data = io.BytesIO()
    Image.new(mode, (side, side)).save(data, "PNG", compress_level=1)
    return data.getvalue()


ICON = struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 1, 1 << 20, 22)
BOMBS: dict[str, tuple[Callable[[], bytes], bytes]] = {
    "progressive": (lambda: jpeg_bomb(16_000, progressive=True), b"ValueError"),
    "two frames": (lambda: jpeg_bomb(16_000, progressive=True) * 2, b"ValueError"),
    "a scan for each component": (lambda: jpeg_bomb(16_000, scans=3), b"ValueError"),
    "65,500 pixels": (lambda: jpeg_bomb(65_500), b"ValueError"),
    "PNG": (lambda: png_of("1", 16_000), b"ValueError"),
    "PNG in an icon": (lambda: ICON + png_of("1", 13_000), b"UnidentifiedImageError"),
    "for Ghostscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", b"UnidentifiedImageError"),
    "as large as allowed": (lambda: png_of("RGB", 7900), b"decoded"),
    "palette": (lambda: png_of("P", 5000), b"decoded"),
    "transparency": (lambda: png_of("RGBA", 5000), b"decoded"),
    "reduced by its decoder": (lambda: jpeg_bomb(16_000), b"decoded"),
    "progressive, as large as allowed": (lambda: jpeg_bomb(9000, progressive=True), b"decoded"),
}
PEAK = r"""
import re, sys
from facegan.data.decode import Decoder
try:
    Decoder(28)(sys.stdin.buffer.read())
    print("decoded")
except (ValueError, OSError) as error:
    print(type(error).__name__)
print(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.parametrize("bomb", BOMBS)
def test_the_memory_that_a_photograph_takes_is_bounded(bomb: str) -> None:
    make, outcome = BOMBS[bomb]
    command = [sys.executable, "-c", PEAK]
    result = subprocess.run(command, input=make(), stdout=subprocess.PIPE, check=True)
    found, peak = result.stdout.split()
    assert found == outcome
    assert int(peak) < (293_000 if outcome == b"decoded" else 100_000)  # KiB: 300 and 100 MB


def test_colours_of_a_profile_are_converted(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))  # any profile but sRGB
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(smooth_images(1, 8)[0])
    plain = Decoder(8)(encode(image, tmp_path / "plain.png")).images[0]
    for profile in (srgb, lab.tobytes(), b"damaged"):  # the last two do not fit, and are ignored
        data = encode(image, tmp_path / "a.png", icc_profile=profile)
        assert np.array_equal(Decoder(8)(data).images[0], plain)
    wide = _swapped_primaries(srgb)
    converted = Decoder(8)(encode(image, tmp_path / "b.png", icc_profile=wide)).images[0]
    assert np.abs(converted[..., ::-1].astype(int) - plain).max() <= 3


def _swapped_primaries(profile: bytes) -> bytes:
    """An sRGB profile whose red and blue primaries are exchanged, under another name."""
    return (
        profile.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ")
    ).replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_tar_gives_the_photographs_of_its_folder(folder: Path, suffix: str) -> None:
    path = folder.with_suffix(suffix)
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w") as archive:
        archive.add(folder, "inside")
        link = tarfile.TarInfo("inside/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert np.array_equal(packed(path).images, packed(folder).images)


def test_own_folders_and_tiny_photographs_are_left_out(folder: Path) -> None:
    dataset = source(folder, size=32).dataset()
    shutil.copytree(dataset.path, folder / "packed")
    save_photos(folder / "run" / "samples", 3, 32)
    for name in ("config.yaml", "metrics.jsonl"):
        (folder / "run" / name).touch()
    (folder / "@eaDir").mkdir()
    (folder / "@eaDir" / "a.png").touch()
    Image.new("RGB", (9, 9)).save(folder / "tiny.png")
    reasons = left_out(source(folder, size=32).dataset())
    assert reasons == {
        "packed": "a run or a packed data set of facegan",
        "run": "a run or a packed data set of facegan",
        "@eaDir/a.png": "hidden",
        "tiny.png": "too small for 32 pixels",
    }


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("nowhere.csv", r"data\.labels=nowhere\.csv is not a file"),
        ("subfolder", r"data\.labels=subfolder gives 0 classes"),
        (__file__, "names none of the photographs"),
    ],
)
def test_labels_of_no_photograph_are_refused(folder: Path, labels: str, message: str) -> None:
    with pytest.raises(FaceganError, match=message):
        packed(folder, labels=labels)
