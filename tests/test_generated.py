"""Data sets of synthetic faces."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli

from facegan import Generator
from facegan.core import pretrained
from facegan.data.dataset import PackedDataset
from facegan.data.generated import GeneratedDataset
from facegan.evaluation.features import AttributeFeatures, images_of
from facegan.networks.dcgan import DCGANGenerator

COUNT = 260  # more than are drawn at once


def faces(folder: Path, weights: str | Path = "lite-28", **options: Any) -> GeneratedDataset:
    options = {"count": COUNT, "image_size": 28} | options
    return GeneratedDataset(str(folder), str(weights), **options)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return faces(tmp_path_factory.mktemp("packed_dir")).dataset()


def test_the_faces_are_those_of_the_seeds(drawn: PackedDataset) -> None:
    drawn.verify()
    expected = Generator.from_pretrained("lite-28").sample(n=COUNT).numpy()
    assert np.array_equal(drawn.images.transpose(0, 3, 1, 2), expected)
    assert drawn.manifest["counts"] == {"train": 234, "val": 13, "test": 13}
    assert drawn.labels.identities.tolist() == list(range(COUNT))


def test_attributes_are_predicted_by_the_classifier(drawn: PackedDataset) -> None:
    extractor = AttributeFeatures()
    assert drawn.labels.attribute_names == extractor.attributes
    for split in ("train", "val", "test"):
        predicted = extractor.has_attributes(extractor(images_of(drawn, drawn.indices(split))))
        found = drawn.labels.attributes[drawn.indices(split)] > 0
        assert np.array_equal(found, predicted.numpy())
    shares = (drawn.labels.attributes > 0).mean(axis=0)
    assert ((shares > 0) & (shares < 1)).sum() > 10


def test_a_data_set_is_reproduced_bit_for_bit(drawn: PackedDataset, tmp_path: Path) -> None:
    again = faces(tmp_path).dataset()
    assert again.path.name == drawn.path.name
    for name in ("images.npy", "labels.npz", "manifest.json"):
        assert (again.path / name).read_bytes() == (drawn.path / name).read_bytes()


def test_the_recipe_depends_on_weights_and_count(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(pretrained.find("lite-28").read_bytes())
    recipe = faces(tmp_path).recipe()
    assert faces(tmp_path, path).recipe() == recipe  # of the content, not of the name
    assert faces(tmp_path, count=COUNT + 1).recipe() != recipe
    DCGANGenerator(latent_dim=4, width=8).save_pretrained(path)
    assert faces(tmp_path, path).recipe() != recipe


@pytest.mark.parametrize("size", [28, 64])
def test_the_default_weights_follow_the_size(size: int, cli: Cli, workdir: Path) -> None:
    cli.ok("prepare", "data=generated", f"data.image_size={size}", "data.count=60")
    (images,) = workdir.glob("data/packed/*/images.npy")
    expected = Generator.from_pretrained(f"full-{size}").sample(n=60)
    np.testing.assert_array_equal(np.load(images), expected.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be a whole number from 1 to 1000000, got 0"),
        ({"image_size": 56}, "image_size must be 28, the size of lite-28, got 56"),
        ({"mode": "L"}, "mode must be RGB, and weights must be of a generator of RGB images"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        faces(tmp_path, **options)


def test_the_license_is_that_of_the_generators_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    generator = DCGANGenerator(latent_dim=4, width=8, image_size=28)
    generator.save_pretrained(path, {"license": "some terms"})
    for _ in ("drawn", "opened"):
        assert faces(tmp_path, path, count=40).dataset().license == "some terms"
