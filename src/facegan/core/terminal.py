"""A growing strip of faces in a terminal, drawn with half-block characters."""

import shutil
from typing import TextIO

import numpy as np
from PIL import Image

LINE_UP, COLUMN, SAVE, RESTORE = "\x1b[{}A", "\x1b[{}G", "\x1b7", "\x1b8"


class Strip:
    """Faces side by side in rows, as large as their pixels and the window allow."""

    def __init__(self, out: TextIO, image_size: int) -> None:
        window = shutil.get_terminal_size()
        self.out = out
        # a pixel per column if the window is large enough; a cell is twice as high as wide
        self.columns = min(image_size, window.columns - 1, 2 * (window.lines - 2))
        self.rows = self.columns // 2
        self.shown = 0

    def show(self, image: Image.Image) -> None:
        """Adds one face at the strip's end."""
        per_row = max(shutil.get_terminal_size().columns // (self.columns + 1), 1)
        place = self.shown % per_row
        if place == 0:
            self.out.write("\n" * (self.rows + 1))
        move = LINE_UP.format(self.rows) + COLUMN.format(place * (self.columns + 1) + 1)
        drawn = half_blocks(image, self.columns, self.rows)
        self.out.write(f"{SAVE}{move}{drawn}{RESTORE}")
        self.out.flush()
        self.shown += 1


def half_blocks(image: Image.Image, columns: int, rows: int) -> str:
    """Two pixels per cell in 24-bit colour: ▀ in the upper colour, on the lower as background."""
    scaled = image.convert("RGB").resize((columns, 2 * rows), Image.Resampling.LANCZOS)
    pairs = np.asarray(scaled).reshape(rows, 2, columns, 3).swapaxes(1, 2)
    cell = "\x1b[38;2;{};{};{}m\x1b[48;2;{};{};{}m▀"
    back = f"\x1b[0m\x1b[1B\x1b[{columns}D"  # a line down, to the face's left edge
    return back.join("".join(cell.format(*c.flat) for c in row) for row in pairs) + "\x1b[0m"
