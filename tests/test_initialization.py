"""A training that starts from weights: what fits, what is frozen, what is printed."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY, Cli, save_photos
from safetensors.torch import load_file

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.networks.base import Discriminator, Generator
from facegan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from facegan.networks.magnitude import MPConv2d, MPDiscriminator, MPLinear
from facegan.networks.residual import ResidualDiscriminator
from facegan.train import complete
from facegan.training.initialization import copy_fitting, freeze_layers, initialize
from facegan.training.run import build_model

SHORT = ("trainer.max_epochs=1", "+trainer.limit_train_batches=1", "model.batch_size=16")


def test_tensors_of_another_shape_are_left() -> None:
    source, target = (DCGANGenerator(latent_dim=4, width=16, image_size=s) for s in (28, 14))
    before = target.layers[0].weight.clone()
    fitting = copy_fitting(target, source.state_dict())
    assert {"layers.0.weight", "layers.6.weight"} <= set(fitting)
    assert torch.equal(target.layers[0].weight, source.layers[0].weight)
    assert not torch.equal(target.layers[0].weight, before)
    shapes = {name: tensor.shape for name, tensor in source.state_dict().items()}
    for name in set(target.state_dict()) - set(fitting):
        assert shapes.get(name) != target.state_dict()[name].shape


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize(
    ("network", "kinds"),
    [
        (DCGANDiscriminator(width=4), torch.nn.Conv2d),
        (DCGANDiscriminator(width=4, spectral_norm=True), torch.nn.Conv2d),
        (ResidualDiscriminator(width=16, blocks=1), (torch.nn.Conv2d, torch.nn.Linear)),
        (MPDiscriminator(width=4, max_width=8, hidden=8), (MPConv2d, MPLinear)),
    ],
    ids=["dcgan", "spectral norm", "residual", "magnitude-preserving"],
)
def test_the_first_layers_are_frozen(network: torch.nn.Module, kinds: Any, count: int) -> None:
    network = copy.deepcopy(network)
    freeze_layers(network, count)
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    trained = [all(p.requires_grad for p in layer.parameters()) for layer in layers]
    assert trained == [number >= count for number in range(len(layers))]


def test_the_last_layer_cannot_be_frozen() -> None:
    with pytest.raises(FaceganError, match="freeze_d=4: the discriminator has 4 layers"):
        freeze_layers(DCGANDiscriminator(width=4), 4)


@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        (["init=lite-28"], ["model=lite"]),
        (["init=dcgan-28", "seed=1"], ["model=dcgan"]),
        (["init=lite-28", "model=full"], []),
        (["init=lite-28", "experiment=demo"], []),
        (["init=null"], []),
        (["seed=1"], []),
    ],
)
def test_the_recipe_follows_the_weights(arguments: list[str], added: list[str]) -> None:
    assert complete(arguments) == [*arguments, *added]


def test_a_run_starts_from_another(cli: Cli, small: tuple[str, ...], trained_run: Path) -> None:
    Path("outputs").mkdir(exist_ok=True)
    Path("outputs/latest").symlink_to(trained_run)  # then at the second run
    arguments = ("hydra.run.dir=second", "init=outputs/latest", "freeze_d=1")
    out = cli.ok("train", *small, *SHORT[:2], *arguments)
    assert "init: discriminator of" in out
    assert "start from random" not in out
    first, second = (load_file(f"{r}/discriminator.safetensors") for r in (trained_run, "second"))
    equal = [name for name in first if torch.equal(first[name], second[name])]
    assert {"layers.0.weight", "layers.0.bias"} <= set(equal) != set(first)
    assert pretrained.metadata("second")["recipe"] == "lite"


def test_aligned_photographs_get_the_crop_of_the_weights() -> None:
    arguments = ["model=full", "init=full-64", "data.align=true"]
    assert complete(arguments) == [*arguments, "data.crop=148"]
    assert complete(arguments[:2]) == arguments[:2]
    with pytest.raises(FaceganError, match=r"trained with data\.crop=148: leave"):
        complete([*arguments, "data.crop=108"])


def test_the_terms_of_the_weights_are_inherited(cli: Cli, small_photos: tuple[str, ...]) -> None:
    save_photos(Path("photos"), 40, 28)
    data = (*small_photos, "data.root=photos", "data.image_size=28")
    arguments = ("trainer.accelerator=cpu", "hydra.run.dir=run", "evaluate_every=0")
    out = cli.ok("train", *data, *SHORT, *arguments, "init=lite-28")
    assert "NonCommercial" in pretrained.metadata("run")["license"]
    # lite-28 is older than lite's ReLUs
    assert "model.generator.negative_slope=0.2 keeps its activations" in out


def test_weights_with_the_same_activations_need_no_remark(
    compose: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    slope = "model.generator.negative_slope=0.2"
    gan = build_model(compose("train", "model=lite", "data.image_size=28", slope).model)
    initialize(gan, "lite-28", "lite")
    out = capsys.readouterr().out
    assert "tensors are used" in out
    assert "negative_slope" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("init=nowhere",), "there is no file"),
        (("init=dcgan-28", "model.generator.latent_dim=4"), "no layer of its generator fits"),
    ],
)
def test_what_cannot_be_started_from(
    arguments: tuple[str, ...], message: str, cli: Cli, small_photos: tuple[str, ...]
) -> None:
    refusal = cli.refusal("train", *TINY, *SHORT, *small_photos, "hydra.run.dir=run", *arguments)
    assert message in refusal
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ["full-28", "full-64"])
def test_bundled_generators_have_a_discriminator(name: str) -> None:
    path = pretrained.find_discriminator(name)
    assert path is not None
    assert path.stat().st_size < 8_000_000
    discriminator = pretrained.load(path, Discriminator)
    generator = Generator.from_pretrained(name)
    with torch.no_grad():
        logits = discriminator(generator(torch.zeros(8, generator.latent_dim)))
    assert logits.isfinite().all()
