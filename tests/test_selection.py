"""Seeds of faces with given attributes, in Python and on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from facegan import Generator, avatars
from facegan.core.errors import FaceganError
from facegan.latent import selection
from facegan.latent.selection import cell_counts, find_seeds
from facegan.networks.attributes import bundled_classifier, classify


def test_the_faces_have_the_attributes() -> None:
    generator = Generator.from_pretrained("lite-28")
    wanted = {"smiling": True, "Male": False}
    seeds = find_seeds(generator, wanted, count=5, first=50, truncation=0.8)
    assert len(seeds) == 5
    assert min(seeds) >= 50
    classifier = bundled_classifier(28)
    logits = classify(classifier, generator.sample(seeds=seeds, truncation=0.8))
    assert (logits[:, classifier.attributes.index("Smiling")] > 1).all()
    assert (logits[:, classifier.attributes.index("Male")] < -1).all()


def test_rare_attributes_give_fewer_seeds() -> None:
    generator = Generator.from_pretrained("lite-28")
    assert find_seeds(generator, {"Bald": True}, count=90, candidates=96) == find_seeds(
        generator, {"Bald": True}, count=96, candidates=96
    )
    with pytest.raises(FaceganError, match="did you mean Smiling"):
        find_seeds(generator, {"Smilng": True}, count=1)


def test_too_few_faces_with_the_attributes_are_an_error(
    cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "CANDIDATES", -50)
    order = ("sample", "weights=lite-28", "n=3", "attributes=Bald,Young,Wearing_Hat:0.5")
    for options in ((), ("keep=1",)):
        message = cli.refusal(*order, *options)
        assert "0 of 3 faces with attributes=Bald,Young,Wearing_Hat:0.5" in message


def test_shares_are_those_of_the_set() -> None:
    counts = cell_counts({"Male": 0.5, "Eyeglasses": 1 / 3}, 200)
    assert sum(counts.values()) == 200
    assert sum(n for (male, _), n in counts.items() if male) == 100
    assert sum(n for (_, glasses), n in counts.items() if glasses) == 66
    assert cell_counts({"Male": 0.0}, 7) == {(False,): 7}
    assert cell_counts({}, 7) == {(): 7}


def test_a_set_of_faces(cli) -> None:
    options = ("weights=lite-28", "n=8", "size=100", "keep=1", "out=set")
    cli.ok("sample", *options, "grid=false", "attributes=Male:0.5,Smiling:0.25")
    text = Path("set/manifest.json").read_text()
    faces = json.loads(text)["faces"]
    assert {face["file"] for face in faces} == {path.name for path in Path("set").glob("*.png")}
    assert sum("Male" in face["attributes"] for face in faces) == 4
    assert sum("Smiling" in face["attributes"] for face in faces) == 2
    cli.ok("verify", *(f"set/{face['file']}" for face in faces))
    shares = {"Male": 0.5, "Smiling": 0.25}
    assert avatars("again", 8, shares, "lite-28", keep=1.0, size=100) == json.loads(text)
    for path in Path("set").iterdir():
        assert path.read_bytes() == (Path("again") / path.name).read_bytes()
    seeds = find_seeds(Generator.from_pretrained("lite-28"), shares, 8, keep=1.0)
    assert seeds == [face["seed"] for face in faces]
    assert "set are not in its manifest" in cli("sample", *options).err


def test_the_clearest_are_kept() -> None:
    generator = Generator.from_pretrained("lite-28")
    classifiers = [bundled_classifier(size) for size in (28, 64)]
    clarity = selection.logits_and_clarity(classifiers, generator.sample(40))[1]
    assert find_seeds(generator, {}, 20, keep=0.5) == clarity.topk(20).indices.sort()[0].tolist()
    assert find_seeds(generator, {}, 20, keep=1.0) == list(range(20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": -1}, "the number of faces must be a whole number from 1 to 1000000, got -1"),
        ({"upscale": 1000}, "upscale must be a number from 1 to 100, got 1000"),
        ({"shares": {"Male": "0.5"}}, "Male must be a number from 0 to 1, got '0.5'"),
        ({"filter": "x"}, "filter must be one of nearest, lanczos, got 'x'"),
        ({"size": 1}, "size must be a number of pixels from 28 to 2800 .*, got 1"),
    ],
)
def test_wrong_arguments_are_refused_before_the_search(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Generator, "sample")
    with pytest.raises((ValueError, FaceganError), match=message):
        avatars("set", weights="lite-28", **options)
