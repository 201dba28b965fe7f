"""Faces drawn by code."""

from pathlib import Path

import numpy as np
import pytest

from facegan.data.archive import Archive
from facegan.data.drawn import CANVAS, DrawnFaces, draw_face


def drawn(tmp_path: Path, count: int, seed: int = 0, size: int = 28) -> Archive:
    return DrawnFaces(str(tmp_path), count, size, seed).archive()


def test_an_archive_of_drawings(tmp_path: Path) -> None:
    archive = drawn(tmp_path, 40)
    archive.verify()
    assert archive.images.shape == (40, 28, 28, 3)
    assert archive.manifest["counts"] == {"train": 36, "val": 2, "test": 2}
    assert archive.labels.attributes.shape == (40, 0)


def test_a_face_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    few, many = drawn(tmp_path, 5), drawn(tmp_path, 10)
    assert np.array_equal(few.images, many.images[:5])
    assert few.path != many.path
    assert not np.array_equal(drawn(tmp_path, 5, seed=1).images, few.images)


def test_faces_differ(tmp_path: Path) -> None:
    assert len(np.unique(drawn(tmp_path, 40).images, axis=0)) == 40


def test_a_drawing_shows_skin_in_the_middle() -> None:
    middles = []
    for number in range(20):
        face = draw_face(np.random.default_rng(number))
        assert face.size == (CANVAS, CANVAS)
        middles.append(np.asarray(face)[62:66, 30:40].mean(axis=(0, 1)))
    red, green, blue = np.mean(middles, axis=0)
    assert red > green > blue


@pytest.mark.parametrize("count", [0, -1])
def test_no_faces_are_no_data(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match=f"count must be at least 1, got {count}; try"):
        DrawnFaces(str(tmp_path), count, 28)
