"""Faces in other projects' tests: the provider for faker, the fixture and its entry point."""

import io
import tomllib

import pytest
from conftest import REPOSITORY, python
from PIL import Image

from facegan import Generator, testing
from facegan.core.errors import FaceganError
from facegan.core.pretrained import digest
from facegan.core.provenance import PNG_KEY, Provenance
from facegan.latent import verification
from facegan.latent.avatars import text_seed
from facegan.latent.selection import logits_and_clarity
from facegan.networks.attributes import bundled_classifier
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


def seed_of(data: bytes) -> int:
    """The seed in the mark of a face."""
    facts = Provenance.from_xmp(Image.open(io.BytesIO(data)).info[PNG_KEY])
    assert facts is not None
    return int(facts.seeds)


def test_the_face_of_a_text_is_the_clearest_of_four(face_png) -> None:
    generator = Generator.from_pretrained("lite-28")
    classifiers = [bundled_classifier(size) for size in (28, 64)]
    text = "user-42"
    assert text_seed(text) == 1_837_714_083
    clarities = {}
    for keep in (1, 0.25):
        data = face_png(text, weights="lite-28", keep=keep)
        assert data == face_png(text_seed(text), weights="lite-28", keep=keep)
        assert verification.compare(data, {digest(generator): generator}) == "the same"
        image = generator.sample(seeds=[seed_of(data)], truncation=0.7)
        clarities[keep] = logits_and_clarity(classifiers, image)[1].item()
    assert seed_of(face_png(text, weights="lite-28", keep=1)) == text_seed(text)
    assert clarities[0.25] > clarities[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 2}, "keep must be a number from 0.01 to 1, got 2"),
        ({"truncation": -1}, "truncation must be a number from 0 to 10, got -1"),
        ({"attributes": "Male:0.5"}, "one face has Male or lacks it, .*; write Male or -Male"),
    ],
)
def test_a_face_is_refused(face_png, options: dict[str, float | str], message: str) -> None:
    with pytest.raises((FaceganError, ValueError), match=message):
        face_png(7, **options)


def test_the_plugin_does_not_slow_pytest() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"facegan": "facegan.testing"}
    code = "import facegan.testing, sys; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    assert python(REPOSITORY, "-c", code).stdout == "[]\n"
