"""Images in and out: uint8 <-> [-1, 1], grids, PNGs and GIFs. The only place that knows 127.5."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from facegan.files import replacing


def to_float(images: Tensor) -> Tensor:
    """uint8 in [0, 255] -> float32 in [-1, 1]; shape and memory format stay."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """float in [-1, 1] -> uint8 in [0, 255], rounded to nearest; what lies outside is clamped."""
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def grid(images: Tensor, columns: int | None = None, padding: int = 1) -> Tensor:
    """Tiles images row by row on black: (N, C, H, W) uint8 -> (C, rows·H, columns·W) uint8.

    Without `columns` the grid is as square as it can be. `padding` pixels lie between tiles.
    """
    count, channels, height, width = images.shape
    columns = columns or -(-int(count**0.5 * 1000) // 1000)
    rows = -(-count // columns)
    canvas = images.new_zeros(rows * columns, channels, height + padding, width + padding)
    canvas[:count, :, :height, :width] = images
    tiled = canvas.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
    return tiled[:, : tiled.shape[1] - padding, : tiled.shape[2] - padding]


def to_pil(image: Tensor, upscale: int = 1) -> Image.Image:
    """(C, H, W) uint8 with C = 1 or 3 -> a Pillow image, each pixel `upscale` squared."""
    array = image.cpu().permute(1, 2, 0).numpy()
    picture = Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array)
    size = (picture.width * upscale, picture.height * upscale)
    return picture.resize(size, Image.Resampling.NEAREST)


def save_png(image: Tensor, path: str | Path, upscale: int = 1) -> None:
    """Writes one (C, H, W) uint8 image as a PNG, atomically."""
    with replacing(Path(path)) as temporary:
        to_pil(image, upscale).save(temporary)


def save_grid(
    images: Tensor, path: str | Path, columns: int | None = None, upscale: int = 1
) -> None:
    """Writes (N, C, H, W) uint8 images as one PNG of tiles, atomically."""
    save_png(grid(images, columns), path, upscale)


def save_gif(frames: Sequence[Image.Image], path: str | Path, seconds_per_frame: float) -> None:
    """Writes Pillow images as an endless GIF, atomically."""
    first, *others = (frame.convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames)
    with replacing(Path(path)) as temporary:
        first.save(
            temporary,
            save_all=True,
            append_images=others,
            duration=round(seconds_per_frame * 1000),
            loop=0,
        )
