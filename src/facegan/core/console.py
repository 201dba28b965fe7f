"""The console: its output, progress bars, and the signals that end a command."""

import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

LINE_INTERVAL = 10.0  # seconds between two lines of progress outside of a terminal
ENDING_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class _Output(io.FileIO):
    """Raw stdout or stderr; output is dropped once its terminal or its reader is gone."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if error.errno not in (errno.EIO, errno.EPIPE):
                raise
            return len(data)


def keep_printing() -> None:
    """Makes printing safe: a command does not end because its output is not read.

    A character that the console's encoding lacks is printed as an escape sequence.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        raw = getattr(stream.buffer, "raw", stream.buffer)  # PYTHONUNBUFFERED leaves out a layer
        if type(raw) is io.FileIO:  # a terminal of Windows is of another class
            buffer = io.BufferedWriter(_Output(stream.fileno(), "wb", closefd=False))
            lines = stream.line_buffering or stream.write_through
            stream = io.TextIOWrapper(buffer, stream.encoding, line_buffering=lines)
            setattr(sys, name, stream)
        stream.reconfigure(errors="backslashreplace")


def print_error(text: str) -> None:
    """Prints on stderr."""
    print(text, file=sys.stderr, flush=True)


def print_in_signal_handler(text: str) -> None:
    """Writes to stderr without print, which the signal may have interrupted."""
    with suppress(OSError):  # the terminal may be closed
        os.write(2, f"\n{text}\n".encode(errors="backslashreplace"))


def heeded_signals() -> list[signal.Signals]:
    """The ENDING_SIGNALS that the process does not ignore from its start, as SIGHUP by nohup."""
    known = [getattr(signal, name) for name in ENDING_SIGNALS if hasattr(signal, name)]
    return [signum for signum in known if signal.getsignal(signum) is not signal.SIG_IGN]


@contextmanager
def signals_handled_by(handler: Callable[[int, Any], Any]) -> Iterator[None]:
    """Within the block, `handler` gets the signals of `heeded_signals`."""
    before = {signum: signal.signal(signum, handler) for signum in heeded_signals()}
    try:
        yield
    finally:
        for signum, earlier in before.items():
            signal.signal(signum, earlier)


def leaving_a_core() -> dict[str, str]:
    """The environment of a process whose threads leave a core to other programs.

    Threads that wait for one another become many times slower where others use their core.
    """
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) - 1)), **os.environ}


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
        leave=True,  # the last line, of what took longer than that
        ascii=True,
        ncols=0,  # the numbers without the bar
    )


class _Lines(io.TextIOBase):
    """Turns the redrawing of a bar into lines on stderr."""

    def write(self, text: str) -> int:
        if line := text.strip():
            print_error(line)
        return len(text)
