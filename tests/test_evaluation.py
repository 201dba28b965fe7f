"""The evaluation as a whole: features, attribute coverage, metrics, report, command."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Cli, Compose, save_photos
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.images import save_grid, to_float
from facegan.core.provenance import Provenance
from facegan.data.celeba import CelebA
from facegan.data.dataset import PackedDataset, open_dataset
from facegan.evaluation import facts, run
from facegan.evaluation import metrics as registry
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
    NearestPairs,
    Photographs,
    measure,
    nearest_pairs,
)
from facegan.evaluation.report import measures_table
from facegan.networks.dcgan import DCGANGenerator


@pytest.mark.parametrize(("shift", "warned"), [(0.0, False), (9.0, True)])
def test_a_precision_that_few_photographs_decide_is_marked(shift: float, warned: bool) -> None:
    warning = facts.precision_warning(measure(compare(normal(500, shift, seed=2))))
    assert ("means little" in warning.get("precision", "")) == warned


@pytest.fixture(scope="module")
def extractor() -> AttributeFeatures:
    return AttributeFeatures()


def normal(count: int, shift: float = 0.0, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(count, 8, generator=stream) + shift


def compare(fake: Tensor, training: Tensor | None = None) -> Comparison:
    training = normal(800, seed=1) if training is None else training
    photographs = Photographs(normal(500), training)
    return Comparison(photographs, fake, min(len(fake), len(training)))


def measures_of(comparison: Comparison) -> dict[str, Measure]:
    return {metric.name: value for metric, value in measure(comparison).items()}


def test_attribute_features_are_the_pooled_last_map(extractor: AttributeFeatures) -> None:
    images = torch.randint(256, (260, 3, 28, 28), dtype=torch.uint8)
    features = extractor(images)
    assert features.shape == (260, 256)
    with torch.inference_mode():
        expected = extractor.network.trunk(to_float(images[:3])).mean(dim=(2, 3))
    torch.testing.assert_close(features[:3], expected, rtol=1e-4, atol=1e-4)
    # they do not depend on the batch
    torch.testing.assert_close(features[255:], extractor(images[255:]), rtol=1e-4, atol=1e-4)


def test_images_of_another_size_are_resized(extractor: AttributeFeatures) -> None:
    small, large = (torch.full((2, 3, n, n), 128, dtype=torch.uint8) for n in (28, 56))
    torch.testing.assert_close(extractor(large), extractor(small), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("image_size", "nearest"), [(8, 28), (28, 28), (32, 28), (56, 64), (64, 64), (256, 64)]
)
def test_the_nearest_bundled_classifier_is_used(image_size: int, nearest: int) -> None:
    assert AttributeFeatures(image_size).key.startswith(f"attributes-{nearest}-")


def test_the_key_depends_on_the_weights(extractor: AttributeFeatures, tmp_path: Path) -> None:
    other = AttributeFeatures()
    assert other.key == extractor.key
    with torch.no_grad():
        other.network.head.bias.add_(1)
    pretrained.save(other.network, tmp_path / "other.safetensors")
    assert AttributeFeatures(weights=tmp_path / "other.safetensors").key != extractor.key


def test_split_features_are_cached(
    dataset: PackedDataset, extractor: AttributeFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = split_features(dataset, "val", extractor)
    torch.testing.assert_close(first, extractor(images_of(dataset, dataset.indices("val"))))
    monkeypatch.setattr(AttributeFeatures, "embed", lambda *_: pytest.fail("computed again"))
    assert torch.equal(split_features(dataset, "val", extractor), first)


def test_inception_has_2048_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "inception.pth"
    torch.save({}, path)  # without weights: the network keeps its initial ones
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_, **__: None)
    extractor = InceptionFeatures(str(path))
    images = torch.randint(256, (2, 3, 28, 28), dtype=torch.uint8)
    assert extractor(images).shape == (2, 2048)
    assert extractor.labels == {"frechet_distance": "FID", "kernel_distance": "KID"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"run": Path}, "Unsupported global|weights_only"),  # a pickle with code
        ({"a": torch.ones(1)}, "Missing key"),  # another network
        (None, "No such file"),
    ],
)
def test_inception_refuses_other_files(content, words: str, tmp_path: Path) -> None:
    path = tmp_path / "inception.pth"
    if content is not None:
        torch.save(content, path)
    with pytest.raises(FaceganError, match=f"(?s)inception.pth: .*({words}).*inception_weights"):
        InceptionFeatures(str(path))


def test_inception_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(FaceganError, match=r"no network.*download https://.*inception_weights"):
        InceptionFeatures()


def test_attribute_coverage_by_hand() -> None:
    real = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]], dtype=torch.bool)
    generated = torch.tensor([[0, 1, 0], [1, 1, 0]], dtype=torch.bool)
    hat, bald, smile = attribute_coverage(real, generated, ("hat", "smile", "bald"))
    assert (hat.name, hat.reference, hat.generated) == ("hat", 0.5, 0.5)
    assert (bald.name, bald.log_ratio) == ("bald", 0)  # on neither side: equally often
    assert (smile.name, smile.reference, smile.generated) == ("smile", 0.25, 1.0)
    assert smile.log_ratio == pytest.approx(np.log2((1 + 1 / 4) / (1 / 4 + 1 / 4)))


def test_real_faces_score_like_the_reference() -> None:
    measures = measures_of(compare(normal(800, seed=2)))
    frechet, kernel = measures.pop("frechet_distance"), measures.pop("kernel_distance")
    assert frechet.value == pytest.approx(frechet.reference, rel=0.5)
    assert abs(kernel.value) < 4 * kernel.standard_error
    for value in measures.values():
        assert value.value == pytest.approx(value.reference, abs=0.1)


def test_a_shift_increases_the_distances() -> None:
    measures = measures_of(compare(normal(800, 1.0, seed=2)))
    frechet = measures["frechet_distance"]
    assert frechet.value == pytest.approx(8, rel=0.2)  # |shift|², eight dimensions
    assert frechet.low < frechet.value < frechet.high
    assert measures["kernel_distance"].value > 10 * measures["kernel_distance"].reference


def test_the_reference_has_as_many_images_as_there_are_faces() -> None:
    few, many = (measures_of(compare(normal(count, seed=2))) for count in (50, 800))
    assert few["frechet_distance"].reference > 3 * many["frechet_distance"].reference


def test_training_photographs_have_no_reference_when_they_are_compared_with() -> None:
    faces = Comparison(Photographs(normal(10), normal(300, seed=1)), normal(300, seed=2))
    measures = measures_of(faces)
    assert measures["frechet_distance"].reference is None
    assert measures["memorization"].reference == pytest.approx(0.01, abs=0.004)
    lines = measures_table(measure(faces), "real photographs").splitlines()
    assert len(lines) == 1 + len(METRICS)
    assert lines[0].split() == ["generated", "uncertainty", "real", "photographs"]
    assert lines[1].rstrip().endswith("]")
    assert "standard error" in lines[2]
    assert lines[-1].rstrip().endswith(f"{measures['memorization'].reference:.4f}")


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


def test_a_new_metric_is_one_entry(dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Metric("count", "the <count>", "how many", "higher", lambda faces: len(faces.images))
    monkeypatch.setattr(registry, "METRICS", (new,))
    measures = measure(compare(normal(60, seed=2)))
    assert measures == {new: Measure(60, 800)}
    assert "the <count>" in measures_table(measures, "real photographs")
    evaluation = run.Evaluation(measures, [], NearestPairs([0], [0], [0.5]))
    faces = torch.zeros(2, 3, 28, 28, dtype=torch.uint8)
    page = run.html_page({}, evaluation, "real photographs", faces, dataset)
    assert "the &lt;count&gt;" in page
    assert "how many; higher is better" in page


def test_evaluate_writes_the_same_numbers_twice(
    cli: Cli, compose: Compose, generated_faces: tuple[str, ...], workdir: Path, packed_dir: str
) -> None:
    DCGANGenerator(latent_dim=4, width=8).save_pretrained(workdir / "generator.safetensors")
    few = "evaluation.faces=60"
    out = cli.ok("evaluate", "weights=generator.safetensors", few, "out=a", *generated_faces)
    assert "training images" in out
    report = json.loads((workdir / "a" / "evaluation.json").read_text())
    assert set(report) == {"facts", "measures", "coverage", "nearest_pairs", "obedience"}
    assert len(report["coverage"]) == 40
    page = (workdir / "a" / "evaluation.html").read_text()
    assert page.count("data:image/png") == 1 + 2 * 12
    assert page.count('class="track"') == 40
    assert re.search(r"""(src|href)=["']?https?:""", page) is None  # loads nothing
    assert "training images" in page
    assert "real photographs" not in page
    # a run is evaluated on its own data, with the overrides of the command line
    data = compose("evaluate", *generated_faces).data
    data.packed_dir = "somewhere/else"
    OmegaConf.save({"data": OmegaConf.to_container(data, resolve=True)}, workdir / "config.yaml")
    cli.ok("evaluate", "weights=.", packed_dir, few)
    again = json.loads((workdir / "evaluation.json").read_text())
    assert again["facts"].pop("weights") != report["facts"].pop("weights")
    assert again == report


def test_a_folder_of_images_is_evaluated_and_written_before_it_is_printed(
    cli: Cli, generated_faces: tuple[str, ...], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 40, 30, 3), dtype=np.uint8)
    Path("images").mkdir()
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(f"images/{number}.png")
    save_grid(torch.zeros(4, 3, 8, 8).byte(), "images/faces-grid.png")
    marked = Provenance("0" * 64, "0,1,2,3")
    save_grid(torch.zeros(4, 3, 8, 8).byte(), "images/renamed.png", facts=marked)
    Image.new("RGB", (28, 28)).save("images/a.jpg")
    monkeypatch.setattr(run, "measures_table", lambda *_: "é".encode("ascii"))
    with pytest.raises(UnicodeEncodeError):
        cli("evaluate", "images=images", *generated_faces)
    out = workdir / "outputs" / "evaluation"
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.html", "evaluation.json"]
    report = json.loads((out / "evaluation.json").read_text())
    assert report["facts"]["faces"] == "61 of 28x28"
    assert report["facts"]["images as read"] == (
        "60 resized to 28x28; 60 not square and cropped; "
        "1 JPEG or the like, whose losses change distances; 2 left out: grids"
    )
    assert report["measures"]["frechet_distance"]["value"] > 50


@pytest.mark.parametrize(
    ("split", "against"), [("train", "36 faces of the train"), ("all", "all 40")]
)
def test_photographs_that_were_seen_give_distances_as_papers_print_them(
    split: str, against: str, cli: Cli, small_photos: tuple[str, ...]
) -> None:
    save_photos(Path("faces"), 60, 8)
    arguments = ("images=faces", f"evaluation.split={split}", "out=report")
    out = cli.ok("evaluate", *arguments, *small_photos)
    report = json.loads(Path("report/evaluation.json").read_text())
    assert report["facts"]["against"].startswith(against)
    assert report["facts"]["photographs"] == "data.crop=null, bicubic and antialiased"
    assert "memorization: only with photographs that no training has seen" in out
    assert list(report["measures"]) == ["kernel_distance"]
    assert report["measures"]["kernel_distance"]["reference"] is None


def test_few_photographs_are_compared_with_all_by_fewer_metrics(
    cli: Cli, small_photos: tuple[str, ...], workdir: Path
) -> None:
    save_photos(workdir / "faces", 60, 8)
    out = cli.ok("evaluate", "images=faces", *small_photos, "out=report")
    assert "compared with the 36 training ones" in out
    assert "only metrics that are meaningful with 36 train ones are shown" in out
    report = json.loads(Path("report/evaluation.json").read_text())
    assert sorted(report["measures"]) == ["kernel_distance", "memorization"]
    assert report["facts"]["against"] == "36 faces of the train split"
    assert report["facts"]["left out"].startswith("Fréchet distance, precision")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["images=faces"], "faces must be at least 50, got 2"),
        (["data.image_size=56", "data.weights=lite-28"], "image_size must be 28"),
        (["weights=full-64"], "makes faces of 64 pixels, the data has 28"),
    ],
)
def test_evaluate_refuses(
    cli: Cli, generated_faces: tuple[str, ...], arguments: list[str], words: str
) -> None:
    save_photos(Path("faces"), 2, 28)
    few = "evaluation.faces=60"
    assert words in cli.refusal("evaluate", "weights=lite-28", *generated_faces, few, *arguments)


@pytest.mark.parametrize(
    ("trained", "data", "warned"),
    [
        ({"crop": 108}, {"crop": 148}, True),
        ({"crop": None}, {"crop": 108}, True),
        ({"crop": 108}, {"crop": 108}, False),
        ({"count": 20000}, {"crop": 108}, False),
        ({"crop": None, "align": True}, {"crop": 108}, False),
        ({"crop": None, "align": "wide"}, {"crop": 108}, True),
    ],
)
def test_crop_warning(trained: dict, data: dict, warned: bool) -> None:
    assert ("set data.crop=" in facts.crop_warning("outputs/latest", trained, data)) == warned


@pytest.mark.parametrize("weights", pretrained.bundled())
def test_bundled_weights_have_a_crop_of_aligned_photographs(weights: str, tmp_path: Path) -> None:
    celeba = CelebA(str(tmp_path), str(tmp_path), 108, 28)
    crop = pretrained.bundled_crop(weights)
    assert crop in (108, 148)
    assert facts.training_data(weights, None, celeba) == {"crop": crop}
    celeba.aligned = False
    assert facts.training_data(weights, None, celeba) == {}


@pytest.mark.celeba
@pytest.mark.slow
@pytest.mark.parametrize(("image_size", "crop", "accuracy"), [(28, 108, 0.89), (64, 148, 0.895)])
def test_the_bundled_classifier_keeps_its_accuracy(
    image_size: int, crop: int, accuracy: float, celeba_root: Path, tmp_path: Path
) -> None:
    source = CelebA(str(celeba_root), str(tmp_path), crop, image_size, verify=False)
    dataset = open_dataset(source.dataset().path)
    extractor = AttributeFeatures(image_size)
    guesses = extractor.has_attributes(extractor(images_of(dataset, dataset.indices("test"))))
    labels = torch.from_numpy(dataset.labels.attributes[dataset.indices("test")])
    assert (guesses == (labels > 0)).double().mean() > accuracy
