"""A growing strip of faces in a terminal: half-block characters, or the terminal's own graphics."""

import base64
import io
import shutil
from collections.abc import Callable, Mapping
from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Renderer = Callable[[Image.Image, int, int], str]  # image, columns, rows of cells -> what to print

LINE_UP, COLUMN, SAVE, RESTORE = "\x1b[{}A", "\x1b[{}G", "\x1b7", "\x1b8"
CELL_PIXELS = 10  # of a cell's width, for terminals that place by pixels


class Strip:
    """Faces side by side, row below row, as large as their pixels and the window allow."""

    def __init__(self, out: TextIO, image_size: int, renderer: Renderer) -> None:
        window = shutil.get_terminal_size()
        self.out = out
        # a pixel a column where the window is large enough; a cell is twice as high as it is wide
        self.columns = min(image_size, window.columns - 1, 2 * (window.lines - 2))
        self.rows = self.columns // 2
        self.renderer = renderer
        self.shown = 0

    def show(self, image: Image.Image) -> None:
        """Adds one face at the strip's end."""
        per_row = max(shutil.get_terminal_size().columns // (self.columns + 1), 1)
        place = self.shown % per_row
        if place == 0:
            self.out.write("\n" * (self.rows + 1))
        move = LINE_UP.format(self.rows) + COLUMN.format(place * (self.columns + 1) + 1)
        drawn = self.renderer(image, self.columns, self.rows)
        self.out.write(f"{SAVE}{move}{drawn}{RESTORE}")
        self.out.flush()
        self.shown += 1


def half_blocks(image: Image.Image, columns: int, rows: int) -> str:
    """Two pixels a cell, in 24-bit colour: the upper as foreground of ▀, the lower behind it."""
    scaled = image.convert("RGB").resize((columns, 2 * rows), Image.Resampling.LANCZOS)
    pixels = np.asarray(scaled)
    lines = []
    for row in range(rows):
        cells = [
            "\x1b[38;2;{};{};{}m".format(*pixels[2 * row, column])
            + "\x1b[48;2;{};{};{}m▀".format(*pixels[2 * row + 1, column])
            for column in range(columns)
        ]
        lines.append("".join(cells) + "\x1b[0m")
    back = f"\x1b[1B\x1b[{columns}D"  # a line down, to the face's left edge
    return back.join(lines)


def kitty(image: Image.Image, columns: int, rows: int) -> str:
    """Kitty's graphics protocol: a PNG in chunks of 4,096 characters, scaled to the cells."""
    data = base64.standard_b64encode(_png(image)).decode()
    chunks = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    parts = []
    for i, chunk in enumerate(chunks):
        first = f"a=T,f=100,C=1,q=2,c={columns},r={rows}," if i == 0 else ""
        parts.append(f"\x1b_G{first}m={int(i + 1 < len(chunks))};{chunk}\x1b\\")
    return "".join(parts)


def iterm(image: Image.Image, columns: int, rows: int) -> str:
    """iTerm2's inline images, which WezTerm shows too."""
    data = _png(image)
    arguments = f"inline=1;size={len(data)};width={columns};height={rows}"
    return f"\x1b]1337;File={arguments}:{base64.standard_b64encode(data).decode()}\x07"


def sixel(image: Image.Image, columns: int, rows: int) -> str:
    """DEC's sixels: bands of six pixels, colour by colour, from a palette of 255."""
    pixels = (columns * CELL_PIXELS, rows * CELL_PIXELS * 2)
    picture = image.convert("RGB").resize(pixels, Image.Resampling.NEAREST).quantize(255)
    palette, indices = picture.getpalette() or [], np.asarray(picture)
    colours = [
        f"#{i};2;" + ";".join(str(round(v * 100 / 255)) for v in palette[3 * i : 3 * i + 3])
        for i in np.unique(indices).tolist()
    ]
    bands = [_sixel_band(band) for band in np.split(indices, range(6, len(indices), 6))]
    size = f'"1;1;{picture.width};{picture.height}'
    return "\x1bPq" + size + "".join(colours) + "-".join(bands) + "\x1b\\"


def renderer_for(environment: Mapping[str, str]) -> Renderer:
    """The best that a terminal says it can do."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment:  # it swallows graphics that are not its own
        return half_blocks
    if "KITTY_WINDOW_ID" in environment or term in ("xterm-kitty", "xterm-ghostty"):
        return kitty
    if program in ("iTerm.app", "WezTerm"):
        return iterm
    if term.startswith(("foot", "mlterm", "contour")):
        return sixel
    return half_blocks


def _sixel_band(rows: NDArray[np.uint8]) -> str:
    """Up to six rows of palette indices, (6, W): a line of characters for every colour in them."""
    weights = 1 << np.arange(len(rows))[:, None]  # the top row is the lowest bit
    lines = []
    for colour in np.unique(rows):
        bits = ((rows == colour) * weights).sum(axis=0) + 63
        lines.append(f"#{colour}" + bits.astype(np.uint8).tobytes().decode())
    return "$".join(lines)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
