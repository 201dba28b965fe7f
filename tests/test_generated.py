"""Data sets of synthetic faces."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Cli

from facegan import Generator
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.data.dataset import PackedDataset
from facegan.data.generated import GeneratedDataset
from facegan.evaluation.features import AttributeFeatures, images_of
from facegan.networks.dcgan import DCGANGenerator

COUNT = 260  # more than are drawn at once


def faces(folder: Path, count: int = COUNT, weights: str | Path = "lite-28") -> GeneratedDataset:
    return GeneratedDataset(str(folder), str(weights), count, image_size=28)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return faces(tmp_path_factory.mktemp("packed_dir")).dataset()


def test_counts_and_splits(drawn: PackedDataset) -> None:
    drawn.verify()
    assert drawn.images.shape == (COUNT, 28, 28, 3)
    assert drawn.manifest["counts"] == {"train": 234, "val": 13, "test": 13}
    assert drawn.labels.identities.tolist() == list(range(COUNT))


def test_the_faces_are_those_of_the_seeds(drawn: PackedDataset) -> None:
    expected = Generator.from_pretrained("lite-28").sample(n=COUNT).numpy()
    assert np.array_equal(drawn.images.transpose(0, 3, 1, 2), expected)
    assert len(np.unique(drawn.images, axis=0)) == COUNT


def test_attributes_are_predicted_by_the_classifier(drawn: PackedDataset) -> None:
    extractor = AttributeFeatures()
    assert drawn.labels.attribute_names == extractor.attributes
    for split in ("train", "val", "test"):
        predicted = extractor.has_attributes(extractor(images_of(drawn, drawn.indices(split))))
        assert np.array_equal(drawn.labels.attributes[drawn.indices(split)], predicted.numpy())
    shares = drawn.labels.attributes.mean(axis=0)
    assert ((shares > 0) & (shares < 1)).sum() > 10


def test_the_same_data_set_twice_has_the_same_bytes(drawn: PackedDataset, tmp_path: Path) -> None:
    again = faces(tmp_path).dataset()
    assert again.path.name == drawn.path.name
    for name in ("images.npy", "labels.npz", "manifest.json"):
        assert (again.path / name).read_bytes() == (drawn.path / name).read_bytes()


def test_an_existing_data_set_is_not_drawn_again(
    drawn: PackedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GeneratedDataset, "write", lambda *_: pytest.fail("drawn again"))
    assert faces(drawn.path.parent).dataset().path == drawn.path


def test_the_recipe_depends_on_weights_and_count(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(pretrained.find("lite-28").read_bytes())
    recipe = faces(tmp_path).recipe()
    assert faces(tmp_path, weights=path).recipe() == recipe  # of the content, not of the name
    assert faces(tmp_path, count=COUNT + 1).recipe() != recipe
    DCGANGenerator(latent_dim=4, width=8).save_pretrained(path)
    assert faces(tmp_path, weights=path).recipe() != recipe


@pytest.mark.parametrize("size", [28, 64])
def test_the_default_weights_follow_the_size(size: int, cli: Cli, workdir: Path) -> None:
    result = cli("prepare", "data=generated", f"data.image_size={size}", "data.count=60")
    assert result.code == 0, result.err
    (images,) = workdir.glob("data/packed/*/images.npy")
    expected = Generator.from_pretrained(f"full-{size}").sample(n=60)
    np.testing.assert_array_equal(np.load(images), expected.permute(0, 2, 3, 1).numpy())


def test_a_size_without_bundled_weights_names_those_there_are(cli: Cli) -> None:
    result = cli("prepare", "data=generated", "data.image_size=56")
    assert result.code == 2
    assert "there is no file full-56; give bundled weights (" in result.err
    assert "full-28, full-64" in result.err


def test_refuses_another_size_than_the_generators(cli: Cli) -> None:
    result = cli("prepare", "data=generated", "data.image_size=56", "data.weights=lite-28")
    assert result.code == 2
    assert result.err == (
        "facegan.prepare: data.image_size=56, but data.weights=lite-28 generates faces of 28 "
        "pixels; set data.image_size=28, or other weights by data.weights\n"
    )


@pytest.mark.parametrize("count", [0, -1])
def test_refuses_a_count_below_1(tmp_path: Path, count: int) -> None:
    with pytest.raises(
        FaceganError, match=rf"^data\.count must be at least 1, got {count}; try 20000$"
    ):
        faces(tmp_path, count)


def test_weights_that_are_trained_on_generated_faces_have_the_generators_license(
    tmp_path: Path,
) -> None:
    about = {"license": "some terms"}
    generator = DCGANGenerator(latent_dim=4, width=8, image_size=28)
    generator.save_pretrained(tmp_path / "weights.safetensors", about)
    source = GeneratedDataset(str(tmp_path), str(tmp_path / "weights.safetensors"), 40, 28)
    assert source.dataset().license == "some terms"
    assert source.dataset().license == "some terms"  # also from the packed data
