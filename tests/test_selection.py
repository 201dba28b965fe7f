"""Seeds of faces with given attributes, in Python and on the command line."""

from pathlib import Path

import pytest

from facegan import Generator
from facegan.core.errors import FaceganError
from facegan.latent import selection
from facegan.latent.selection import find_seeds
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


def test_sample_attributes(cli) -> None:
    arguments = ("weights=lite-28", "attributes=Smiling,-Eyeglasses", "n=3", "out=faces")
    assert cli("sample", *arguments).code == 0
    assert len(list(Path("faces").glob("seed-*.png"))) == 3


def test_too_few_faces_with_the_attributes_are_an_error(
    cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "CANDIDATES", 96)
    result = cli("sample", "weights=lite-28", "attributes=Bald,Heavy_Makeup,Wearing_Hat")
    assert result.code == 2
    assert "0 of 96 faces fit" in result.err
