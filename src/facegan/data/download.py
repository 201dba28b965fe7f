"""Download CelebA's files: resumable, verified by md5, put in place only when complete.

    fetch(CELEBA_FILES, Path("data/celeba"))

Each file is tried at Google Drive, where its authors keep it, and then at the mirrors. Bytes are
collected in `<name>.part`, from which the next attempt or mirror continues.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from facegan.core.errors import FaceganError
from facegan.core.files import named_errors

if TYPE_CHECKING:
    import requests

TIMEOUTS = (10.0, 60.0)  # seconds: to connect, between two reads
ATTEMPTS = 5  # without a new byte, after a connection that broke
PAUSE = 2.0  # seconds before another attempt
CHUNK = 1 << 16  # bytes; a broken connection loses less than this
PROJECT_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

TERMS = f"""\
CelebA (Liu et al. 2015) may be used for non-commercial research only. Neither the photographs
nor parts of them may be passed on, sold or published. By downloading it you agree to the terms
on its home page: {PROJECT_PAGE}
The mirrors that are tried when Google Drive fails are not run by CelebA's authors; what comes
from them is compared with the md5 of the original files."""

REMEDIES = f"""
Try again later (partial downloads are kept and resumed), or download each file in a browser, from
its link or from {PROJECT_PAGE},
put it at its path and run the same command again. Without a download, data=generated trains on
synthetic faces, and data=folder data.root=PATH on your own photographs."""


class DownloadError(Exception):
    """One source does not give the file; the next one is tried."""


class Unreachable(DownloadError):  # noqa: N818
    """No answer at all: the host is not asked again for other files."""


@dataclass(frozen=True)
class RemoteFile:
    """A file, its md5, and where it can be downloaded."""

    name: str
    md5: str
    google_drive_id: str
    mirrors: tuple[str, ...]

    @property
    def browser_link(self) -> str:
        return f"https://drive.google.com/file/d/{self.google_drive_id}/view"


@dataclass(frozen=True)
class Source:
    """One place to download a file from."""

    label: str
    host: str
    download: Callable[[str, Path], None]  # (md5, part): leaves the verified file in `part`


# path in the authors' folder, md5, Google Drive id
_CELEBA_TABLE = """\
Img/img_align_celeba.zip 00d2c5bc6d35e252742224ab0c1e8fcb 0B7EVK8r0v71pZjFTYXZWM3FlRnM
Anno/list_attr_celeba.txt 75e246fa4810816ffd6ee81facbd244c 0B7EVK8r0v71pblRyaVFSWGxPY0U
Anno/identity_CelebA.txt 32bd1bd63d3c78cd57e08160ec5ed1e2 1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS
Eval/list_eval_partition.txt d32c9cbf5e040fd4025c592c306e6668 0B7EVK8r0v71pY0NSMzRuSXJEVkk
"""

# the source of the 2018 article: the photographs only, the same archive byte for byte
_UDACITY = "https://s3-us-west-1.amazonaws.com/udacity-dlnfd/datasets/celeba.zip"


def _celeba(path: str, md5: str, google_drive_id: str) -> RemoteFile:
    name = path.rpartition("/")[2]
    archive = f"https://archive.org/download/celeba/{path}"
    laval = f"https://graal.ift.ulaval.ca/public/celeba/{name}"
    more = (_UDACITY,) if name.endswith(".zip") else ()
    return RemoteFile(name, md5, google_drive_id, mirrors=(archive, laval, *more))


CELEBA_FILES = tuple(_celeba(*row.split()) for row in _CELEBA_TABLE.splitlines())


def fetch(files: Sequence[RemoteFile], folder: Path) -> None:
    """Makes every file lie in `folder` with its md5, downloading what is missing.

    Raises one FaceganError for all files that no source could give, and one for a file that has
    another md5. Such a file may be the user's own, so it is neither replaced nor removed.
    """
    missing = [file for file in files if not _is_verified(file, folder / file.name)]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    print(TERMS, flush=True)
    unreachable: set[str] = set()  # hosts
    errors = {file: _fetch_one(file, folder, unreachable) for file in missing}
    failed = {file: lines for file, lines in errors.items() if lines}
    if failed:
        raise FaceganError(_failure(failed, folder, of=len(files)))


def md5_of(path: Path) -> str:
    """Hexadecimal md5 of a file, read in pieces."""
    # not for security: a FIPS build of OpenSSL refuses a plain md5
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _is_verified(file: RemoteFile, path: Path) -> bool:
    """False if the file is not there. Raises FaceganError if it has another md5."""
    if not path.exists():
        return False
    found = md5_of(path)
    if found != file.md5:
        raise FaceganError(
            f"{path.absolute()} has the md5 {found}, CelebA's is {file.md5}: use your own archive "
            "as it is with data.verify=false, or remove a damaged download and run the same "
            "command again"
        )
    return True


def _fetch_one(file: RemoteFile, folder: Path, unreachable: set[str]) -> list[str]:
    """An empty list once the file is in place, otherwise a line for each source that failed."""
    part = folder / f"{file.name}.part"
    errors = []
    for source in _sources(file):
        if source.host in unreachable:
            errors.append(f"{source.label}: not asked again, since it did not answer")
            continue
        print(f"{file.name} from {source.label}", flush=True)
        try:
            # a complete part is left if the process was killed just before the renaming
            if not (part.exists() and md5_of(part) == file.md5):
                source.download(file.md5, part)
        except DownloadError as error:
            errors.append(f"{source.label}: {error}")
            if isinstance(error, Unreachable):
                unreachable.add(source.host)
        else:
            os.replace(part, folder / file.name)
            shutil.rmtree(_drive_folder(part), ignore_errors=True)
            return []
    return errors


def _sources(file: RemoteFile) -> list[Source]:
    drive = partial(_from_google_drive, file.google_drive_id)
    return [
        Source("Google Drive", "drive.google.com", drive),
        *(Source(url, urlsplit(url).netloc, partial(_from_mirror, url)) for url in file.mirrors),
    ]


def _failure(failed: dict[RemoteFile, list[str]], folder: Path, of: int) -> str:
    lines = [f"{len(failed)} of {of} files could not be downloaded:"]
    for file, errors in failed.items():
        lines += [
            "",
            file.name,
            *(f"  tried {line}" for line in errors),
            f"  path     {(folder / file.name).absolute()}",
            f"  md5      {file.md5}",
            f"  browser  {file.browser_link}",
        ]
    return "\n".join([*lines, REMEDIES])


def _from_mirror(url: str, md5: str, part: Path) -> None:
    """Downloads `url` to `part`, through broken connections; continues what is there."""
    import requests

    failures, start = 0, _size(part)
    while failures < ATTEMPTS:
        before = _size(part)
        try:
            _receive(url, part)
        except requests.RequestException as error:
            if failures == 0 and _size(part) == start:
                raise Unreachable(_reason(error)) from error
            failures = 0 if _size(part) > before else failures + 1
            time.sleep(PAUSE)
            continue
        if md5_of(part) == md5:
            return
        part.unlink()
        if not before:
            raise DownloadError("what came has another md5")
    raise DownloadError(f"the connection broke {ATTEMPTS} times")


def _receive(url: str, part: Path) -> None:
    """One request for what follows the part. Raises DownloadError for an answer without it."""
    import requests

    offset = _size(part)
    headers = {"Accept-Encoding": "identity"}  # offsets count the file's own bytes
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
        if response.status_code == 416 and offset:  # nothing follows: complete, or another file
            return
        if not response.ok:
            raise DownloadError(f"HTTP {response.status_code} {response.reason}")
        resumed = response.status_code == 206  # else Range was ignored: the whole file comes
        chunks = response.iter_content(CHUNK)
        first = next(chunks, b"")
        # before anything is written: a page must not replace a part that is nearly complete
        if _is_html(response, b"" if resumed else first):
            raise DownloadError("a web page came instead of the file (of a quota or a log-in?)")
        with named_errors(part), part.open("ab" if resumed else "wb") as file:
            for chunk in _with_bar(chain([first], chunks), part, response):
                file.write(chunk)


def _is_html(response: requests.Response, head: bytes) -> bool:
    is_page = head.lstrip().lower().startswith((b"<!doctype html", b"<html"))
    return is_page or response.headers.get("Content-Type", "").startswith("text/html")


def _with_bar(chunks: Iterator[bytes], part: Path, response: requests.Response) -> Iterator[bytes]:
    """The chunks, with a progress bar over their bytes."""
    from tqdm import tqdm

    total = int(response.headers.get("Content-Length", 0)) or None
    with tqdm(desc=part.stem, total=total, unit="B", unit_scale=True, disable=None) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk))


def _from_google_drive(file_id: str, md5: str, part: Path) -> None:
    """Downloads a file by gdown, which resumes from its own partial file, to `part`."""
    import gdown
    import requests

    folder = _drive_folder(part)
    folder.mkdir(exist_ok=True)
    output = folder / part.stem
    quiet = not sys.stderr.isatty()
    try:
        gdown.download(id=file_id, output=str(output), quiet=quiet, resume=True, timeout=TIMEOUTS)
    except requests.ConnectionError as error:
        raise Unreachable(_reason(error)) from error
    except (gdown.DownloadError, requests.RequestException) as error:
        # the context is the page's own words, without gdown's paragraph around them
        raise DownloadError(_reason(error.__context__ or error)) from error
    except OSError:  # of the disk
        raise
    except Exception as error:  # gdown reads pages that Google changes: anything can break in it
        raise DownloadError(_reason(error)) from error
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
    if md5_of(output) != md5:
        shutil.rmtree(folder)
        raise DownloadError("what came has another md5")
    os.replace(output, part)
    shutil.rmtree(folder)


def _drive_folder(part: Path) -> Path:
    """Where gdown writes, and keeps what it resumes from."""
    return part.with_suffix(".gdown")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: BaseException) -> str:
    """The root cause in one line, without what requests and urllib3 wrap around it."""
    for deeper in (error.__cause__, *error.args):
        if isinstance(deeper, BaseException):
            return _reason(deeper)
    return " ".join(str(error).split()) or type(error).__name__
