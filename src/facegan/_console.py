"""The console: no encoding errors, and lines instead of bars where there is no terminal."""

import io
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

LINE_INTERVAL = 10.0  # seconds between two lines, where a bar cannot be drawn


def never_fail_to_print() -> None:
    """Prints a character that the console's encoding lacks as an escape sequence."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def progress_bar(iterable: Iterable[Any] | None = None, **arguments: Any) -> "tqdm[Any]":
    """tqdm's bar in a terminal, else a line every ten seconds; the arguments are tqdm's."""
    from tqdm import tqdm  # which --help does not need

    if sys.stderr.isatty():
        return tqdm(iterable, **arguments)
    return tqdm(
        iterable,
        **arguments,
        file=_Lines(),
        delay=LINE_INTERVAL,
        mininterval=LINE_INTERVAL,
        miniters=1,
        leave=False,
        ascii=True,
        ncols=0,  # the numbers without the bar
    )


class _Lines(io.TextIOBase):
    """Turns the redrawing of a bar into lines on stderr."""

    def write(self, text: str) -> int:
        line = text.strip()
        if line:
            print(line, file=sys.stderr, flush=True)
        return len(text)
