"""Fetch CelebA's files: resumable, verified by md5, and put in place only when whole.

    fetch(CELEBA_FILES, Path("data/celeba"))

Each file is tried at Google Drive, where its authors keep it, and then at the mirrors. Bytes
gather in `<name>.part`; whichever source comes next goes on from there, and the md5 decides.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from facegan.data.download import (
    Source,
    SourceError,
    Unreachable,
    download_verified,
    from_google_drive,
    from_mirror,
    md5_of,
    mismatch,
)
from facegan.errors import FaceganError

PROJECT_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

TERMS = f"""\
CelebA (Liu et al. 2015) may be used for non-commercial research only. Neither the photographs
nor parts of them may be passed on, sold or published. By downloading it you agree to the terms
on its home page: {PROJECT_PAGE}
The mirrors that are tried when Google Drive fails are not run by CelebA's authors; what comes
from them is compared with the md5 of the original files."""


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


def verify_file(path: Path, md5: str) -> None:
    """Raise a FaceganError unless `path` is a file with this md5."""
    if not path.is_file():
        raise FaceganError(
            f"{path.absolute()} is not there or is no file, expected one with md5 {md5}; "
            "run `python -m facegan.prepare data=celeba`, which downloads it"
        )
    wrong = mismatch(path, md5)
    if wrong:
        raise FaceganError(
            f"{path.absolute()} {wrong}; remove it and run the same command again, "
            "which downloads it anew, or accept it as it is with data.verify=false"
        )


def _in_place(file: RemoteFile, folder: Path) -> bool:
    path = folder / file.name
    if not path.exists():
        return False
    verify_file(path, file.md5)
    return True


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


def _sources(file: RemoteFile) -> list[Source]:
    drive = partial(from_google_drive, file.google_drive_id)
    return [
        Source("Google Drive", "drive.google.com", drive),
        *(Source(url, urlsplit(url).netloc, partial(from_mirror, url)) for url in file.mirrors),
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
            download_verified(source, file.md5, part)
        except SourceError as error:
            errors.append(f"{source.label}: {error}")
            if isinstance(error, Unreachable):
                unreachable[source.host] = str(error)
        else:
            os.replace(part, path)
            return []
    return errors
