"""Where photographs lie: in a folder or, just as they are, in a zip."""

import functools
import hashlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from facegan.errors import FaceganError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class PhotoStore(ABC):
    """Named photographs. Small enough to send to a worker process, which opens it for itself."""

    @abstractmethod
    def names(self) -> list[str]:
        """The photographs' names, sorted."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The undecoded bytes of one photograph."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when photographs are added, taken away or replaced by others."""


class PhotoFolder(PhotoStore):
    """Every photograph below a folder, which is searched once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __reduce__(self) -> tuple[type["PhotoFolder"], tuple[Path]]:
        return PhotoFolder, (self.root,)

    def names(self) -> list[str]:
        return self._names

    @functools.cached_property
    def _names(self) -> list[str]:
        found = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found if _is_photo(path))

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def fingerprint(self) -> str:
        return _digest(f"{name} {(self.root / name).stat().st_size}" for name in self.names())


class PhotoZip(PhotoStore):
    """Every photograph in a zip, read without unpacking it."""

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
        return sorted(name for name in self._zip.namelist() if _is_photo(Path(name)))

    def read(self, name: str) -> bytes:
        return self._zip.read(name)

    def fingerprint(self) -> str:
        return _digest(f"{info.filename} {info.CRC}" for info in self._zip.infolist())


def open_photos(root: Path, key: str = "data.root") -> PhotoStore:
    """The photographs at `root`, a folder or a zip, which the user gave as `key`.

    Raises FaceganError where there are none.
    """
    if not root.exists():
        raise FaceganError(f"{key}={root} does not exist; give a folder of photographs or a zip")
    store = PhotoFolder(root) if root.is_dir() else PhotoZip(root)
    if not store.names():
        raise FaceganError(
            f"{key}={root} holds no image; looked for {', '.join(SUFFIXES)} at every depth"
        )
    return store


def _is_photo(path: Path) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
