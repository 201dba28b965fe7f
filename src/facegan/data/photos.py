"""Where photographs lie: in a folder or, just as they are, in a zip."""

import functools
import hashlib
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from PIL import Image

from facegan.core.errors import FaceganError, NotFoundError
from facegan.data.decode import register_heif

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
# known to Pillow, but no photographs, or only decoded by another program
EXCLUDED_FORMATS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
MAX_FILE_BYTES = 256 << 20  # of one photograph, unpacked


class Unused(NamedTuple):
    """A file that is no photograph of the data set, and why."""

    name: str
    reason: str


class PhotoStore(ABC):
    """Named photographs. Small enough to send to a worker process, which opens it for itself."""

    @abstractmethod
    def names(self) -> list[str]:
        """The photographs' names, sorted."""

    @abstractmethod
    def unused(self) -> list[Unused]:
        """The other files, sorted by name."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The undecoded bytes of one photograph. Raises ValueError for more than MAX_FILE_BYTES."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when photographs are added, taken away or replaced by others."""


class PhotoFolder(PhotoStore):
    """Every photograph below a folder, which is searched once. Links are followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __reduce__(self) -> tuple[type["PhotoFolder"], tuple[Path]]:
        return PhotoFolder, (self.root,)

    def names(self) -> list[str]:
        return self._found[0]

    def unused(self) -> list[Unused]:
        return self._found[1]

    @functools.cached_property
    def _found(self) -> tuple[list[str], list[Unused]]:
        files, skipped = list_files(self.root)
        names, unused = select(files)
        return names, sorted(unused + skipped)

    def read(self, name: str) -> bytes:
        with (self.root / name).open("rb") as file:
            return _read_bounded(file)

    def fingerprint(self) -> str:
        return digest(f"{name} {(self.root / name).stat().st_size}" for name in self.names())


class PhotoZip(PhotoStore):
    """Every photograph in a zip, read without unpacking it to the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise FaceganError(
                f"{path} is no complete zip ({error}): its end is missing or it is another format; "
                "remove it and fetch it again"
            ) from error

    def __reduce__(self) -> tuple[type["PhotoZip"], tuple[Path]]:
        return PhotoZip, (self.path,)

    def names(self) -> list[str]:
        return self._found[0]

    def unused(self) -> list[Unused]:
        return self._found[1]

    @functools.cached_property
    def _found(self) -> tuple[list[str], list[Unused]]:
        return select({info.filename for info in self._zip.infolist() if not info.is_dir()})

    def read(self, name: str) -> bytes:
        size = self._zip.getinfo(name).file_size
        if size > MAX_FILE_BYTES:
            raise ValueError(_too_large(size))
        with self._zip.open(name) as file:
            return _read_bounded(file)

    def fingerprint(self) -> str:
        return digest(f"{info.filename} {info.CRC}" for info in self._zip.infolist())


def open_photos(root: Path, key: str = "data.root") -> PhotoStore:
    """The photographs at `root`, a folder or a zip, which the user gave as `key`.

    Raises FaceganError where there are none.
    """
    root = root.expanduser()
    if not root.exists():
        raise NotFoundError(f"{key}={root} does not exist; give a folder of photographs or a zip")
    store = PhotoFolder(root) if root.is_dir() else PhotoZip(root)
    if not store.names():
        others = summarize(store.unused())
        raise NotFoundError(
            f"{key}={root} holds no image; looked for .jpg, .jpeg, .png and "
            f"{len(suffixes()) - 3} other suffixes at every depth"
            + (f"; there is: {others}" if others else "")
        )
    return store


def summarize(unused: Iterable[Unused]) -> str:
    """Counts by reason: "3 no image format (.txt), 1 hidden"."""
    counts: dict[str, int] = {}
    for _, reason in unused:
        counts[reason] = counts.get(reason, 0) + 1
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


def select(names: Iterable[str]) -> tuple[list[str], list[Unused]]:
    """The photographs among files, by their suffixes, and the others; both sorted."""
    photos, unused = [], []
    for name in sorted(names):
        reason = _reason_not_to_use(PurePosixPath(name))
        if reason:
            unused.append(Unused(name, reason))
        else:
            photos.append(name)
    return photos, unused


def list_files(root: Path) -> tuple[set[str], list[Unused]]:
    """The files below `root`, relative to it, each once, and what cannot be followed.

    A link to a folder that contains the link, or to one that was visited already, is not followed.
    """
    skipped: list[Unused] = []
    folders, files, found = {os.path.realpath(root)}, set(), set()

    def skip(path: str | Path, reason: str) -> None:
        skipped.append(Unused(Path(path).relative_to(root).as_posix(), reason))

    def failed(error: OSError) -> None:
        skip(error.filename, f"cannot be opened ({error.strerror})")

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=failed):
        here = Path(folder)
        for path in sorted(here / name for name in subfolders):
            real = os.path.realpath(path)
            if real in folders or _contains(real, os.path.realpath(here)):
                skip(path, "a link to a folder that is read already")
                subfolders.remove(path.name)
            folders.add(real)
        subfolders.sort()
        for path in sorted(here / name for name in names):
            real = os.path.realpath(path)
            if not os.path.isfile(real):
                skip(path, "a broken link, or no file")
            elif real in files:
                skip(path, "a link to a file that is read already")
            else:
                found.add(path.relative_to(root).as_posix())
            files.add(real)
    return found, skipped


def _contains(folder: str, inner: str) -> bool:
    return os.path.commonpath([folder, inner]) == folder


@functools.cache
def suffixes() -> frozenset[str]:
    """The suffixes of all formats that Pillow reads here, such as ".jpg"."""
    register_heif()
    Image.init()
    formats = Image.OPEN.keys() - EXCLUDED_FORMATS
    return frozenset(s for s, format in Image.registered_extensions().items() if format in formats)


def _reason_not_to_use(path: PurePosixPath) -> str:
    """Nothing for a photograph."""
    suffix = path.suffix.lower()
    if any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts):
        return "hidden"
    if suffix in suffixes():
        return ""
    if suffix in HEIF_SUFFIXES:
        return f"{suffix} needs pip install -e '.[heif]'"
    return f"no image format ({suffix or 'no suffix'})"


def _read_bounded(file: IO[bytes]) -> bytes:
    data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(_too_large(len(data)))
    return data


def _too_large(size: int) -> str:
    return f"{size / 1e9:.1f} GB or more unpacked, which no photograph has"


def digest(lines: Iterable[str]) -> str:
    """The SHA-256 of the lines."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
