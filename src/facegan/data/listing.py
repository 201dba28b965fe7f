"""Which photograph each packed image comes from, and which files are left out, as CSV files."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from facegan.core.files import atomic_path
from facegan.data.photos import Unused

LEFT_OUT = "left_out.csv"
NAMES = "names.csv"


def write_left_out(folder: Path, left_out: Iterable[Unused]) -> None:
    """Writes what is not used of a data set, beside its images."""
    _write(folder / LEFT_OUT, Unused._fields, left_out)


def read_left_out(folder: Path) -> list[Unused]:
    """What is not used of the data set in `folder`; nothing where it is not recorded."""
    return [Unused(name, reason) for name, reason in _read(folder / LEFT_OUT)]


def write_names(folder: Path, names: Iterable[str]) -> None:
    """Writes the name of the photograph of each packed image, in their order."""
    _write(folder / NAMES, ("name",), ((name,) for name in names))


def read_names(folder: Path) -> list[str]:
    """The name of the photograph of each packed image; nothing where it is not recorded."""
    return [name for (name,) in _read(folder / NAMES)]


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    # names on a disk are any bytes
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        csv.writer(file).writerows([header, *rows])


def _read(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]
