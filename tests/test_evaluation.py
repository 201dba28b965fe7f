"""The judge as a whole: features, coverage, originality, the report, the verb."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Cli
from PIL import Image
from torch import Tensor

from facegan.data.dataset import PackedDataset, open_dataset
from facegan.errors import FaceganError
from facegan.evaluation import features as features_module
from facegan.evaluation.coverage import attribute_coverage
from facegan.evaluation.features import (
    AttributeFeatures,
    InceptionFeatures,
    split_features,
    split_images,
)
from facegan.evaluation.metrics import (
    measure_distances,
    measure_manifolds,
    measure_memorization,
)
from facegan.evaluation.report import coverage_chart, text_table
from facegan.images import to_float
from facegan.networks.dcgan import DCGANGenerator


@pytest.fixture(scope="module")
def space() -> AttributeFeatures:
    return AttributeFeatures()


def normal(count: int, shift: float = 0.0, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(count, 8, generator=stream) + shift


def test_attribute_features_are_the_pooled_last_map(space: AttributeFeatures) -> None:
    images = torch.randint(256, (3, 3, 28, 28), dtype=torch.uint8)
    with torch.inference_mode():
        expected = space.network.trunk(to_float(images)).mean(dim=(2, 3))
    torch.testing.assert_close(space(images), expected)
    assert space(images).shape == (3, 256)


def test_features_do_not_depend_on_the_batch(space: AttributeFeatures) -> None:
    images = torch.randint(256, (260, 3, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(space(images)[255:], space(images[255:]), rtol=1e-4, atol=1e-4)


def test_other_sizes_are_resized_to_the_networks(space: AttributeFeatures) -> None:
    small = torch.full((2, 3, 28, 28), 128, dtype=torch.uint8)
    large = torch.full((2, 3, 56, 56), 128, dtype=torch.uint8)
    torch.testing.assert_close(space(large), space(small), rtol=1e-4, atol=1e-4)


def test_the_key_names_the_weights(space: AttributeFeatures, tmp_path: Path) -> None:
    other = AttributeFeatures()
    assert other.key == space.key
    with torch.no_grad():
        other.network.head.bias.add_(1)
    other.network.config = dict(other.network.config)
    path = tmp_path / "other.safetensors"
    features_module.pretrained.save(other.network, path)
    assert AttributeFeatures(path).key != space.key


def test_split_features_are_cached_beside_the_archive(
    dataset: PackedDataset, space: AttributeFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = split_features(dataset, "val", space)
    torch.testing.assert_close(first, space(split_images(dataset, "val")))
    monkeypatch.setattr(AttributeFeatures, "embed", lambda *_: pytest.fail("computed again"))
    assert torch.equal(split_features(dataset, "val", space), first)


def test_inception_without_network_says_what_to_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(FaceganError, match=r"no network.*download https://.*inception_weights"):
        InceptionFeatures()


def test_inception_gives_its_pooled_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "inception.pth"
    torch.save({}, path)  # no weights: the network stays as it was made
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_, **__: None)
    space = InceptionFeatures(str(path))
    images = torch.randint(256, (2, 3, 28, 28), dtype=torch.uint8)
    assert space(images).shape == (2, 2048)
    assert (space.frechet, space.kernel) == ("FID", "KID")


def test_a_pickle_is_no_inception(tmp_path: Path) -> None:
    path = tmp_path / "inception.pth"
    torch.save({"run": Path}, path)
    with pytest.raises(FaceganError, match="does not hold the weights of Inception-v3"):
        InceptionFeatures(str(path))


def test_inception_weights_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FaceganError, match=r"inception_weights=.*does not exist"):
        InceptionFeatures(str(tmp_path / "none.pth"))


def test_attribute_coverage_against_shares_by_hand() -> None:
    real = torch.tensor([[1, 0], [1, 0], [0, 0], [0, 1]], dtype=torch.bool)
    generated = torch.tensor([[0, 1], [1, 1]], dtype=torch.bool)
    dropped, overdone = attribute_coverage(real, generated, ("hat", "smile"))
    assert (dropped.name, dropped.real, dropped.generated) == ("hat", 0.5, 0.5)
    assert (overdone.name, overdone.real, overdone.generated) == ("smile", 0.25, 1.0)
    assert overdone.log_ratio == pytest.approx(np.log2((2.5 / 3) / (1.5 / 5)))


def test_attribute_coverage_refuses_other_columns() -> None:
    with pytest.raises(ValueError, match="one column for each of the 1 names"):
        attribute_coverage(torch.ones(2, 2).bool(), torch.ones(2, 2).bool(), ("hat",))


def test_real_faces_are_judged_as_real() -> None:
    measures = measure_distances(normal(500), normal(800, seed=1), normal(800, seed=2))
    frechet, kernel = measures["frechet_distance"], measures["kernel_distance"]
    assert frechet.value == pytest.approx(frechet.real, rel=0.5)
    assert abs(kernel.value) < 4 * kernel.standard_error
    manifolds = measure_manifolds(normal(500), normal(800, seed=1), normal(800, seed=2))
    for measure in manifolds.values():
        assert measure.value == pytest.approx(measure.real, abs=0.1)


def test_a_shift_is_seen_by_every_distance() -> None:
    measures = measure_distances(normal(500), normal(800, seed=1), normal(800, 1.0, seed=2))
    frechet = measures["frechet_distance"]
    assert frechet.value == pytest.approx(8, rel=0.2)  # |shift|², eight dimensions
    assert frechet.low < frechet.value < frechet.high
    assert measures["kernel_distance"].value > 10 * measures["kernel_distance"].real


def test_the_floor_has_as_many_faces_as_are_judged() -> None:
    few, many = (
        measure_distances(normal(500), normal(800, seed=1), normal(count, seed=2))
        for count in (50, 800)
    )
    assert few["frechet_distance"].real > 3 * many["frechet_distance"].real


def test_copies_shout() -> None:
    training = normal(300, seed=1)
    measures, nearest_pairs = measure_memorization(normal(200), training, training[[5, 7, 9]] + 0)
    assert measures["copied"].value == 1.0
    assert measures["copied"].real == pytest.approx(0.01)
    assert sorted(nearest_pairs.training) == [5, 7, 9]
    assert nearest_pairs.distances == [0.0, 0.0, 0.0]


def test_table_shows_every_measure() -> None:
    measures = measure_distances(normal(50), normal(80, seed=1), normal(80, seed=2))
    table = text_table(measures, {"frechet_distance": "FID"})
    assert len(table.splitlines()) == 3
    assert "FID" in table
    assert "±" in table


def test_chart_has_a_bar_for_every_attribute() -> None:
    columns = torch.tensor([[1, 0, 1], [0, 1, 1]], dtype=torch.bool)
    chart = coverage_chart(attribute_coverage(columns, columns, ("a", "b_c", "<d>")))
    assert chart.count("<rect") == 3
    assert "b c" in chart
    assert "&lt;d&gt;" in chart


def test_evaluate_writes_the_same_numbers_twice(
    cli: Cli, generated_faces: tuple[str, ...], workdir: Path
) -> None:
    DCGANGenerator(latent_dim=4, width=8).save_pretrained(workdir / "w.safetensors")
    arguments = ("weights=w.safetensors", "evaluation.faces=150", *generated_faces)
    result = [cli("evaluate", *arguments, f"out=report{i}") for i in (1, 2)]
    assert [t.code for t in result] == [0, 0], result[0].err
    reports = [(workdir / f"report{i}" / "evaluation.json").read_text() for i in (1, 2)]
    assert reports[0] == reports[1]
    report = json.loads(reports[0])
    assert set(report) == {"facts", "measures", "coverage", "nearest_pairs"}
    assert len(report["coverage"]) == 40
    page = (workdir / "report1" / "evaluation.html").read_text()
    assert page.count("data:image/png") == 1 + 2 * 12
    assert "http" not in page


def test_evaluate_judges_a_folder_of_images(
    cli: Cli, generated_faces: tuple[str, ...], workdir: Path
) -> None:
    folder = workdir / "images"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 40, 30, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    result = cli("evaluate", f"images={folder}", *generated_faces)
    assert result.code == 0, result.err
    report = json.loads((workdir / "outputs" / "evaluation" / "evaluation.json").read_text())
    assert report["facts"]["faces"] == "60 of 28x28"
    assert report["measures"]["frechet_distance"]["value"] > 50


def test_evaluate_refuses_a_resolution_that_the_weights_do_not_have(
    cli: Cli, small_photos: tuple[str, ...]
) -> None:
    result = cli("evaluate", "weights=lite-28", *small_photos, "evaluation.faces=60")
    assert result.code == 2
    assert "makes faces of 28 pixels, the data has 8" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluation.split=train"], "val or test"),
        (["evaluation.faces=10"], "evaluation.faces must be at least 50, got 10"),
        (["images=.", "evaluation.faces=-5"], "evaluation.faces must be at least 50, got -5"),
        (["images=nowhere"], "images=nowhere does not exist"),
        (["data.image_size=56", "data.weights=lite-28"], "28 pixels"),
    ],
)
def test_evaluate_refuses(
    cli: Cli, generated_faces: tuple[str, ...], arguments: list[str], words: str
) -> None:
    few = "evaluation.faces=60"
    result = cli("evaluate", "weights=lite-28", *generated_faces, few, *arguments)
    assert result.code == 2
    assert words in result.err
    assert "Traceback" not in result.err


@pytest.mark.celeba
@pytest.mark.slow
def test_the_bundled_classifier_keeps_its_accuracy(celeba_root: Path, tmp_path: Path) -> None:
    from facegan.data.celeba import CelebA

    source = CelebA(str(celeba_root), str(tmp_path), crop=108, image_size=28, verify=False)
    dataset = open_dataset(source.dataset().path)
    space = AttributeFeatures()
    guesses = space.has_attributes(space(split_images(dataset, "test")))
    labels = torch.from_numpy(dataset.labels.attributes[dataset.indices("test")])
    assert (guesses == labels).double().mean() > 0.89
