"""Conversion between uint8 and float images, grids, and image and video files."""

import base64
import io
import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import torch
from PIL import Image
from PIL.GifImagePlugin import getdata, getheader
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from facegan.core.checks import MANY, check_number
from facegan.core.errors import FaceganError
from facegan.core.files import atomic_path
from facegan.core.provenance import PNG_KEY, Provenance, mark_gif, mp4_box

MAX_GIF_FPS = 50  # browsers show shorter frames for 100 ms


def to_float(images: Tensor) -> Tensor:
    """uint8 in [0, 255] -> float32 in [-1, 1], in the same shape and memory format."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """float in [-1, 1] -> uint8 in [0, 255], rounded to nearest and clamped."""
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def grid(images: Tensor, columns: int | None = None, padding: int = 1) -> Tensor:
    """Tiles images row by row: (N, C, H, W) uint8 -> one image (C, H', W') uint8.

    `columns` defaults to the ceiling of √N. `padding` black pixels separate neighbouring tiles.
    Raises ValueError for no images, and for negative `columns`.
    """
    count, channels, height, width = images.shape
    check_number("the number of images in a grid", count, 1, MANY)
    columns = columns or -(-int(count**0.5 * 1000) // 1000)
    check_number("columns", columns, 1, 10**6)
    rows = -(-count // columns)
    canvas = images.new_zeros(rows * columns, channels, height + padding, width + padding)
    canvas[:count, :, :height, :width] = images
    tiled = canvas.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
    return tiled[:, : tiled.shape[1] - padding, : tiled.shape[2] - padding]


FILTERS = {"nearest": Image.Resampling.NEAREST, "lanczos": Image.Resampling.LANCZOS}


def to_pil(
    image: Tensor, upscale: float = 1, filter: str = "nearest", facts: Provenance | None = None
) -> Image.Image:
    """(C, H, W) uint8 with C = 1 or 3 -> a Pillow image, enlarged by the factor `upscale`.

    `filter`: "nearest" or "lanczos". `facts`: of synthetic faces, with which a file is marked.
    Raises ValueError for another filter, and for `upscale` out of [1, 100].
    """
    mark = replace(facts or Provenance(""), upscale=upscale, filter=filter)
    array = image.cpu().permute(1, 2, 0).numpy()
    picture = Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array)
    if upscale != 1:
        size = (round(picture.width * upscale), round(picture.height * upscale))
        picture = picture.resize(size, FILTERS[filter])
    if facts is not None:
        packet = mark.to_xmp()
        picture.info |= {PNG_KEY: packet, "pnginfo": PngInfo()}
        picture.info["pnginfo"].add_itxt(PNG_KEY, packet)
    return picture


def legible(image_size: int) -> int:
    """The `upscale` with which a face has about 128 pixels."""
    return max(1, round(128 / image_size))


def enlargement(image_size: int, size: int) -> float:
    """The `upscale` with which a face has `size` pixels; an int if all pixels become as many.

    Raises FaceganError for fewer than `image_size`, those of the weights.
    """
    if not image_size <= size <= 100 * image_size:
        raise FaceganError(
            f"size must be a number of pixels from {image_size} to {100 * image_size} for faces of "
            f"{image_size} pixels, got {size}"
        )
    return size / image_size if size % image_size else size // image_size


def data_uri(data: bytes, media_type: str = "image/png") -> str:
    """The bytes of a file as a data: URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def image_uri(image: Tensor, upscale: float = 1, facts: Provenance | None = None) -> str:
    """(C, H, W) uint8 -> a PNG as a data: URL. `facts`: as in `to_pil`."""
    return data_uri(png(image, upscale, facts=facts))


def png(
    image: Tensor, upscale: float = 1, filter: str = "nearest", facts: Provenance | None = None
) -> bytes:
    """(C, H, W) uint8 -> the bytes of a PNG file. Arguments as in `to_pil`."""
    buffer = io.BytesIO()
    picture = to_pil(image, upscale, filter, facts)
    picture.save(buffer, "PNG", pnginfo=picture.info.get("pnginfo"))
    return buffer.getvalue()


def open_image(path: str | Path) -> Image.Image:
    """Reads an image into memory and closes its file."""
    with Image.open(path) as image:
        image.load()
        return image


def save_image(picture: Image.Image, path: str | Path) -> None:
    """Writes a Pillow image atomically, by the suffix of `path`. Raises FaceganError for none."""
    if not Path(path).suffix:
        raise FaceganError(f"{path} has no suffix that decides its format, such as {path}.png")
    with atomic_path(Path(path)) as temporary:
        picture.save(temporary, pnginfo=picture.info.get("pnginfo"))


def save_grid(
    images: Tensor,
    path: str | Path,
    columns: int | None = None,
    upscale: int = 1,
    facts: Provenance | None = None,
) -> None:
    """Writes (N, C, H, W) uint8 images as one grid, atomically. `facts`: as in `to_pil`."""
    facts = facts and replace(facts, columns=columns or 0)
    save_image(to_pil(grid(images, columns), upscale, facts=facts), path)


def save_video(frames: Iterable[Image.Image], path: str | Path, fps: float) -> None:
    """Writes frames atomically as a looping GIF or an MP4; the suffix of `path` decides.

    The video has the mark of its first frame, a GIF at most MAX_GIF_FPS frames per second. Raises
    FaceganError for another suffix, and for an MP4 if imageio-ffmpeg is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".gif", ".mp4"):
        raise FaceganError(f"{path} must end in .gif or .mp4")
    if suffix == ".gif" and fps > MAX_GIF_FPS:
        print(f"fps={fps:g}: browsers show a GIF at {MAX_GIF_FPS} frames per second at most")
    with atomic_path(Path(path)) as temporary:
        if suffix == ".mp4":
            _write_mp4(frames, temporary, fps)
        else:
            with temporary.open("wb") as file:
                write_gif(frames, file, fps)


def write_gif(frames: Iterable[Image.Image], file: BinaryIO, fps: float) -> None:
    """Writes frames as a looping GIF, one after the other; Image.save would keep all in memory."""
    duration = round(1000 / min(fps, MAX_GIF_FPS))  # milliseconds
    for number, frame in enumerate(frames):
        image = frame.convert("P", palette=Image.Palette.ADAPTIVE)
        if number == 0:
            header = b"".join(getheader(image, info={"loop": 0})[0])
            packet = frame.info.get(PNG_KEY)
            file.write(header if packet is None else mark_gif(header, packet))
        file.writelines(getdata(image, duration=duration, include_color_table=True))
    file.write(b";")


def _write_mp4(frames: Iterable[Image.Image], path: Path, fps: float) -> None:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise FaceganError("video=mp4 needs ffmpeg: pip install -e '.[video]'") from error
    frames = iter(frames)
    first = next(frames)
    # H.264 subsamples the colour channels by two, so both sides must be even
    size = (first.width // 2 * 2, first.height // 2 * 2)
    video = imageio_ffmpeg.write_frames(
        str(path), size, fps=fps, macro_block_size=2, ffmpeg_log_level="quiet"
    )
    video.send(None)
    for frame in itertools.chain([first], frames):
        video.send(frame.convert("RGB").resize(size).tobytes())
    video.close()
    if PNG_KEY in first.info:
        with path.open("ab") as file:
            file.write(mp4_box(first.info[PNG_KEY]))
