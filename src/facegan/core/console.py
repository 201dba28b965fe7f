"""The console: its encoding, its end, and lines instead of bars where there is no terminal."""

import errno
import io
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

BROKEN_PIPE = 141  # the exit code of a command that SIGPIPE ends
OUTPUT_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)
LINE_INTERVAL = 10.0  # seconds between two lines, where a bar cannot be drawn


class Terminal(io.FileIO):
    """The raw stream of a terminal; once that is closed, what is written is dropped."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            _drop(self.fileno())
            return super().write(data)


def never_fail_to_print() -> None:
    """Prints a character that the console's encoding lacks as an escape sequence.

    A command whose terminal is closed goes on, unless a SIGHUP tells it to end.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        raw = getattr(stream.buffer, "raw", stream.buffer)  # PYTHONUNBUFFERED leaves out a layer
        if stream.isatty() and type(raw) is io.FileIO:  # Windows has another one
            buffer = io.BufferedWriter(Terminal(stream.fileno(), "wb", closefd=False))
            stream = io.TextIOWrapper(buffer, stream.encoding, line_buffering=True)
            setattr(sys, name, stream)
        stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Writes what is buffered, so that an error of it is raised here and not at Python's exit."""
    if sys.stdout is not None:  # it is None where the shell has closed it
        sys.stdout.flush()


def print_error(text: str) -> None:
    """Prints on stderr, where that can still be written."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # nobody reads
        _drop(sys.stderr.fileno())


def print_in_signal_handler(text: str) -> None:
    """Writes to stderr without print, which the signal may have interrupted."""
    try:
        os.write(2, f"\n{text}\n".encode(errors="backslashreplace"))
    except OSError:  # nobody reads, and the prints of a last checkpoint must not fail
        for stream in (1, 2):
            _drop(stream)


def is_output_error(error: OSError) -> bool:
    """Whether `error` is one of stdout: its reader is gone, or its disk is full.

    If it is, what is printed later is dropped.
    """
    if error.filename is not None or error.errno not in OUTPUT_ERRORS:
        return False
    try:
        print(flush=True)
    except OSError as again:
        _drop(sys.stdout.fileno())
        return again.errno == error.errno
    return False


def _drop(stream: int) -> None:
    """Drops what is buffered and printed later, of which Python's exit would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


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
