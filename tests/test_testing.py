"""Faces in other projects' tests: the provider for faker, the fixture and its entry point."""

import io
import tomllib

import pytest
from conftest import REPOSITORY, python
from PIL import Image

from facegan import Generator, testing
from facegan.core.pretrained import digest
from facegan.latent import verification
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


def test_faces_to_order(face_png) -> None:
    data = face_png(7, attributes="smiling,-Eyeglasses", size=100)
    assert Image.open(io.BytesIO(data)).size == (100, 100)
    generator = Generator.from_pretrained("labels-28")
    assert verification.compare(data, {digest(generator): generator}) == "the same"
    assert data != face_png(7, attributes="-Smiling,-Eyeglasses", size=100)
    with pytest.raises(ValueError, match="upscale must be"):
        face_png(7, upscale=0)
    with pytest.raises(ValueError, match="no labels to order Smiling by"):
        face_png(7, weights="lite-28", attributes="Smiling")


def test_the_plugin_does_not_slow_pytest() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"facegan": "facegan.testing"}
    code = "import facegan.testing, sys; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    assert python(REPOSITORY, "-c", code).stdout == "[]\n"
