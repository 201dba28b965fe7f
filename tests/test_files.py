"""Atomic writes: a file is complete or absent."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from facegan.cli.config import save_config
from facegan.core.files import atomic_path, write_json
from facegan.core.images import save_image, save_video
from facegan.networks.dcgan import DCGANGenerator
from facegan.training.checkpoints import AtomicCheckpointIO


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


def frames() -> Iterator[Image.Image]:
    yield Image.new("RGB", (8, 8))
    raise OSError(errno.ENOSPC, "No space left on device")


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.png": lambda path: save_image(Image.new("RGB", (8, 8)), path),
    "a.gif": lambda path: save_video(frames(), path, fps=1),
    "a.json": lambda path: write_json(path, {}),
    "a.yaml": lambda path: save_config({}, path),
    "a.ckpt": lambda path: AtomicCheckpointIO().save_checkpoint({}, path),
    "a.safetensors": lambda path: DCGANGenerator(latent_dim=4, width=8).save_pretrained(path),
}


@pytest.mark.parametrize("old", [b"old", None])
@pytest.mark.parametrize("name", WRITERS)
def test_a_write_that_fails_leaves_the_old_file_or_nothing(
    name: str, old: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        assert source.parent == target.parent  # elsewhere may be another disk: a copy
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / name
    if old is not None:
        path.write_bytes(old)
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        WRITERS[name](path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [old] * (old is not None)


def test_an_error_of_a_library_keeps_its_message(tmp_path: Path) -> None:
    image, context = Image.new("F", (2, 2)), atomic_path(tmp_path / "a.png")
    with pytest.raises(OSError, match="cannot write mode F as PNG") as caught, context as path:
        image.save(path)
    assert caught.value.filename is None
