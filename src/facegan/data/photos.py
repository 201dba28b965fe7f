"""Stores of photographs: a folder, or a zip that is not unpacked."""

import contextlib
import functools
import hashlib
import os
import shutil
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from PIL import Image

from facegan.core.errors import FaceganError, NotFoundError
from facegan.data.decode import openable

HEIF_SUFFIXES = (".heic", ".heif", ".hif")  # also without pillow-heif
MAX_FILE_BYTES = 256 << 20  # of one photograph, unpacked
HIDDEN = (".", "__MACOSX", "@eaDir", "$RECYCLE.BIN")  # beginnings of names
# files by which this package's own folders are recognized: of a run, of a packed data set
OWN_FOLDERS = ({"config.yaml", "metrics.jsonl"}, {"images.npy", "manifest.json"})


class Unused(NamedTuple):
    """A file that is not used, and the reason."""

    name: str
    reason: str


class PhotoStore(ABC):
    """Named photographs, which several threads may read."""

    @abstractmethod
    def _list(self) -> tuple[list[str], list[Unused]]:
        """The names of the photographs, and the other files; both sorted."""

    @functools.cached_property
    def _listed(self) -> tuple[list[str], list[Unused]]:
        return self._list()

    def names(self) -> list[str]:
        """The photographs' names, sorted."""
        return self._listed[0]

    def unused(self) -> list[Unused]:
        """The other files, sorted by name."""
        return self._listed[1]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The encoded bytes of one photograph. Raises ValueError for more than MAX_FILE_BYTES."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when photographs are added, removed or renamed."""

    def content_record(self) -> dict[str, str]:
        """What `other_content` compares; empty if `fingerprint` depends on the content."""
        return {}

    def other_content(self, record: Mapping[str, Any]) -> str:
        """A digest of the photographs if they are not those of `record`; empty otherwise."""
        return ""


class PhotoFolder(PhotoStore):
    """Every photograph below a folder, which is searched once. Links are followed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checksums: dict[str, int] = {}  # of what was read

    def _list(self) -> tuple[list[str], list[Unused]]:
        files, skipped = list_files(self.root)
        names, unused = select(files)
        return names, sorted(unused + skipped)

    def read(self, name: str) -> bytes:
        with (self.root / name).open("rb") as file:
            data = _read_bounded(file)
        self._checksums[name] = zlib.crc32(data)
        return data

    def fingerprint(self) -> str:
        return digest(f"{name} {(self.root / name).stat().st_size}" for name in self.names())

    def content_record(self) -> dict[str, str]:
        return {"times": self._times(), "content": self._content()}

    def other_content(self, record: Mapping[str, Any]) -> str:
        if record.get("times") in (None, self._times()):  # None: of an earlier version
            return ""
        print("photographs are newer or older than when they were packed: comparing", flush=True)
        content = self._content()
        return content if content != record.get("content") else ""

    def _times(self) -> str:
        return digest(str((self.root / name).stat().st_mtime_ns) for name in self.names())

    def _content(self) -> str:
        for name in self.names():
            if name not in self._checksums:
                with contextlib.suppress(OSError, ValueError):  # it is not packed either
                    self.read(name)
        return digest(str(self._checksums.get(name)) for name in self.names())


class PhotoZip(PhotoStore):
    """Every photograph in a zip, read without unpacking it to the disk."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise FaceganError(
                f"{path} is not a complete zip ({error}); remove it and fetch it again"
            ) from error
        self._members = {  # Windows PowerShell 5 separates folders by backslashes
            info.filename.replace("\\", "/"): info for info in self._zip.infolist()
        }

    def _list(self) -> tuple[list[str], list[Unused]]:
        return select(name for name in self._members if not name.endswith("/"))

    def read(self, name: str) -> bytes:
        with self._zip.open(self._members[name]) as file:
            return _read_bounded(file)

    def fingerprint(self) -> str:
        return digest(f"{info.filename} {info.CRC}" for info in self._zip.infolist())


class PhotoTar(PhotoFolder):
    """Every photograph in a tar, compressed or not, which is unpacked to a temporary folder."""

    def __init__(self, path: Path) -> None:
        folder = tempfile.mkdtemp(prefix="facegan-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

        def small_file(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
            """`member` if it is safe to unpack and could be a photograph."""
            small = member.isfile() and member.size <= MAX_FILE_BYTES
            return tarfile.data_filter(member, folder) if small else None

        with tarfile.open(path) as archive:
            archive.extractall(folder, filter=small_file)
        super().__init__(Path(folder))


def open_photos(root: Path, key: str = "data.root") -> PhotoStore:
    """The photographs at `root`, a folder, a zip or a tar; `key` is its name in error messages.

    Raises NotFoundError if there are none.
    """
    root = root.expanduser()
    if not root.exists():
        raise NotFoundError(f"{key}={root} does not exist; give a folder of photographs or a zip")
    if root.is_dir():
        store: PhotoStore = PhotoFolder(root)
    elif root.is_file() and zipfile.is_zipfile(root):
        store = PhotoZip(root)
    elif root.is_file() and tarfile.is_tarfile(root):
        store = PhotoTar(root)
    else:
        raise FaceganError(
            f"{key}={root} is not a folder, a complete zip or a tar of photographs; unpack another "
            "archive, give the folder of a single photograph, and fetch a damaged file again"
        )
    if not store.names():
        found = summarize(store.unused()) or "nothing"
        raise NotFoundError(f"{key}={root} contains no image (.jpg, .png, …); found: {found}")
    return store


def summarize(unused: Iterable[Unused]) -> str:
    """Counts by reason: "1 hidden, 3 no image format (.txt)"."""
    counts = Counter(reason for _, reason in unused)
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


def select(files: Iterable[str]) -> tuple[list[str], list[Unused]]:
    """The photographs among files, by their suffixes, and the others; both sorted."""
    reasons = {name: _reason_not_to_use(PurePosixPath(name)) for name in sorted(files)}
    names = [name for name, reason in reasons.items() if not reason]
    return names, [Unused(name, reason) for name, reason in reasons.items() if reason]


def list_files(root: Path) -> tuple[set[str], list[Unused]]:
    """The files below `root`, relative to it, and the entries that are skipped.

    Links are followed, but each folder and each file is read once, and no folder above `root`.
    """
    real_root = Path(os.path.realpath(root))
    seen = {str(folder) for folder in (real_root, *real_root.parents)}
    found: set[str] = set()
    skipped: list[Unused] = []

    def skip(path: str | Path, reason: str) -> None:
        skipped.append(Unused(Path(path).relative_to(root).as_posix(), reason))

    def failed(error: OSError) -> None:
        skip(error.filename, f"cannot be opened ({error.strerror})")

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=failed):
        if any(own <= {*names} for own in OWN_FOLDERS):
            skip(folder, "a run or a packed data set of facegan")
            subfolders.clear()
            continue
        for path in [Path(folder, name) for name in (*sorted(subfolders), *sorted(names))]:
            real = os.path.realpath(path)
            is_folder = path.name in subfolders
            if real in seen:
                skip(path, "a link to what is read already")
                subfolders[:] = [name for name in subfolders if name != path.name]
            elif not is_folder and not os.path.isfile(real):
                skip(path, "a broken link, or not a file")
            elif not is_folder:
                found.add(path.relative_to(root).as_posix())
            seen.add(real)
        subfolders.sort()
    return found, skipped


@functools.cache
def suffixes() -> frozenset[str]:
    """The suffixes of all formats that Pillow reads here, such as ".jpg"."""
    formats = {*openable(), "MPO"}  # a JPEG with further images
    return frozenset(s for s, format in Image.registered_extensions().items() if format in formats)


def _reason_not_to_use(path: PurePosixPath) -> str:
    """Empty for a photograph."""
    suffix = path.suffix.lower()
    if any(part.startswith(HIDDEN) and part != ".." for part in path.parts):
        return "hidden"
    if suffix in suffixes():
        return ""
    if suffix in HEIF_SUFFIXES:
        return f"{suffix} needs pip install -e '.[heif]'"
    return f"no image format ({suffix or 'no suffix'})"


def _read_bounded(file: IO[bytes]) -> bytes:
    data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"more than {MAX_FILE_BYTES >> 20} MiB unpacked")
    return data


def digest(lines: Iterable[str]) -> str:
    """The SHA-256 of the lines."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
