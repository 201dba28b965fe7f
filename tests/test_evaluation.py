"""The evaluation as a whole: features, attribute coverage, metrics, report, command."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Cli, Compose, smooth_images
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from facegan.core.errors import FaceganError
from facegan.core.images import to_float
from facegan.core.pretrained import bundled, bundled_crop
from facegan.data.dataset import PackedDataset, open_dataset
from facegan.evaluation import features as features_module
from facegan.evaluation import metrics as registry
from facegan.evaluation import run
from facegan.evaluation.coverage import attribute_coverage
from facegan.evaluation.features import (
    AttributeFeatures,
    InceptionFeatures,
    images_of,
    split_features,
)
from facegan.evaluation.metrics import (
    METRICS,
    Comparison,
    Measure,
    Metric,
    Photographs,
    measure,
    nearest_pairs,
)
from facegan.evaluation.report import bar, html_page, text_table
from facegan.networks.dcgan import DCGANGenerator


@pytest.fixture(scope="module")
def extractor() -> AttributeFeatures:
    return AttributeFeatures()


def normal(count: int, shift: float = 0.0, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(count, 8, generator=stream) + shift


def test_attribute_features_are_the_pooled_last_map(extractor: AttributeFeatures) -> None:
    images = torch.randint(256, (3, 3, 28, 28), dtype=torch.uint8)
    with torch.inference_mode():
        expected = extractor.network.trunk(to_float(images)).mean(dim=(2, 3))
    torch.testing.assert_close(extractor(images), expected)
    assert extractor(images).shape == (3, 256)


def test_features_do_not_depend_on_the_batch(extractor: AttributeFeatures) -> None:
    images = torch.randint(256, (260, 3, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(
        extractor(images)[255:], extractor(images[255:]), rtol=1e-4, atol=1e-4
    )


def test_images_of_another_size_are_resized(extractor: AttributeFeatures) -> None:
    small = torch.full((2, 3, 28, 28), 128, dtype=torch.uint8)
    large = torch.full((2, 3, 56, 56), 128, dtype=torch.uint8)
    torch.testing.assert_close(extractor(large), extractor(small), rtol=1e-4, atol=1e-4)


def test_the_key_depends_on_the_weights(extractor: AttributeFeatures, tmp_path: Path) -> None:
    other = AttributeFeatures()
    assert other.key == extractor.key
    with torch.no_grad():
        other.network.head.bias.add_(1)
    other.network.config = dict(other.network.config)
    path = tmp_path / "other.safetensors"
    features_module.pretrained.save(other.network, path)
    assert AttributeFeatures(weights=path).key != extractor.key


def test_split_features_are_cached(
    dataset: PackedDataset, extractor: AttributeFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = split_features(dataset, "val", extractor)
    torch.testing.assert_close(first, extractor(images_of(dataset, dataset.indices("val"))))
    monkeypatch.setattr(AttributeFeatures, "embed", lambda *_: pytest.fail("computed again"))
    assert torch.equal(split_features(dataset, "val", extractor), first)


def test_inception_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(FaceganError, match=r"no network.*download https://.*inception_weights"):
        InceptionFeatures()


def test_inception_has_2048_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "inception.pth"
    torch.save({}, path)  # no weights: the network stays as it was made
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_, **__: None)
    extractor = InceptionFeatures(str(path))
    images = torch.randint(256, (2, 3, 28, 28), dtype=torch.uint8)
    assert extractor(images).shape == (2, 2048)
    assert extractor.labels == {"frechet_distance": "FID", "kernel_distance": "KID"}


def test_inception_refuses_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "inception.pth"
    torch.save({"run": Path}, path)
    with pytest.raises(FaceganError, match="does not hold the weights of Inception-v3"):
        InceptionFeatures(str(path))


def test_inception_refuses_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(FaceganError, match=r"inception_weights=.*does not exist"):
        InceptionFeatures(str(tmp_path / "none.pth"))


def test_attribute_coverage_by_hand() -> None:
    real = torch.tensor([[1, 0], [1, 0], [0, 0], [0, 1]], dtype=torch.bool)
    generated = torch.tensor([[0, 1], [1, 1]], dtype=torch.bool)
    under, over = attribute_coverage(real, generated, ("hat", "smile"))
    assert (under.name, under.reference, under.generated) == ("hat", 0.5, 0.5)
    assert (over.name, over.reference, over.generated) == ("smile", 0.25, 1.0)
    assert over.log_ratio == pytest.approx(np.log2((1 + 1 / 4) / (1 / 4 + 1 / 4)))


def test_attributes_that_neither_side_has_are_equally_often() -> None:
    (bald,) = attribute_coverage(torch.zeros(9, 1).bool(), torch.zeros(3, 1).bool(), ("bald",))
    assert bald.log_ratio == 0


def test_the_report_names_the_metrics_that_were_not_measured() -> None:
    measures = {metric: Measure(1.0, None) for metric in METRICS[1:]}
    assert run._unmeasured(measures)["left out"].startswith(METRICS[0].label)
    assert run._unmeasured(dict.fromkeys(METRICS, Measure(1.0, None))) == {}


def test_attribute_coverage_refuses_a_wrong_number_of_columns() -> None:
    with pytest.raises(ValueError, match="one column for each of the 1 names"):
        attribute_coverage(torch.ones(2, 2).bool(), torch.ones(2, 2).bool(), ("hat",))


def compare(fake: Tensor, training: Tensor | None = None) -> Comparison:
    training = normal(800, seed=1) if training is None else training
    photographs = Photographs(normal(500), training)
    return Comparison(photographs, fake, min(len(fake), len(training)))


def by_name(measures: dict[Metric, Measure]) -> dict[str, Measure]:
    return {metric.name: value for metric, value in measures.items()}


def test_names_of_metrics_are_unique() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_real_faces_score_like_the_reference() -> None:
    measures = by_name(measure(compare(normal(800, seed=2))))
    frechet, kernel = measures.pop("frechet_distance"), measures.pop("kernel_distance")
    assert frechet.value == pytest.approx(frechet.reference, rel=0.5)
    assert abs(kernel.value) < 4 * kernel.standard_error
    for value in measures.values():
        assert value.value == pytest.approx(value.reference, abs=0.1)


def test_a_shift_increases_the_distances() -> None:
    measures = by_name(measure(compare(normal(800, 1.0, seed=2))))
    frechet = measures["frechet_distance"]
    assert frechet.value == pytest.approx(8, rel=0.2)  # |shift|², eight dimensions
    assert frechet.low < frechet.value < frechet.high
    assert measures["kernel_distance"].value > 10 * measures["kernel_distance"].reference


def test_the_reference_has_as_many_images_as_there_are_faces() -> None:
    few, many = (by_name(measure(compare(normal(count, seed=2)))) for count in (50, 800))
    assert few["frechet_distance"].reference > 3 * many["frechet_distance"].reference


def test_training_photographs_are_no_reference_for_themselves() -> None:
    faces = Comparison(Photographs(normal(10), normal(300, seed=1)), normal(300, seed=2))
    measures = by_name(measure(faces))
    assert measures["frechet_distance"].reference is None
    assert measures["memorization"].reference == pytest.approx(0.01, abs=0.004)
    table = text_table(measure(faces), "real photographs").splitlines()
    assert table[1].rstrip().endswith("]")
    assert table[-1].endswith(f"{measures['memorization'].reference:.4f}")


def test_copies_of_training_faces_are_memorized() -> None:
    training = normal(300, seed=1)
    comparison = compare(training[[5, 7, 9]] + 0, training)
    metric = next(metric for metric in METRICS if metric.name == "memorization")
    assert metric.value(comparison) == 1.0
    held_out = Comparison(comparison.photographs, comparison.photographs.held_out)
    assert metric.value(held_out) == pytest.approx(0.01)
    pairs = nearest_pairs(comparison)
    assert sorted(pairs.training) == [5, 7, 9]
    assert pairs.distances == [0.0, 0.0, 0.0]


def test_metrics_during_training_need_no_training_photographs() -> None:
    comparison = Comparison(Photographs(normal(100)), normal(100, seed=2))
    assert all(np.isfinite(m.value(comparison)) for m in METRICS if m.during_training)
    with pytest.raises(ValueError, match="needs the features of the training photographs"):
        METRICS[-1].value(comparison)


def test_a_new_metric_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    new = Metric("count", "the <count>", "how many", "higher", lambda faces: len(faces.images))
    monkeypatch.setattr(registry, "METRICS", (new,))
    measures = measure(compare(normal(60, seed=2)))
    assert by_name(measures) == {"count": Measure(60, 800)}
    assert "the <count>" in text_table(measures, "real photographs")
    faces = torch.zeros(2, 3, 28, 28, dtype=torch.uint8)
    page = html_page({}, measures, [], "real photographs", faces, (faces, faces), [0.5, 1.0])
    assert "the &lt;count&gt;" in page
    assert "how many; higher is better" in page


def test_the_table_names_the_reference_and_shows_uncertainty() -> None:
    table = text_table(measure(compare(normal(80, seed=2))), "training images")
    assert len(table.splitlines()) == 1 + len(METRICS)
    assert "training images" in table
    assert "±" in table


@pytest.mark.parametrize(
    ("log_ratio", "left", "width"), [(0, 50, 0), (-1.5, 25, 25), (3, 50, 50), (9, 50, 50)]
)
def test_bar_of_the_coverage_chart(log_ratio: float, left: float, width: float) -> None:
    assert bar(log_ratio) == (left, width)


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
    assert page.count('class="track"') == 40
    assert re.search(r"""(src|href)=["']?https?:""", page) is None  # loads nothing
    assert "training images" in page
    assert "real photographs" not in page
    assert "training images" in result[0].out


def test_a_run_is_evaluated_on_its_own_data_with_changes(
    cli: Cli, compose: Compose, generated_faces: tuple[str, ...], workdir: Path, packed_dir: str
) -> None:
    DCGANGenerator(latent_dim=4, width=8).save_pretrained(workdir / "generator.safetensors")
    data = compose("evaluate", *generated_faces).data
    data.packed_dir = "somewhere/else"
    OmegaConf.save({"data": OmegaConf.to_container(data, resolve=True)}, workdir / "config.yaml")
    result = cli("evaluate", "weights=.", packed_dir, "evaluation.faces=60")
    assert result.code == 0, result.err
    assert "training images" in result.out


def test_evaluate_a_folder_of_images(
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


def test_evaluate_refuses_another_image_size(cli: Cli, small_photos: tuple[str, ...]) -> None:
    result = cli("evaluate", "weights=lite-28", *small_photos, "evaluation.faces=60")
    assert result.code == 2
    assert "makes faces of 28 pixels, the data has 8" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluation.split=train"], "val or test"),
        (["evaluation.faces=10"], "evaluation.faces must be at least 50, got 10"),
        (["evaluation.faces=-5"], "evaluation.faces must be a whole number from 1"),
        (["images=nowhere"], "nowhere does not exist"),
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


def test_results_are_written_before_they_are_printed(
    cli: Cli, generated_faces: tuple[str, ...], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unencodable(*_: object) -> str:
        raise UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)")

    monkeypatch.setattr(run, "text_table", unencodable)
    with pytest.raises(UnicodeEncodeError):
        cli("evaluate", "weights=lite-28", "evaluation.faces=60", "out=report", *generated_faces)
    assert sorted(path.name for path in (workdir / "report").iterdir()) == [
        "evaluation.html",
        "evaluation.json",
    ]


def test_small_splits_have_fewer_metrics(cli: Cli, small_photos: tuple[str, ...]) -> None:
    DCGANGenerator(latent_dim=4, width=8, image_size=8).save_pretrained("w.safetensors")
    result = cli(
        "evaluate", "weights=w.safetensors", "evaluation.faces=60", "out=report", *small_photos
    )
    assert result.code == 0, result.err
    assert "say something with 36 train ones" in result.out
    measures = json.loads(Path("report/evaluation.json").read_text())["measures"]
    assert sorted(measures) == ["kernel_distance", "memorization"]


@pytest.mark.parametrize(
    ("trained", "data", "warned"),
    [
        ("{crop: 108}", "{crop: 148}", True),
        ("{crop: null}", "{crop: 108}", True),
        ("{crop: 108}", "{crop: 108}", False),
        ("{count: 20000}", "{crop: 108}", False),
        ("{crop: null, align: true}", "{crop: 108}", False),
        ("{crop: null, align: wide}", "{crop: 108}", True),
    ],
)
def test_crop_warning(trained: str, data: str, warned: bool, workdir: Path) -> None:
    (workdir / "config.yaml").write_text(f"data: {trained}")
    cfg = OmegaConf.create({"weights": ".", "images": None, "data": OmegaConf.create(data)})
    assert ("set data.crop=" in run.crop_warning(cfg)) == warned


@pytest.mark.parametrize(
    ("weights", "data", "crop", "warned"),
    [
        ("full-64", "celeba", 108, True),
        ("full-64", "celeba", 148, False),
        ("lite-28", "celeba", None, True),
        ("lite-28", "folder", None, False),
    ],
)
def test_crop_warning_of_bundled_weights(
    weights: str, data: str, crop: int | None, warned: bool, compose: Compose
) -> None:
    cfg = compose("evaluate", f"data={data}", f"weights={weights}", "data.root=photos")
    cfg.data.crop = crop
    assert (f"weights={weights} were trained with" in run.crop_warning(cfg)) == warned


@pytest.mark.parametrize("name", bundled())
def test_all_bundled_weights_have_a_crop(name: str) -> None:
    assert bundled_crop(name) in (108, 148)


@pytest.mark.celeba
@pytest.mark.slow
@pytest.mark.parametrize(("image_size", "crop", "accuracy"), [(28, 108, 0.89), (64, 148, 0.895)])
def test_the_bundled_classifier_keeps_its_accuracy(
    image_size: int, crop: int, accuracy: float, celeba_root: Path, tmp_path: Path
) -> None:
    from facegan.data.celeba import CelebA

    source = CelebA(str(celeba_root), str(tmp_path), crop, image_size, verify=False)
    dataset = open_dataset(source.dataset().path)
    extractor = AttributeFeatures(image_size)
    guesses = extractor.has_attributes(extractor(images_of(dataset, dataset.indices("test"))))
    labels = torch.from_numpy(dataset.labels.attributes[dataset.indices("test")])
    assert (guesses == labels).double().mean() > accuracy


@pytest.mark.parametrize(
    ("image_size", "bundled"), [(8, 28), (28, 28), (32, 28), (56, 64), (64, 64), (256, 64)]
)
def test_the_nearest_bundled_classifier_is_used(image_size: int, bundled: int) -> None:
    extractor = AttributeFeatures(image_size)
    assert extractor.network.image_size == bundled
    assert extractor.key.startswith(f"attributes-{bundled}-")


def test_few_photographs_are_compared_with_all_and_the_report_says_so(
    cli: Cli, small_photos: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "faces").mkdir()
    for number, image in enumerate(smooth_images(60, 8)):
        Image.fromarray(image).save(tmp_path / "faces" / f"{number}.png")
    result = cli("evaluate", f"images={tmp_path / 'faces'}", *small_photos, f"out={tmp_path}")
    assert result.code == 0, result.err
    facts = json.loads((tmp_path / "evaluation.json").read_text())["facts"]
    assert facts["against"] == "36 faces of the train split"
    assert "precision" in facts["left out"]
    assert "compared with the 36 training ones" in result.out
