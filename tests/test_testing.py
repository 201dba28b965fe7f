"""Faces in other projects' tests: the provider for faker, the fixture and its entry point."""

import io
import subprocess
import sys
import tomllib

import pytest
from conftest import REPOSITORY
from PIL import Image

from facegan import testing
from facegan.testing import FaceProvider, face_png_fixture  # noqa: F401


def test_the_fixture_draws_marked_faces(face_png) -> None:
    data = face_png(7)
    assert data == face_png(7) != face_png(8)
    assert Image.open(io.BytesIO(data)).size == (256, 256)
    assert b"trainedAlgorithmicMedia" in data


def test_faker_draws_faces_that_its_seed_repeats() -> None:
    faker = pytest.importorskip("faker", reason="pip install faker")
    fake = faker.Faker()
    fake.add_provider(FaceProvider)
    fake.seed_instance(0)
    faces = [fake.face_png(1, "lite-28") for _ in range(2)]
    fake.seed_instance(0)
    assert [fake.face_png(1, "lite-28") for _ in range(2)] == faces
    assert faces[0] != faces[1]
    assert Image.open(io.BytesIO(testing.face_png(3, 1, "lite-28"))).size == (28, 28)


def test_the_plugin_does_not_slow_pytest() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"facegan": "facegan.testing"}
    code = "import facegan.testing, sys; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n"
