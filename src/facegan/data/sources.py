"""Fetch CelebA's files: resumable, verified by md5, and put in place only when whole.

    fetch(CELEBA_FILES, Path("data/celeba"))

Each file is tried at Google Drive, where its authors keep it, and then at the mirrors. Bytes
gather in `<name>.part`; whichever source comes next goes on from there, and the md5 decides.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from facegan.errors import FaceganError

if TYPE_CHECKING:
    import requests

PROJECT_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

TERMS = f"""\
CelebA (Liu et al. 2015) may be used for non-commercial research only. Neither the photographs
nor parts of them may be passed on, sold or published. By downloading it you agree to the terms
on its home page: {PROJECT_PAGE}
The mirrors that are tried when Google Drive fails are not run by CelebA's authors; what comes
from them is compared with the md5 of the original files."""

_TIMEOUTS = (10.0, 60.0)  # seconds: to connect, between two reads
_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before each new attempt after a dropped connection
_CHUNK = 1 << 16  # bytes; a drop loses less than this

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


@dataclass(frozen=True)
class RemoteFile:
    """A file, the md5 that it must have, and where it can be had."""

    name: str
    md5: str
    google_drive_id: str
    mirrors: tuple[str, ...]

    @property
    def browser_link(self) -> str:
        return f"https://drive.google.com/file/d/{self.google_drive_id}/view"


# The files of torchvision.datasets.CelebA: path in the authors' folder, md5, Google Drive id.
_CELEBA_TABLE = """\
Img/img_align_celeba.zip 00d2c5bc6d35e252742224ab0c1e8fcb 0B7EVK8r0v71pZjFTYXZWM3FlRnM
Anno/list_attr_celeba.txt 75e246fa4810816ffd6ee81facbd244c 0B7EVK8r0v71pblRyaVFSWGxPY0U
Anno/identity_CelebA.txt 32bd1bd63d3c78cd57e08160ec5ed1e2 1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS
Anno/list_bbox_celeba.txt 00566efa6fedff7a56946cd1c10f1c16 0B7EVK8r0v71pbThiMVRxWXZ4dU0
Anno/list_landmarks_align_celeba.txt cc24ecafdb5b50baae59b03474781f8c 0B7EVK8r0v71pd0FJY3Blby1HUTQ
Eval/list_eval_partition.txt d32c9cbf5e040fd4025c592c306e6668 0B7EVK8r0v71pY0NSMzRuSXJEVkk
"""

# The 2018 article's own source has the photographs only, byte for byte the same archive.
_UDACITY = "https://s3-us-west-1.amazonaws.com/udacity-dlnfd/datasets/celeba.zip"


def _celeba(path: str, md5: str, google_drive_id: str) -> RemoteFile:
    name = path.rpartition("/")[2]
    archive = f"https://archive.org/download/celeba/{path}"
    laval = f"https://graal.ift.ulaval.ca/public/celeba/{name}"
    more = (_UDACITY,) if name.endswith(".zip") else ()
    return RemoteFile(name, md5, google_drive_id, mirrors=(archive, laval, *more))


CELEBA_FILES = tuple(_celeba(*row.split()) for row in _CELEBA_TABLE.splitlines())


class _SourceError(Exception):
    """This source does not give the file; the next one is tried."""


class _Unreachable(_SourceError):  # noqa: N818
    """No answer at all: the host is not asked again, for other files neither."""


class _Dropped(_SourceError):  # noqa: N818
    """The connection broke in the middle: worth another attempt from where it broke."""


class _NotResumable(_SourceError):  # noqa: N818
    """The source cannot go on from the part that is there, a fresh start may do."""


@dataclass(frozen=True)
class _Source:
    label: str
    host: str
    download: Callable[[Path, Progress], None]  # goes on from the part, or starts it


def fetch(files: Sequence[RemoteFile], folder: Path) -> None:
    """Make every file lie in `folder` with its md5, downloading what is missing.

    Raises one FaceganError for all files that no source could give, and one for a file that
    is there with another md5 (it may be the user's own, so it is neither replaced nor removed).
    """
    missing = [file for file in files if not _in_place(file, folder)]
    if not missing:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FaceganError(
            f"the folder {folder.absolute()} cannot be made ({error.strerror}); "
            "name one that you may write to with data.root=PATH"
        ) from error
    print(TERMS, flush=True)
    unreachable: dict[str, str] = {}  # host -> why
    errors = {file: _fetch_one(file, folder, unreachable) for file in missing}
    failed = {file: lines for file, lines in errors.items() if lines}
    if failed:
        raise FaceganError(_failure(failed, folder, of=len(files)))


def md5_of(path: Path) -> str:
    """Hexadecimal md5 of a file, read in pieces."""
    # not for security: a FIPS build of OpenSSL refuses a plain md5
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def verify_file(path: Path, md5: str) -> None:
    """Raise a FaceganError unless `path` is a file with this md5."""
    if not path.is_file():
        raise FaceganError(
            f"{path.absolute()} is not there or is no file, expected one with md5 {md5}; "
            "run `python -m facegan.prepare data=celeba`, which downloads it"
        )
    mismatch = _mismatch(path, md5)
    if mismatch:
        raise FaceganError(
            f"{path.absolute()} {mismatch}; remove it and run the same command again, "
            "which downloads it anew, or accept it as it is with data.verify=false"
        )


def _in_place(file: RemoteFile, folder: Path) -> bool:
    path = folder / file.name
    if not path.exists():
        return False
    verify_file(path, file.md5)
    return True


def _mismatch(path: Path, md5: str) -> str:
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


def _failure(failed: dict[RemoteFile, list[str]], folder: Path, of: int) -> str:
    lines = [f"{len(failed)} of {of} files could not be downloaded:"]
    for file, errors in failed.items():
        lines += [
            "",
            file.name,
            *(f"  tried {line}" for line in errors),
            f"  belongs at  {(folder / file.name).absolute()}",
            f"  with md5    {file.md5}",
            f"  browser     {file.browser_link}",
        ]
    return "\n".join(
        [
            *lines,
            "",
            "Try again later (what has come so far is kept and resumed), or download each file in",
            f"a browser, from its link or from {PROJECT_PAGE},",
            "put it at its path and run the same command again.",
        ]
    )


def _sources(file: RemoteFile) -> list[_Source]:
    drive = partial(_from_google_drive, file.google_drive_id)
    return [
        _Source("Google Drive", "drive.google.com", drive),
        *(_Source(url, urlsplit(url).netloc, partial(_from_mirror, url)) for url in file.mirrors),
    ]


def _fetch_one(file: RemoteFile, folder: Path, unreachable: dict[str, str]) -> list[str]:
    """Nothing once the file lies in place, otherwise a line for each source that failed."""
    path, part = folder / file.name, folder / f"{file.name}.part"
    if part.exists() and md5_of(part) == file.md5:  # killed just before it was renamed
        os.replace(part, path)
        return []
    errors = []
    for source in _sources(file):
        if source.host in unreachable:
            errors.append(f"{source.label}: not asked again, {unreachable[source.host]}")
            continue
        print(f"{file.name} from {source.label}", flush=True)
        try:
            _download_verified(source, file.md5, part)
        except _SourceError as error:
            errors.append(f"{source.label}: {error}")
            if isinstance(error, _Unreachable):
                unreachable[source.host] = str(error)
        else:
            os.replace(part, path)
            return []
    return errors


def _download_verified(source: _Source, md5: str, part: Path) -> None:
    """Once from the part that another source or run left, and once afresh if that went wrong."""
    for _ in range(2 if part.exists() else 1):
        try:
            _download(source, part)
            mismatch = _mismatch(part, md5)
            if not mismatch:
                return
            failure = _SourceError(f"what came {mismatch}")
        except _NotResumable as error:
            failure = error
        part.unlink(missing_ok=True)
    raise failure


def _download(source: _Source, part: Path) -> None:
    """One source until the end of the file, through dropped connections."""
    answered, pauses = False, iter(_PAUSES)
    while True:
        before = _size(part)
        try:
            with _progress(part) as progress:
                return source.download(part, progress)
        except _Dropped as error:
            answered, failure = True, str(error)
        except _Unreachable as error:
            if not answered:  # one that has answered may only be away for a moment
                raise
            failure = str(error)
        if _size(part) > before:
            pauses = iter(_PAUSES)
        pause = next(pauses, None)
        if pause is None:
            raise _SourceError(f"the connection broke {len(_PAUSES) + 1} times ({failure})")
        time.sleep(pause)


@contextmanager
def _progress(part: Path) -> Iterator[Progress]:
    """A progress bar that also knows how much the disk has still to hold."""
    from tqdm import tqdm

    needed: int | None = None
    start = _size(part)
    with tqdm(desc=part.stem, initial=start, unit="B", unit_scale=True, disable=None) as bar:

        def update(done: int, total: int | None) -> None:
            nonlocal needed
            if needed is None and total is not None:
                bar.total, needed = total, total - done
                if shutil.disk_usage(part.parent).free < needed:
                    raise _cannot_write(part, "the disk is too full", needed)
            bar.update(done - bar.n)

        try:
            yield update
        except OSError as error:  # the network's errors have become _SourceErrors further in
            raise _cannot_write(part, error.strerror or str(error), needed) from error


def _cannot_write(part: Path, why: str, needed: int | None) -> FaceganError:
    free = shutil.disk_usage(part.parent).free
    size = "an unknown number of" if needed is None else f"{needed:,}"
    return FaceganError(
        f"cannot write {part.absolute()}: {why}; {size} bytes are needed there and {free:,} are "
        "free; make room and run the same command again, which resumes, or choose another disk "
        "with data.root=PATH"
    )


def _from_mirror(url: str, part: Path, progress: Progress) -> None:
    import requests

    offset = _size(part)
    headers = {"Accept-Encoding": "identity"}  # offsets count the file's own bytes
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with requests.Session() as session:
        try:
            response = session.get(url, headers=headers, stream=True, timeout=_TIMEOUTS)
        except requests.RequestException as error:
            raise _Unreachable(_reason(error)) from error
        with response:
            try:
                _receive(response, part, offset, progress)
            except requests.RequestException as error:
                raise _Dropped(_reason(error)) from error


def _receive(response: requests.Response, part: Path, offset: int, progress: Progress) -> None:
    status = response.status_code
    if status == 416 and offset:  # nothing comes after the part: complete or wrong, says its md5
        return
    if not response.ok:
        raise _SourceError(f"HTTP {status} {response.reason}")
    if status != 206:  # Range was ignored: the whole file comes
        offset = 0
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise _NotResumable("another range came than the one that was asked for")
    chunks = response.iter_content(_CHUNK)
    first = next(chunks, b"")
    # before anything is written: a page must not replace a part that is nearly complete
    html = response.headers.get("Content-Type", "").startswith("text/html")
    if html or (offset == 0 and _is_html(first)):
        raise _SourceError("a web page came instead of the file (of a quota or a log-in?)")
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


def _from_google_drive(file_id: str, part: Path, progress: Progress) -> None:
    import requests

    before = _size(part)
    try:
        with _gdown_output(part) as output:
            _gdown(file_id, output, progress)
    except _Dropped as error:
        if before and _size(part) == before:
            raise _NotResumable(str(error)) from error
        raise
    except requests.HTTPError as error:
        raise _SourceError(_reason(error)) from error
    except requests.RequestException as error:
        kind = _Dropped if _size(part) > before else _Unreachable
        raise kind(_reason(error)) from error
    except (_SourceError, FaceganError, OSError):
        raise
    except Exception as error:  # gdown reads pages that Google changes: anything can break in it
        raise _SourceError(_reason(error)) from error


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
            timeout=_TIMEOUTS,
            progress=progress,
        )
    except gdown.FileURLRetrievalError as error:  # the quota, or a file that is gone
        # the context is the page's own words, without gdown's paragraph around them
        raise _SourceError(_reason(error.__context__ or error)) from error
    except gdown.DownloadError as error:  # the body ended early, or cannot be resumed
        raise _Dropped(_reason(error)) from error
