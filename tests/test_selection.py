"""Seeds of faces with given attributes, in Python and on the command line."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from facegan import Generator, avatars
from facegan.core.errors import FaceganError
from facegan.core.images import open_image
from facegan.core.provenance import PNG_KEY, Provenance
from facegan.latent import selection
from facegan.latent.selection import cell_counts, find_seeds, parse_attributes
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
    for face in faces:
        assert {*parse_attributes(mark_of(face).attributes).items()} == {*face["ordered"].items()}
        assert all(has == (name in face["attributes"]) for name, has in face["ordered"].items())
        data = (Path("set") / face["file"]).read_bytes()
        assert face["sha256"] == hashlib.sha256(data).hexdigest()
    assert "set are not in its manifest" in cli("sample", *options).err


def mark_of(face: dict[str, Any]) -> Provenance:
    mark = Provenance.from_xmp(open_image(Path("set") / face["file"]).info[PNG_KEY])
    assert mark is not None
    return mark


def test_a_set_of_ordered_labels(cli) -> None:
    order = ("weights=labels-28", "attributes=male:0.5,Eyeglasses:0.5", "keep=0.5")
    cli.ok("sample", *order, "n=4", "out=set", "edit=Smiling:1")
    faces = json.loads(Path("set/manifest.json").read_text())["faces"]
    table = Generator.from_pretrained("labels-28").labels
    assert table is not None
    for face in faces:
        (labels,) = table.draw([face["seed"]], {"Male": 0.5, "Eyeglasses": 0.5}).tolist()
        ordered = {name: labels[table.names.index(name)] > 0 for name in ("Male", "Eyeglasses")}
        assert face["ordered"] == ordered == parse_attributes(mark_of(face).attributes)
    assert len({str(face["ordered"]) for face in faces}) == 4
    assert cli("verify", "set").out.count(": the same\n") == 5
    cli.ok("sample", *order[:2], "n=2", "out=plain")
    assert cli("verify", "plain").out.count(": the same\n") == 3


@pytest.mark.parametrize("keep", ["keep=0.5", "keep=1"])
def test_excluded_faces_are_replaced(cli, keep: str) -> None:
    order = ("weights=lite-28", "attributes=Male:0.5", "n=6", keep, "out=set")
    cli.ok("sample", *order, "grid=false")
    before = {path.name: path.read_bytes() for path in Path("set").glob("*.png")}
    broken = json.loads(Path("set/manifest.json").read_text())["faces"][1:3]
    seeds = ",".join(str(face["seed"]) for face in broken)
    assert cli("sample", *order, "grid=false", f"exclude={seeds}").err == ""
    after = {path.name: path.read_bytes() for path in Path("set").glob("*.png")}
    assert before.keys() - after.keys() == {face["file"] for face in broken}
    assert len(after) == 6
    assert all(after[name] == data for name, data in before.items() if name in after)
    faces = json.loads(Path("set/manifest.json").read_text())["faces"]
    assert sum(face["ordered"]["Male"] for face in faces) == 3
    excluded = [face["seed"] for face in broken]
    how = {"keep": float(keep[5:]), "size": 28, "exclude": excluded}
    again = avatars("again", 6, {"Male": 0.5}, "lite-28", **how)["faces"]
    assert [face["seed"] for face in again] == [face["seed"] for face in faces]


def test_seeds_are_excluded_without_a_search(cli) -> None:
    cli.ok("sample", "weights=lite-28", "n=3", "exclude=0-1,3", "out=set", "grid=false")
    names = sorted(path.name for path in Path("set").iterdir())
    assert names == ["seed-0002.png", "seed-0004.png", "seed-0005.png"]


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
