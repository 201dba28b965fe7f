"""Download CelebA's files: resumable, and put in place only with the right md5.

    fetch(CELEBA_FILES, Path("data/celeba"))

gdown downloads each file to `<name>.part….part`, which the next source or the next run continues.
"""

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facegan.core.errors import FaceganError

TIMEOUTS = (10.0, 60.0)  # seconds: to connect, between two reads
PAUSE = 2.0  # seconds before a broken connection is resumed
PROJECT_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
UDACITY = "https://s3-us-west-1.amazonaws.com/udacity-dlnfd/datasets/celeba.zip"  # photographs only

TERMS = f"""\
CelebA (Liu et al. 2015) may be used for non-commercial research only. Neither the photographs
nor parts of them may be passed on, sold or published. By downloading it you agree to the terms
on its home page: {PROJECT_PAGE}
CelebA's authors keep it on Google Drive. They do not run the mirrors that are tried when it fails;
each file is compared with the md5 of the original."""

REMEDIES = f"""
Try again later (partial downloads are resumed), or download each file in a browser, from one of
its sources or from {PROJECT_PAGE},
and put it at its path. Without a download, data=generated trains on synthetic faces, and
data=folder data.root=PATH on your own photographs."""


@dataclass(frozen=True)
class RemoteFile:
    """A file, its md5, and the addresses of its sources: Google Drive first, then the mirrors."""

    name: str
    md5: str
    sources: tuple[str, ...]


# path in the authors' folder, md5, Google Drive id
_CELEBA_TABLE = """\
Img/img_align_celeba.zip 00d2c5bc6d35e252742224ab0c1e8fcb 0B7EVK8r0v71pZjFTYXZWM3FlRnM
Anno/list_attr_celeba.txt 75e246fa4810816ffd6ee81facbd244c 0B7EVK8r0v71pblRyaVFSWGxPY0U
Anno/identity_CelebA.txt 32bd1bd63d3c78cd57e08160ec5ed1e2 1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS
Eval/list_eval_partition.txt d32c9cbf5e040fd4025c592c306e6668 0B7EVK8r0v71pY0NSMzRuSXJEVkk
"""


def _celeba(path: str, md5: str, drive_id: str) -> RemoteFile:
    name = path.rpartition("/")[2]
    sources = (
        f"https://drive.google.com/file/d/{drive_id}/view",
        f"https://archive.org/download/celeba/{path}",
        f"https://graal.ift.ulaval.ca/public/celeba/{name}",
    )
    return RemoteFile(name, md5, (*sources, UDACITY) if name.endswith(".zip") else sources)


CELEBA_FILES = tuple(_celeba(*row.split()) for row in _CELEBA_TABLE.splitlines())


def fetch(files: Sequence[RemoteFile], folder: Path) -> None:
    """Downloads the files that are missing in `folder`.

    Raises one FaceganError for all files that no source gave, and one for a file with another md5.
    Such a file may be the user's own, so it is neither replaced nor removed.
    """
    missing = [file for file in files if not _is_verified(file, folder / file.name)]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    print(TERMS, flush=True)
    errors = {file: _fetch_one(file, folder) for file in missing}
    failed = {file: lines for file, lines in errors.items() if lines}
    if failed:
        raise FaceganError(_failure(failed, folder, of=len(files)))


def md5_of(path: Path) -> str:
    """Hexadecimal md5 of a file."""
    # a FIPS build of OpenSSL refuses an md5 that may be for security
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _is_verified(file: RemoteFile, path: Path) -> bool:
    """False if the file is missing. Raises FaceganError if it has another md5."""
    if not path.exists():
        return False
    found = md5_of(path)
    if found != file.md5:
        raise FaceganError(
            f"{path.absolute()} has the md5 {found}, CelebA's is {file.md5}: use your own files "
            "with data.verify=false, or remove a damaged download and run the same command again"
        )
    return True


def _fetch_one(file: RemoteFile, folder: Path) -> list[str]:
    """Downloads a file; returns a line for each source if all of them failed."""
    part = folder / f"{file.name}.part"
    errors = []
    for source in file.sources:
        print(f"{file.name} from {source}", flush=True)
        if not (error := _complete(part, source)):
            if md5_of(part) == file.md5:
                os.replace(part, folder / file.name)
                return []
            part.unlink()
            error = "the file has another md5"
        errors.append(f"{source}: {error}")
    return errors


def _complete(part: Path, source: str) -> str:
    """Downloads `part`; resumes a broken connection that brought new bytes. Returns an error."""
    import gdown

    while True:
        received = _received(part)
        try:
            quiet = not sys.stderr.isatty()
            gdown.download(source, str(part), quiet, resume=True, timeout=TIMEOUTS)
            return ""
        except Exception as error:  # Google changes its pages, and gdown breaks in many ways
            if _received(part) == received:
                return f"{type(error).__name__} {error.__context__ or error}"
            time.sleep(PAUSE)


def _received(part: Path) -> int:
    """The bytes of `part` and of gdown's own partial file, whose name begins with it."""
    return sum(path.stat().st_size for path in part.parent.glob(f"{part.name}*"))


def _failure(failed: dict[RemoteFile, list[str]], folder: Path, of: int) -> str:
    lines = [f"{len(failed)} of {of} files could not be downloaded:"]
    for file, errors in failed.items():
        lines += ["", f"{(folder / file.name).absolute()} (md5 {file.md5})"]
        lines += [f"  {line}" for line in errors]
    return "\n".join([*lines, REMEDIES])
