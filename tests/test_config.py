"""Every shipped YAML builds; unknown keys, types and ranges are refused with the full key."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Compose, compose_config, options
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from facegan.cli.command import format_error
from facegan.cli.config import ConfigError, instantiate, validate
from facegan.cli.help import help_text
from facegan.core.errors import FaceganError
from facegan.core.paths import PACKAGE
from facegan.data.base import FaceSource
from facegan.gan.losses import AdversarialLoss
from facegan.gan.penalties import Penalty
from facegan.networks.dcgan import DCGANGenerator
from facegan.train import TrainConfig
from facegan.training.budget import EpochBudget
from facegan.training.run import build_model, build_schedule


def node(**keys: Any) -> DictConfig:
    return OmegaConf.create(keys)


@pytest.mark.parametrize(
    ("image_size", "generator", "discriminator", "gamma"),
    [
        (28, 96, 64, 0.05),
        (32, 128, 64, 0.05 * (32 / 28) ** 2),
        (56, 128, 32, 0.2),
        (64, 256, 32, 0.05 * (64 / 28) ** 2),
        (128, 512, 32, 0.05 * (128 / 28) ** 2),
    ],
)
def test_lite_follows_the_image_size(
    image_size: int, generator: int, discriminator: int, gamma: float, compose: Compose
) -> None:
    model = compose("train", "model=lite", f"data.image_size={image_size}").model
    assert model.generator.width == generator
    assert model.discriminator.width == discriminator
    assert model.penalty.gamma == pytest.approx(gamma)


@pytest.mark.parametrize("image_size", [28, 128])
@pytest.mark.parametrize("model", options("model"))
def test_every_model_builds(model: str, image_size: int, compose: Compose) -> None:
    cfg = compose("train", f"model={model}", "data=generated", f"data.image_size={image_size}")
    assert build_model(cfg.model).image_shape == (3, image_size, image_size)


@pytest.mark.parametrize("discriminator", options("model/discriminator"))
@pytest.mark.parametrize("generator", options("model/generator"))
def test_a_recipe_builds_with_any_networks(
    generator: str, discriminator: str, compose: Compose
) -> None:
    networks = (f"model/generator={generator}", f"model/discriminator={discriminator}")
    model = build_model(compose("train", "model=lite", *networks, "data=generated").model)
    images = model.generator.eval()(torch.zeros(2, model.generator.latent_dim))
    assert model.discriminator(images).shape == (2,)


def test_every_loss_and_penalty_builds(compose: Compose) -> None:
    for group, kind in (("loss", AdversarialLoss), ("penalty", Penalty)):
        for name in options(f"model/{group}"):
            cfg = compose("train", "model=lite", f"model/{group}={name}", "data=generated")
            assert isinstance(instantiate(cfg.model[group], f"model.{group}"), kind)


# tests/test_hub.py builds "hub", which needs a data set and a cache
@pytest.mark.parametrize("name", sorted({*options("data")} - {"hub"}))
def test_every_data_builds(name: str, compose: Compose, photo_folder: Path, tmp_path: Path) -> None:
    DCGANGenerator(latent_dim=4, width=8).save_pretrained(tmp_path / "weights.safetensors")
    needs = {
        "folder": [f"data.root={photo_folder}"],
        "faces": [f"data.weights={tmp_path}/weights.safetensors"],
    }
    cfg = compose("prepare", f"data={name}", *needs.get(name, []))
    source = instantiate(cfg.data, "data")
    assert isinstance(source, FaceSource)
    assert source.image_size == 28


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_builds(name: str, compose: Compose) -> None:
    cfg = compose("train", f"experiment={name}")
    build_model(cfg.model)


HUGE = str(10**23)
REFUSED: dict[str, dict[str, str]] = {  # what the message names: key -> values
    "must be a whole number": {
        "seed": f"-1 {HUGE}",
        "evaluate_every": "-1",
        "freeze_d": "-1",
        "checkpoint.keep": "0",
        "snapshots.every": "0",
        "health.max_rollbacks": "0",
        "model.batch_size": "0 abc",
        "model.n_critic": f"0 {HUGE}",
        "model.generator.width": f"0 -8 {HUGE} [8] abc",
        "model.generator.latent_dim": f"0 {HUGE}",
        "model.discriminator.max_width": "0 -1",
        "model.discriminator.hidden": f"-1 {HUGE}",
        "model.penalty.interval": f"0 {HUGE}",
        "data.count": f"0 -1 {HUGE} 0.5 nan few",
    },
    "must be a number": {
        "checkpoint.every": "-1 nan",
        "sample_every": "-1",
        "model.ema_halflife": "-1 1e30 nan",
        "model.final_lr_factor": "-1 1e30",
        "model.generator.dropout": "1 -0.5",
        "model.generator.negative_slope": "-0.1 2",
        "model.penalty.gamma": "-1 1e30 nan abc",
        "model.discriminator_optimizer.lr": "0 1e30 nan true",
    },
    "could not be converted": {"seed": "0.5 abc true [1]", "checkpoint.every": "soon"},
    "is not a valid bool": {"loader.flip": "abc"},
    "must be one of": {"model.generator.norm": "layer", "model.lr_schedule": "linear 5"},
    "must be true or false": {"model.discriminator.minibatch_stddev": "2"},
    "must be text": {"model.generator.norm": "5 null"},
    "must be 4·2^k or 7·2^k (28, 32, 56, 64, …), got 29; try 28 or 32": {"data.image_size": "29"},
    "model.generator_optimizer": {"model.generator_optimizer.lr": "-1 fast"},
    "is not": {"checkpoint": "5 null"},  # OmegaConf's words
    "Incompatible value": {"loader.flip": "null", "seed": "null"},
}


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (words, key, value)
        for words, keys in REFUSED.items()
        for key, values in keys.items()
        for value in values.split()
    ],
)
def test_a_value_is_refused_with_its_key_and_rule(
    words: str, key: str, value: str, base: DictConfig
) -> None:
    message = refusal(base, key, value)
    assert words in message
    assert key.rpartition(".")[0] in message


@pytest.fixture(scope="module")
def base() -> DictConfig:
    return compose_config("train", "model=lite", "data=generated")


def refusal(base: DictConfig, key: str, value: str) -> str:
    """The message for `base` with another value, which is parsed as on the command line."""
    cfg = copy.deepcopy(base)
    parsed = OverridesParser.create().parse_override(f"{key}={value}").value()
    OmegaConf.update(cfg, key, parsed, force_add=True)
    with pytest.raises((FaceganError, OmegaConfBaseException)) as error:
        build(cfg)
    return format_error(error.value)


def build(cfg: DictConfig) -> None:
    typed = validate(cfg, TrainConfig)
    instantiate(typed.data, "data")
    build_model(typed.model)
    build_schedule(OmegaConf.to_container(typed, resolve=True), EpochBudget(1))


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("sead", "did you mean seed?"),
        ("loader.flipp", "did you mean flip?"),
        ("model.generator.widht", "did you mean width?"),
        ("model.loss.gamma", "known keys: "),
        ("data.image_sise", "did you mean image_size?"),
    ],
)
def test_an_unknown_key_is_named_with_its_neighbour(key: str, hint: str, base: DictConfig) -> None:
    assert refusal(base, key, "1").startswith(f"{key} is not a key of this config; {hint}")


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^penalty: .*missing .* argument: 'gamma'"):
        instantiate(node(_target_="facegan.gan.penalties.R1"), "penalty")


def test_help_names_usage_groups_options_and_keys() -> None:
    text = help_text("train", "Train a face GAN.")
    assert text.startswith("Train a face GAN.")
    for group in ("model", "model/loss", "model/penalty", "data", "trainer"):
        assert re.search(rf"^  {group} += {', '.join(options(group))}$", text, re.M)
    assert "= debug/batches, debug/overfit_batch, debug/profile, demo" in text
    for key in ("seed: 0", "resume: null", "flip: true"):
        assert key in text


def test_help_explains_the_keys_of_a_chosen_option() -> None:
    text = help_text("train", "", ["data=folder", "model/loss=hinge", "data=none", "seed=1"])
    assert "Keys of data=folder (data.…):" in text
    assert "image_size: 28 # 4·2^k or 7·2^k" in text
    assert "Keys of model/loss=hinge (model.loss.…):" in text
    assert text.count("Keys of") == 2


@pytest.mark.parametrize("name", options("."))
def test_every_command_has_help_and_a_module(name: str) -> None:
    assert f"python -m facegan.{name} --cfg job" in help_text(name, "")
    assert (PACKAGE / f"{name}.py").is_file()
