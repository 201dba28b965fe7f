"""The transport: one file from one source, through dropped connections, until its md5 is right.

Bytes gather in a part file that any source can go on from. What the caller must tell apart is
raised as a `SourceError`, what only the user can mend (a full disk) as a `FaceganError`.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from facegan._console import progress_bar
from facegan.errors import FaceganError

if TYPE_CHECKING:
    import requests

TIMEOUTS = (10.0, 60.0)  # seconds: to connect, between two reads
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before each new attempt after a dropped connection
CHUNK = 1 << 16  # bytes; a drop loses less than this

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


class SourceError(Exception):
    """This source does not give the file; the next one is tried."""


class Unreachable(SourceError):  # noqa: N818
    """No answer at all: the host is not asked again, for other files neither."""


class Dropped(SourceError):  # noqa: N818
    """The connection broke in the middle: worth another attempt from where it broke."""


class NotResumable(SourceError):  # noqa: N818
    """The source cannot go on from the part that is there, a fresh start may do."""


@dataclass(frozen=True)
class Source:
    """A place that has the file, and the way to get it from there."""

    label: str
    host: str
    download: Callable[[Path, Progress], None]  # goes on from the part, or starts it


def md5_of(path: Path) -> str:
    """Hexadecimal md5 of a file, read in pieces."""
    # not for security: a FIPS build of OpenSSL refuses a plain md5
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def mismatch(path: Path, md5: str) -> str:
    """What is wrong with the file's content, or an empty string."""
    found = md5_of(path)
    if found == md5:
        return ""
    with path.open("rb") as file:
        page = " and is a web page (of a quota or a log-in?)" if _is_html(file.read(64)) else ""
    return f"has md5 {found}, expected {md5}{page}"


def _is_html(head: bytes) -> bool:
    return head.lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: BaseException) -> str:
    """The root cause in one line: what requests and urllib3 wrap around it fills a screen."""
    for deeper in (error.__cause__, *error.args):
        if isinstance(deeper, BaseException):
            return _reason(deeper)
    return " ".join(str(error).split()) or type(error).__name__


def download_verified(source: Source, md5: str, part: Path) -> None:
    """Once from the part that another source or run left, and once afresh if that went wrong."""
    for _ in range(2 if part.exists() else 1):
        try:
            _download(source, part)
            wrong = mismatch(part, md5)
            if not wrong:
                return
            failure = SourceError(f"what came {wrong}")
        except NotResumable as error:
            failure = error
        part.unlink(missing_ok=True)
    raise failure


def _download(source: Source, part: Path) -> None:
    """One source until the end of the file, through dropped connections."""
    answered, pauses = False, iter(PAUSES)
    while True:
        before = _size(part)
        try:
            with _progress(part) as progress:
                return source.download(part, progress)
        except Dropped as error:
            answered, failure = True, str(error)
        except Unreachable as error:
            if not answered:  # one that has answered may only be away for a moment
                raise
            failure = str(error)
        if _size(part) > before:
            pauses = iter(PAUSES)
        pause = next(pauses, None)
        if pause is None:
            raise SourceError(f"the connection broke {len(PAUSES) + 1} times ({failure})")
        time.sleep(pause)


@contextmanager
def _progress(part: Path) -> Iterator[Progress]:
    """A progress bar that also knows how much the disk has still to hold."""

    needed: int | None = None
    start = _size(part)
    with progress_bar(desc=part.stem, initial=start, unit="B", unit_scale=True) as bar:

        def update(done: int, total: int | None) -> None:
            nonlocal needed
            if needed is None and total is not None:
                bar.total, needed = total, total - done
                if shutil.disk_usage(part.parent).free < needed:
                    raise _cannot_write(part, "the disk is too full", needed)
            bar.update(done - bar.n)

        try:
            yield update
        except OSError as error:  # the network's errors have become SourceErrors further in
            raise _cannot_write(part, error.strerror or str(error), needed) from error


def _cannot_write(part: Path, why: str, needed: int | None) -> FaceganError:
    free = shutil.disk_usage(part.parent).free
    size = "an unknown number of" if needed is None else f"{needed:,}"
    return FaceganError(
        f"cannot write {part.absolute()}: {why}; {size} bytes are needed there and {free:,} are "
        "free; make room and run the same command again, which resumes, or choose another disk "
        "with data.root=PATH"
    )


def from_mirror(url: str, part: Path, progress: Progress) -> None:
    import requests

    offset = _size(part)
    headers = {"Accept-Encoding": "identity"}  # offsets count the file's own bytes
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with requests.Session() as session:
        try:
            response = session.get(url, headers=headers, stream=True, timeout=TIMEOUTS)
        except requests.RequestException as error:
            raise Unreachable(_reason(error)) from error
        with response:
            try:
                _receive(response, part, offset, progress)
            except requests.RequestException as error:
                raise Dropped(_reason(error)) from error


def _receive(response: requests.Response, part: Path, offset: int, progress: Progress) -> None:
    status = response.status_code
    if status == 416 and offset:  # nothing comes after the part: complete or wrong, says its md5
        return
    if not response.ok:
        raise SourceError(f"HTTP {status} {response.reason}")
    if status != 206:  # Range was ignored: the whole file comes
        offset = 0
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise NotResumable("another range came than the one that was asked for")
    chunks = response.iter_content(CHUNK)
    first = next(chunks, b"")
    # before anything is written: a page must not replace a part that is nearly complete
    html = response.headers.get("Content-Type", "").startswith("text/html")
    if html or (offset == 0 and _is_html(first)):
        raise SourceError("a web page came instead of the file (of a quota or a log-in?)")
    total = _total(response, offset)
    with part.open("ab" if offset else "wb") as file:
        progress(offset, total)
        for chunk in chain([first], chunks):
            file.write(chunk)
            offset += len(chunk)
            progress(offset, total)


def _total(response: requests.Response, offset: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    if "Content-Encoding" in response.headers or not length.isdigit():
        return None
    return offset + int(length)


def from_google_drive(file_id: str, part: Path, progress: Progress) -> None:
    import requests

    before = _size(part)
    try:
        with _gdown_output(part) as output:
            _gdown(file_id, output, progress)
    except Dropped as error:
        if before and _size(part) == before:
            raise NotResumable(str(error)) from error
        raise
    except requests.HTTPError as error:
        raise SourceError(_reason(error)) from error
    except requests.RequestException as error:
        kind = Dropped if _size(part) > before else Unreachable
        raise kind(_reason(error)) from error
    except (SourceError, FaceganError, OSError):
        raise
    except Exception as error:  # gdown reads pages that Google changes: anything can break in it
        raise SourceError(_reason(error)) from error


@contextmanager
def _gdown_output(part: Path) -> Iterator[Path]:
    """A path in a folder where gdown finds our part as its own, and we find what it leaves.

    gdown gathers bytes in files named by itself, and leaves them when it fails.
    """
    folder = part.with_suffix(".gdown")
    folder.mkdir(exist_ok=True)
    output = folder / part.stem
    left = [*folder.iterdir(), *([part] if part.exists() else [])]  # a killed run leaves some too
    if left:
        best = max(left, key=_size).replace(part)
        for file in folder.iterdir():
            file.unlink()
        # gdown resumes a single file of this form: its output's name, 8 characters, .part
        best.replace(folder / f"{output.name}-resumed.part")
    try:
        yield output
    finally:
        received = max(folder.iterdir(), key=_size, default=None)
        if received:
            received.replace(part)
        shutil.rmtree(folder)


def _gdown(file_id: str, output: Path, progress: Progress) -> None:
    """All that is asked of gdown (6.3 and later: `timeout`, checked resume, honest callbacks)."""
    import gdown

    try:
        gdown.download(
            id=file_id,
            output=str(output),
            quiet=True,
            resume=True,
            timeout=TIMEOUTS,
            progress=progress,
        )
    except gdown.FileURLRetrievalError as error:  # the quota, or a file that is gone
        # the context is the page's own words, without gdown's paragraph around them
        raise SourceError(_reason(error.__context__ or error)) from error
    except gdown.DownloadError as error:  # the body ended early, or cannot be resumed
        raise Dropped(_reason(error)) from error
