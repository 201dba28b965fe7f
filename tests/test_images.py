"""Conversions, grids against a loop, and image files read back by Pillow."""

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from facegan.core.errors import FaceganError
from facegan.core.images import grid, save_grid, save_image, save_video, to_float, to_pil, to_uint8

ALL_VALUES = torch.arange(256, dtype=torch.uint8)


def random_images(count: int, channels: int = 3, height: int = 4, width: int = 5) -> Tensor:
    noise = torch.Generator().manual_seed(0)
    shape = (count, channels, height, width)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=noise)


def test_all_values_survive_the_round_trip() -> None:
    assert torch.equal(to_uint8(to_float(ALL_VALUES)), ALL_VALUES)


def test_float_range() -> None:
    values = to_float(ALL_VALUES)
    assert values.dtype == torch.float32
    assert values[[0, 255]].tolist() == [-1, 1]
    assert (values.diff() > 0).all()
    assert torch.allclose(values, -values.flip(0), atol=1e-6)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1.5, 0), (-1, 0), (0.001, 128), (-0.001, 127), (1, 255), (1.5, 255), (float("inf"), 255)],
)
def test_to_uint8_rounds_and_clamps(value: float, expected: int) -> None:
    assert to_uint8(torch.tensor([value])).tolist() == [expected]


def test_conversions_keep_the_shape_the_memory_format_and_the_input() -> None:
    images = random_images(2).to(memory_format=torch.channels_last)
    floats = to_float(images)
    assert floats.is_contiguous(memory_format=torch.channels_last)
    kept = floats.clone()
    assert torch.equal(to_uint8(floats), random_images(2))
    assert torch.equal(floats, kept)


def naive_grid(images: Tensor, columns: int, padding: int) -> Tensor:
    count, channels, height, width = images.shape
    rows = (count + columns - 1) // columns
    tall = rows * height + (rows - 1) * padding
    canvas = torch.zeros(channels, tall, columns * width + (columns - 1) * padding)
    for i in range(count):
        top, left = i // columns * (height + padding), i % columns * (width + padding)
        canvas[:, top : top + height, left : left + width] = images[i]
    return canvas.to(torch.uint8)


@pytest.mark.parametrize("count", [1, 2, 6, 7])
@pytest.mark.parametrize("columns", [1, 3, 8])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_grid_against_a_loop(count: int, columns: int, padding: int, channels: int) -> None:
    images = random_images(count, channels)
    expected = naive_grid(images, columns, padding)
    assert torch.equal(grid(images, columns, padding), expected)


@pytest.mark.parametrize(
    ("count", "rows", "columns"),
    [(1, 1, 1), (2, 1, 2), (3, 2, 2), (5, 2, 3), (9, 3, 3), (10, 3, 4), (64, 8, 8)],
)
def test_a_grid_is_nearly_square(count: int, rows: int, columns: int) -> None:
    tiles = grid(random_images(count), padding=0)
    assert tiles.shape == (3, rows * 4, columns * 5)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_read_back(tmp_path: Path, channels: int) -> None:
    (image,) = random_images(1, channels)
    path = tmp_path / "new" / "face.png"
    save_image(to_pil(image), path)
    with Image.open(path) as picture:
        assert picture.mode == {1: "L", 3: "RGB"}[channels]
        assert torch.equal(pil_to_tensor(picture), image)


def test_upscale_repeats_pixels(tmp_path: Path) -> None:
    (image,) = random_images(1)
    save_image(to_pil(image, upscale=3), tmp_path / "face.png")
    with Image.open(tmp_path / "face.png") as picture:
        large = pil_to_tensor(picture)
    assert torch.equal(large, image.repeat_interleave(3, 1).repeat_interleave(3, 2))


def test_gif_read_back(tmp_path: Path) -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    frames = [Image.new("RGB", (6, 4), colour) for colour in colours]
    save_video(frames, tmp_path / "epochs.gif", fps=4)
    with Image.open(tmp_path / "epochs.gif") as picture:
        assert (picture.n_frames, picture.size, picture.info["loop"]) == (3, (6, 4), 0)
        for i, colour in enumerate(colours):
            picture.seek(i)
            assert picture.info["duration"] == 250  # ms
            assert picture.convert("RGB").getpixel((3, 2)) == colour


@pytest.mark.parametrize(("name", "begins"), [("v.GIF", b"GIF89a"), ("v.MP4", b"\0\0\0 ftyp")])
def test_the_suffix_of_a_video(name: str, begins: bytes, tmp_path: Path, capsys) -> None:
    save_video([Image.new("RGB", (16, 16))] * 2, tmp_path / name, fps=60)
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert ("at 50 frames per second at most" in capsys.readouterr().out) == (name == "v.GIF")
    if name == "v.GIF":
        with Image.open(tmp_path / name) as picture:
            assert picture.info["duration"] == 20
    with pytest.raises(FaceganError, match=r"v\.webm must end in \.gif or \.mp4"):
        save_video([], tmp_path / "v.webm", fps=1)


@pytest.mark.parametrize("name", ["v.gif", "v.mp4"])
def test_the_frames_of_a_video_are_not_kept(name: str, tmp_path: Path) -> None:
    made: list[weakref.ref[Image.Image]] = []
    alive: list[int] = []

    def frames() -> Iterator[Image.Image]:
        for number in range(9):
            frame = Image.new("RGB", (16, 16), (number, 0, 0))
            made.append(weakref.ref(frame))
            alive.append(sum(each() is not None for each in made))
            yield frame

    save_video(frames(), tmp_path / name, fps=10)
    assert max(alive) <= 3


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (2, {"upscale": 10**6}, "upscale must be a number from 1 to 100, got 1000000"),
        (2, {"columns": -1}, "columns must be a whole number from 1 to 1000000, got -1"),
        (0, {}, "the number of images in a grid must be .* from 1 to .*, got 0"),
        (2, {"path": "faces"}, "faces has no suffix .*, such as faces.png"),
    ],
)
def test_wrong_arguments_of_save_grid(count: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, FaceganError), match=message):
        save_grid(random_images(2)[:count], **{"path": "faces.png", **options})
