"""Atomic writes: a file is complete or absent."""

import errno
from pathlib import Path

import pytest
from PIL import Image

from facegan.core.files import atomic_path


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, names = tmp_path / "a.txt", []
    monkeypatch.setattr("os.fsync", lambda _: names.append(path.exists()))
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
    assert (names, path.exists()) == ([False], True)


def test_a_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half") and 1 / 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_systems_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_an_error_of_a_library_keeps_its_message(tmp_path: Path) -> None:
    image, context = Image.new("F", (2, 2)), atomic_path(tmp_path / "a.png")
    with pytest.raises(OSError, match="cannot write mode F as PNG") as caught, context as path:
        image.save(path)
    assert caught.value.filename is None
