"""Every shipped YAML builds, and what does not is said in words."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Compose
from omegaconf import DictConfig, OmegaConf

from facegan.cli.config import ConfigError, instantiate, validate
from facegan.cli.help import help_text
from facegan.core.errors import FaceganError
from facegan.core.paths import CONFIG_PATH, PACKAGE
from facegan.data.base import FaceSource
from facegan.gan.losses import AdversarialLoss, NonSaturating
from facegan.gan.penalties import Penalty
from facegan.networks.dcgan import DCGANGenerator


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIG_PATH / group).glob("[!_]*.yaml"))


def node(**keys: Any) -> DictConfig:
    return OmegaConf.create(keys)


def loss(**keys: Any) -> DictConfig:
    return node(_target_="facegan.gan.losses.NonSaturating", **keys)


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


def test_a_width_on_the_command_line_replaces_the_rule(compose: Compose) -> None:
    cfg = compose("train", "model=lite", "data.image_size=64", "model.generator.width=64")
    assert cfg.model.generator.width == 64


@pytest.mark.parametrize("image_size", [28, 128])
@pytest.mark.parametrize("model", options("model"))
def test_every_model_builds(model: str, image_size: int, compose: Compose) -> None:
    cfg = compose("train", f"model={model}", "data=generated", f"data.image_size={image_size}")
    assert instantiate(cfg.model, "model").image_shape == (3, image_size, image_size)


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
    instantiate(cfg.model, "model")


def test_an_unknown_key_is_named_with_its_neighbour() -> None:
    with pytest.raises(
        ConfigError, match=r"^loss\.label_smoothin is no key .*mean label_smoothing\?"
    ):
        instantiate(loss(label_smoothin=0.1), "loss")
    with pytest.raises(
        ConfigError, match=r"^loss\.gamma is no key .*; known keys: label_smoothing"
    ):
        instantiate(loss(gamma=0.1), "loss")


@pytest.mark.parametrize("value", ["abc", [1], {"a": 1}])
def test_an_ill_typed_value_is_named_with_its_key(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^loss\.label_smoothing must be a number, got"):
        instantiate(loss(label_smoothing=value), "loss")


def test_what_is_nested_is_checked_with_its_full_key(compose: Compose) -> None:
    wrong = compose("train", "model=lite", "data=generated", "model.generator.width=abc")
    with pytest.raises(
        ConfigError, match=r"^model\.generator\.width must be a whole number, got abc"
    ):
        instantiate(wrong.model, "model")
    more = compose("train", "model=lite", "data=generated", "+model.discriminator.widht=3")
    with pytest.raises(ConfigError, match=r"^model\.discriminator\.widht is no key.*width\?"):
        instantiate(more.model, "model")


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^penalty\.gamma has no default and must be set"):
        instantiate(node(_target_="facegan.gan.penalties.R1"), "penalty")


def test_a_refused_value_is_told_in_its_own_words() -> None:
    with pytest.raises(
        ConfigError, match=r"^loss: label_smoothing must lie in \[0, 0\.5\), got 0\.7"
    ):
        instantiate(loss(label_smoothing=0.7), "loss")


def test_an_error_of_ours_comes_through_as_it_is(tmp_path: Path) -> None:
    folder = {"root": f"{tmp_path}/nowhere", "packed_dir": "a", "crop": None, "image_size": 28}
    with pytest.raises(FaceganError, match=r"^data\.root=.* does not exist") as error:
        instantiate(node(_target_="facegan.data.folder.FolderDataset", **folder), "data")
    assert not isinstance(error.value, ConfigError)


def test_extra_objects_reach_the_target() -> None:
    built = instantiate(
        node(_target_="facegan.gan.losses.NonSaturating"), "loss", label_smoothing=0.25
    )
    assert isinstance(built, NonSaturating)
    assert built.label_smoothing == 0.25


@dataclass
class Schema:
    seed: int = 0
    resume: str | None = None
    model: Any = None


def test_typed_keeps_what_fits_and_names_what_does_not() -> None:
    cfg = validate(node(seed="7", model={"a": 1}), Schema)
    assert (cfg.seed, cfg.resume, cfg.model.a) == (7, None, 1)
    with pytest.raises(ConfigError, match=r"^seed must be a whole number, got abc"):
        validate(node(seed="abc"), Schema)
    with pytest.raises(ConfigError, match=r"^model\.gamma must be a number from 0 to 1000000, got"):
        validate(node(model={"gamma": -1}), Schema)
    foreign = {"_target_": "mine.Loss", "gamma": -1}
    assert validate(node(model=foreign), Schema).model.gamma == -1


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
