"""Conditional networks: training, weights files, orders, obedience."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, Cli, compose_config, run_command
from test_gan import SIZE, BareGAN, arguments, equal, faces, weights
from torch import Tensor

from facegan import Generator
from facegan.core import pretrained
from facegan.core.batch import Batch
from facegan.core.errors import NotFoundError
from facegan.data.base import FaceSource
from facegan.data.dataset import PackedDataset
from facegan.data.recorded import source_or_recorded
from facegan.evaluation.distances import kernel_distance
from facegan.evaluation.features import AttributeFeatures
from facegan.evaluation.obedience import (
    balanced_accuracy,
    label_distances,
    linear_probe,
    measure_obedience,
    rarity,
)
from facegan.gan.losses import AdversarialLoss, RelativisticPairing, label_matching
from facegan.gan.penalties import R1
from facegan.networks.base import Discriminator
from facegan.networks.dcgan import DCGANGenerator
from facegan.networks.labels import LabelTable
from facegan.training.initialization import initialize
from facegan.training.run import build_model

LABELS = LabelTable(("Smiling", "Male"), {"+-": 3, "-+": 2, "--": 1}).config
RECIPES = ("dcgan", "lite", "full", "r3gan", "sngan", "wgan_gp", "lsgan")
SMALL = {
    "full": ("model.discriminator.width=4", "model.discriminator.max_width=8"),
    "r3gan": ("model.generator.width=16", "model.discriminator.width=16"),
}


def labelled(count: int = 4) -> Batch:
    signs = torch.tensor([[1, -1], [-1, 1], [0, 0], [-1, -1]], dtype=torch.int8)
    return Batch(faces(count=count).images, signs[:count])


def conditional(**changes: object) -> BareGAN:
    return BareGAN(**arguments(labels=LABELS, **changes))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_can_be_conditional(recipe: str) -> None:
    widths = ("model.generator.width=16", "model.discriminator.width=8")
    cfg = compose_config("train", f"model={recipe}", *SMALL.get(recipe, widths), "model.seed=0")
    gan = build_model(cfg.model, LABELS)
    images = torch.randn(4, *gan.image_shape)
    labels = labelled().attributes.float()
    assert gan.discriminator(images, labels).shape == (4, 4)
    assert gan.critic(images, labels).shape == (4,)
    assert gan.ema.sample(n=3, attributes={"Smiling": 0.5}).shape == (3, *gan.image_shape)


def test_the_logit_is_a_projection() -> None:
    """Miyato and Koyama 2018, eq. 3."""
    network = conditional().discriminator.eval()
    torch.nn.init.normal_(network.embedding.weight)
    images, labels = torch.randn(4, *network.image_shape), labelled().attributes.float()
    features = network.features(images).flatten(1)
    matrix = network.embedding.weight / features.shape[1] ** 0.5
    expected = network(images)[:, None] + torch.einsum("bf,fa,la->bl", features, matrix, labels)
    assert torch.allclose(network(images, labels), expected, atol=1e-5)
    assert torch.equal(network(images, torch.zeros(1, 2))[:, 0], network(images))


def test_label_matching() -> None:
    logits = torch.tensor([[2.0, 1, 2], [5, 5, 0], [-1, -1, -1]])
    pairs = [[0, -1, 0], [0, 0, -5], [0, 0, 0]]  # differences
    expected = sum(math.log1p(math.exp(pair)) for row in pairs for pair in row) / 9
    assert label_matching(logits).item() == pytest.approx(expected)


class Constant(AdversarialLoss):
    """Says nothing of the images."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return 0 * (real_logits + fake_logits).sum()

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        return 0 * fake_logits.sum()


def test_label_matching_alone_teaches_the_discriminator_what_a_label_is() -> None:
    gan = conditional(norm="none", loss=Constant())
    signs = torch.tensor([1, -1] * 4, dtype=torch.int8)
    bright = (128 + 100 * signs.int())[:, None, None, None].expand(-1, 3, SIZE, SIZE)
    batch = Batch(bright.to(torch.uint8), torch.stack([signs, -signs], dim=1))
    first, *_, last = (gan.training_step(batch, 0) for _ in range(100))
    assert first["D_label_matching"].item() == pytest.approx(math.log(2), abs=0.05)
    assert last["D_label_matching"] < 0.7 * first["D_label_matching"]
    assert "D_label_matching" not in BareGAN(**arguments()).training_step(faces(), 0)


def test_a_discriminator_with_a_forward_of_its_own() -> None:
    class Own(Discriminator):
        def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
            return images.mean(dim=(1, 2, 3))

    with pytest.raises(ValueError, match="Own cannot be conditional"):
        Own(14, 3).condition_on(LABELS)


def test_training_changes_both_embeddings_and_is_reproducible() -> None:
    first, second = (conditional(loss=RelativisticPairing(), penalty=R1(1.0)) for _ in range(2))
    before = copy.deepcopy(first)
    for gan in (first, second):
        for _ in range(2):
            gan.training_step(labelled(), 0)
    assert equal(weights(first.generator), weights(second.generator))
    for name in ("generator", "ema", "discriminator"):
        old, new = (getattr(gan, name).embedding.weight for gan in (before, first))
        assert not torch.equal(old, new)


def test_labels_of_some_images_are_dropped() -> None:
    gan = conditional()
    torch.manual_seed(0)
    batch = Batch(faces(count=4).images, torch.ones(5000, 2, dtype=torch.int8))
    labels = gan.labels(batch)
    assert labels is not None
    assert {*labels.unique().tolist()} == {0.0, 1.0}
    assert (labels[:, 0] == 0).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(labels[:, 0], labels[:, 1])


def test_a_weights_file_has_the_labels(tmp_path: Path) -> None:
    gan = conditional()
    gan.generator.eval().save_pretrained(tmp_path / "generator.safetensors")
    pretrained.save(gan.discriminator, tmp_path / "discriminator.safetensors")
    loaded = Generator.from_pretrained(tmp_path / "generator.safetensors")
    assert loaded.labels is not None
    assert loaded.labels.config == LABELS
    order = {"Male": True}
    assert torch.equal(
        loaded.sample(n=5, attributes=order), gan.generator.sample(5, None, 1, order)
    )
    assert not torch.equal(loaded.sample(n=5, attributes=order), loaded.sample(n=5))
    assert torch.equal(loaded.sample(seeds=[3.0]), loaded.sample(n=5)[3:4])
    assert len(loaded.sample(n=0)) == 0
    network = pretrained.load(tmp_path / "discriminator.safetensors", Discriminator)
    assert network.embedding.weight.shape == gan.discriminator.embedding.weight.shape


def test_the_first_step_draws_the_faces_of_init(tmp_path: Path) -> None:
    old = BareGAN(**arguments())
    for network, name in ((old.generator, "generator"), (old.discriminator, "discriminator")):
        pretrained.save(network, tmp_path / f"{name}.safetensors")
    gan = conditional()
    initialize(gan, str(tmp_path), "dcgan")
    expected = Generator.from_pretrained(tmp_path).sample(n=3)
    for attributes in ({}, {"Male": True}):
        assert torch.equal(gan.ema.sample(n=3, attributes=attributes), expected)


def test_labels_of_init_are_found_by_name(tmp_path: Path) -> None:
    old = conditional()
    pretrained.save(old.generator, tmp_path / "generator.safetensors")
    table = LabelTable(("Hat", "Smiling"), {"++": 1}).config
    gan = BareGAN(**arguments(labels=table))
    initialize(gan, str(tmp_path / "generator.safetensors"), "dcgan")
    hat, smiling = gan.generator.embedding.weight.T
    assert torch.equal(smiling, old.generator.embedding.weight[:, 0])
    assert not hat.any()


def test_balanced_accuracy() -> None:
    labels = torch.tensor([[1, 1, 1], [1, -1, 1], [-1, 0, 1], [-1, -1, 1]])
    found = torch.tensor([[1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 0, 0]]).bool()
    assert balanced_accuracy(found, labels).tolist() == [0.75, 0.75, 0.75]


def test_a_linear_probe() -> None:
    torch.manual_seed(0)
    features = torch.randn(500, 8)
    labels = torch.stack([features[:, 0] > 1.5, features[:, 3] + features[:, 4] < 0], dim=1)
    signs = (2 * labels.int() - 1).to(torch.int8)
    signs[::7] = 0  # unknown
    judge = linear_probe(features, signs)
    assert balanced_accuracy(judge(features), 2 * labels.int() - 1).min() > 0.9


def test_obedience_on_labels_that_the_classifier_does_not_know(dataset: PackedDataset) -> None:
    signs = np.where(np.random.default_rng(0).random((40, 2)) < 0.5, 1, -1).astype(np.int8)
    splits = np.zeros(40, dtype=np.uint8)  # no test photographs: the training ones are judged
    labels = replace(dataset.labels, attributes=signs, attribute_names=("a", "b"), splits=splits)
    counts = {**dataset.manifest, "counts": {"train": 40, "val": 0, "test": 0}}
    dataset = replace(dataset, labels=labels, manifest=counts)
    generator = DCGANGenerator(latent_dim=4, width=8, image_size=8)
    generator.condition_on(LabelTable.of(("a", "b"), signs).config)
    extractor = AttributeFeatures(8)
    features = extractor(generator.sample(n=30))
    found = measure_obedience(generator, dataset, range(30), extractor, features)
    assert found is not None
    assert [label.name for label in found.labels] == ["a", "b"]
    assert found.photographs > 0.9  # fitted to these forty


def test_the_distance_of_faces_with_a_label() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(300, 4), torch.randn(200, 4)
    labels = torch.tensor([[1, 1, -1], [-1, 1, 1]]).repeat_interleave(150, dim=0)
    ordered = torch.tensor([[1, -1, -1], [-1, 1, 1]]).repeat_interleave(100, dim=0).float()
    fake[100:, 0] += 1
    first, second, third = label_distances(real, labels, fake, ordered)
    assert first == kernel_distance(real[:150], fake[:100]).value
    assert second == kernel_distance(real, fake[100:]).value > 5 * abs(first)
    assert third == kernel_distance(real[150:], fake[100:]).value
    rare = (torch.arange(200)[:, None] < 40).expand(-1, 3).int()
    assert label_distances(real, labels, fake, rare) == [None, None, None]


def test_rarity() -> None:
    table = LabelTable(**LABELS)
    labels = torch.tensor([[1.0, -1], [-1, -1], [1, 1]])
    assert rarity(table, labels).tolist() == [3, 1, 0]


@pytest.fixture(scope="module")
def run(packed_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional training on generated faces."""
    folder = tmp_path_factory.mktemp("conditional")
    data = ("data=generated", "data.count=1000", "data.attributes=[Male,Smiling]", packed_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        short = ("trainer.max_images=500", "model.conditional=true", "hydra.run.dir=run")
        assert run_command(patch, "train", *TINY, *data, *short) == 0
    return folder / "run"


def test_orders(run: Path, cli: Cli) -> None:
    order = ("sample", f"weights={run}", "n=6", "grid=true", "out=.")
    cli.ok(*order, "attributes=smiling,Male:0.5")
    first = Path("grid.png").read_bytes()
    assert cli("verify", f"weights={run}", "grid.png").out.endswith("the same\n")
    cli.ok(*order, "attributes=-Smiling")
    assert Path("grid.png").read_bytes() != first
    assert "did you mean Smiling?" in cli(*order, "attributes=Smilng").err
    cli.ok(*order, "attributes=-Smiling,Male:0.5", "keep=0.5")
    assert cli("verify", f"weights={run}", "grid.png").out.endswith("the same\n")
    faces = json.loads(Path("manifest.json").read_text())["faces"]
    table = Generator.from_pretrained(run).labels
    labels = table.draw([face["seed"] for face in faces], {"Smiling": 0, "Male": 0.5})
    assert labels.sum(dim=0).tolist() == [0, -6]
    for motion in ("interpolate=1,2", "seeds=7,9"):
        cli.ok(*order[:2], "attributes=Male", motion, "frames=2", "out=.")


def test_an_order_that_the_data_never_shows(run: Path, cli: Cli) -> None:
    generator = Generator.from_pretrained(run)
    assert generator.labels is not None
    table = {**generator.labels.config, "counts": {"+-": 5000, "-+": 1}}
    generator.condition_on(table)
    generator.save_pretrained("rare.safetensors")
    result = cli("sample", "weights=rare.safetensors", "attributes=Male,Smiling", "n=1", "out=.")
    assert result.code == 0
    assert "warning: 0.00% of the training faces have Male,Smiling" in result.err


def test_obedience_is_evaluated(run: Path, cli: Cli) -> None:
    out = cli.ok("evaluate", f"weights={run}", "evaluation.faces=60", "out=.")
    content = json.loads(Path("evaluation.json").read_text())
    names = [label["name"] for label in content["obedience"]["labels"]]
    assert names == ["Male", "Smiling"]
    measure = content["measures"]["obedience"]
    assert 0 <= measure["value"] < measure["reference"] <= 1
    assert "Balanced accuracy of the labels" in out
    assert "Obedience" in Path("evaluation.html").read_text()


def test_a_conditional_run_is_resumed(run: Path, cli: Cli) -> None:
    cli.ok("train", f"resume={run}", "trainer.max_images=600")


def test_the_labels_of_a_run_without_its_photographs(run: Path) -> None:
    def missing() -> FaceSource:
        raise NotFoundError("the photographs are missing")

    dataset = source_or_recorded(missing, None, run).dataset()
    assert dataset.labels.attribute_names == ("Male", "Smiling")
