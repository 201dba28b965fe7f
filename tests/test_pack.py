"""Photographs -> one array, compared with Pillow's own calls."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facegan.core.errors import FaceganError
from facegan.data import pack as packing
from facegan.data.decode import Decoder
from facegan.data.pack import Packed, pack
from facegan.data.photos import PhotoFolder, PhotoStore, PhotoZip

RNG = np.random.default_rng(0)
NOISE = Image.fromarray(RNG.integers(0, 256, (218, 178, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB"))


def decode(data: bytes, crop: int | None, size: int) -> NDArray[np.uint8]:
    (image,) = Decoder(size, crop)(data).images
    return image


def pack_small(store: PhotoStore, names: list[str], folder: Path) -> Packed:
    return pack(store, names, Decoder(8), (8, 8, 3), folder / "images.npy")


def numbered(folder: Path, count: int, broken: tuple[int, ...] = ()) -> PhotoFolder:
    """Photograph i has the grey value i."""
    folder.mkdir()
    for i in range(count):
        data = b"broken" if i in broken else encoded(Image.new("RGB", (9, 9), (i, i, i)))
        (folder / f"{i:03}.png").write_bytes(data)
    return PhotoFolder(folder)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("crop", "size"), [(108, 28), (148, 64), (178, 28), (None, 56)])
def test_decode_crops_the_centre_and_resizes_once(kind: str, crop: int | None, size: int) -> None:
    data = encoded(NOISE, kind)
    side = crop or 178
    left, top = (178 - side) // 2, (218 - side) // 2
    with Image.open(io.BytesIO(data)) as photo:
        square = photo.convert("RGB").crop((left, top, left + side, top + side))
    expected = square.resize((size, size), Image.Resampling.BICUBIC)
    assert np.array_equal(decode(data, crop, size), pixels(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (32, 32))
    upright.paste((255, 0, 0), (0, 0, 16, 16))
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(inverse[orientation]) if orientation in inverse else upright
    assert np.array_equal(decode(encoded(stored, exif=exif), None, 32), pixels(upright))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = NOISE.resize((32, 32)).convert(mode)
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    assert np.array_equal(decode(data, None, 32), pixels(image))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_sixteen_bits_keep_their_upper_byte(dtype: type) -> None:
    ramp = np.arange(256, dtype=dtype).repeat(16).reshape(64, 64)
    deep = decode(encoded(Image.fromarray(ramp * 257), "TIFF"), None, 64)
    assert np.array_equal(deep, pixels(Image.fromarray(ramp.astype(np.uint8))))


def test_a_transparent_palette_is_composited() -> None:
    image = NOISE.resize((32, 32)).quantize(16)
    assert np.all(decode(encoded(image, transparency=bytes(16)), None, 32) == 255)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encoded(Image.fromarray(np.ones((200, 200), np.float32)), "TIFF"), "no fixed range"),
        (encoded(Image.new("RGB", (100, 200))), r"smaller than data\.crop=108: 100x200"),
        (encoded(NOISE, "JPEG")[:5000], "truncated"),
    ],
)
def test_photographs_that_cannot_be_decoded(data: bytes, message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        decode(data, 108, 28)


@pytest.mark.parametrize("zipped", [False, True])
def test_rows_are_in_the_order_of_names(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CHUNK", 3)
    store: PhotoStore = numbered(tmp_path / "photos", 10)
    if zipped:
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
            for name in reversed(store.names()):
                file.writestr(name, store.read(name))
        store = PhotoZip(tmp_path / "photos.zip")
    names = [f"{i:03}.png" for i in (7, 3, 9, 0, 1, 8, 2)]
    assert pack_small(store, names, tmp_path).failures == []
    images = np.load(tmp_path / "images.npy")
    assert images.shape == (7, 8, 8, 3)
    assert images.dtype == np.uint8
    assert images[:, 4, 4, 1].tolist() == [7, 3, 9, 0, 1, 8, 2]


def test_unreadable_photographs_are_named_counted_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = numbered(tmp_path / "photos", 200, broken=(3, 120))
    rows, failures, _ = pack_small(store, store.names(), tmp_path)
    assert failures == [("003.png", "no image"), ("120.png", "no image")]
    kept = np.load(tmp_path / "images.npy")[:, 0, 0, 0].tolist()
    assert kept == rows.tolist() == [i for i in range(200) if i not in (3, 120)]
    result = "left out 2 of 200 photographs: 003.png (no image); 120.png (no image)\n"
    assert capsys.readouterr().out == result


def test_more_than_a_tenth_unreadable_is_an_error(tmp_path: Path) -> None:
    store = numbered(tmp_path / "photos", 50, broken=(3, 4, 5, 6, 7, 8))
    with pytest.raises(FaceganError, match=r"6 of 50 photographs.*003\.png.*more than a tenth"):
        pack_small(store, store.names(), tmp_path)
