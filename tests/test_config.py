"""Every shipped YAML builds, and what does not is said in words."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Compose
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ValidationError

from facegan.config import CONFIG_PATH, ConfigError, build, help_text, typed
from facegan.data.base import FaceSource
from facegan.errors import FaceganError
from facegan.losses import AdversarialLoss, NonSaturating
from facegan.networks.dcgan import DCGANGenerator
from facegan.penalties import Penalty


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIG_PATH / group).glob("*.yaml"))


GANS = [
    name for name in options("model") if "loss:" in (CONFIG_PATH / f"model/{name}.yaml").read_text()
]


def node(**keys: Any) -> DictConfig:
    return OmegaConf.create(keys)


def loss(**keys: Any) -> DictConfig:
    return node(_target_="facegan.losses.NonSaturating", **keys)


@pytest.mark.parametrize("model", options("model"))
def test_every_model_builds(model: str, compose: Compose) -> None:
    built = build(compose("train", f"model={model}", "data=faces").model, "model")
    assert built.batch_size >= 1


@pytest.mark.parametrize("image_size", [28, 32, 64])
@pytest.mark.parametrize("model", options("model"))
def test_every_model_builds_at_other_sizes(model: str, image_size: int, compose: Compose) -> None:
    cfg = compose("train", f"model={model}", "data=faces", f"data.image_size={image_size}")
    build(cfg.model, "model")


@pytest.mark.parametrize("name", options("model/loss"))
@pytest.mark.parametrize("model", GANS)
def test_every_loss_builds_in_every_gan(name: str, model: str, compose: Compose) -> None:
    cfg = compose("train", f"model={model}", f"model/loss={name}", "data=faces")
    assert isinstance(build(cfg.model.loss, "model.loss"), AdversarialLoss)


@pytest.mark.parametrize("name", options("model/penalty"))
@pytest.mark.parametrize("model", GANS)
def test_every_penalty_builds_in_every_gan(name: str, model: str, compose: Compose) -> None:
    cfg = compose("train", f"model={model}", f"model/penalty={name}", "data=faces")
    assert isinstance(build(cfg.model.penalty, "model.penalty"), Penalty)


@pytest.mark.parametrize("name", options("data"))
def test_every_data_builds(name: str, compose: Compose, photo_folder: Path, tmp_path: Path) -> None:
    DCGANGenerator(latent_dim=4, width=8).save_pretrained(tmp_path / "weights.safetensors")
    needs = {
        "folder": [f"data.root={photo_folder}"],
        "faces": [f"data.weights={tmp_path}/weights.safetensors"],
    }
    cfg = compose("prepare", f"data={name}", *needs.get(name, []))
    source = build(cfg.data, "data")
    assert isinstance(source, FaceSource)
    assert source.image_size == 28


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_builds(name: str, compose: Compose) -> None:
    cfg = compose("train", f"experiment={name}")
    build(cfg.model, "model")


def test_an_unknown_key_is_named_with_its_neighbour() -> None:
    with pytest.raises(
        ConfigError, match=r"^loss\.label_smoothin is no key .*mean label_smoothing\?"
    ):
        build(loss(label_smoothin=0.1), "loss")
    with pytest.raises(
        ConfigError, match=r"^loss\.gamma is no key .*; known keys: label_smoothing"
    ):
        build(loss(gamma=0.1), "loss")


@pytest.mark.parametrize("value", ["abc", [1], {"a": 1}])
def test_an_ill_typed_value_is_named_with_its_key(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^loss\.label_smoothing=.*Value.*"):
        build(loss(label_smoothing=value), "loss")


def test_what_is_nested_is_checked_with_its_full_key(compose: Compose) -> None:
    wrong = compose("train", "model=lite", "data=faces", "model.generator.width=abc")
    with pytest.raises(ConfigError, match=r"^model\.generator\.width=abc: .*Integer"):
        build(wrong.model, "model")
    more = compose("train", "model=lite", "data=faces", "+model.discriminator.widht=3")
    with pytest.raises(ConfigError, match=r"^model\.discriminator\.widht is no key.*width\?"):
        build(more.model, "model")


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^penalty\.gamma has no default and must be set"):
        build(node(_target_="facegan.penalties.R1"), "penalty")


def test_a_refused_value_is_told_in_its_own_words() -> None:
    with pytest.raises(
        ConfigError, match=r"^loss: label_smoothing must lie in \[0, 0\.5\), got 0\.7"
    ):
        build(loss(label_smoothing=0.7), "loss")


def test_an_error_of_ours_comes_through_as_it_is(tmp_path: Path) -> None:
    folder = {"root": f"{tmp_path}/nowhere", "archives": "a", "crop": None, "image_size": 28}
    with pytest.raises(FaceganError, match=r"^data\.root=.* does not exist") as error:
        build(node(_target_="facegan.data.folder.FolderFaces", **folder), "data")
    assert not isinstance(error.value, ConfigError)


def test_extra_objects_reach_the_target() -> None:
    built = build(node(_target_="facegan.losses.NonSaturating"), "loss", label_smoothing=0.25)
    assert isinstance(built, NonSaturating)
    assert built.label_smoothing == 0.25


@dataclass
class Schema:
    seed: int = 0
    resume: str | None = None
    model: Any = None


def test_typed_keeps_what_fits_and_names_what_does_not() -> None:
    cfg = typed(node(seed="7", model={"a": 1}), Schema)
    assert (cfg.seed, cfg.resume, cfg.model.a) == (7, None, 1)
    with pytest.raises(ValidationError) as error:
        typed(node(seed="abc"), Schema)
    assert error.value.full_key == "seed"


def test_help_names_usage_groups_options_and_keys() -> None:
    text = help_text("train", "Train a face GAN.")
    assert text.startswith("Train a face GAN.")
    for group in ("model", "model/loss", "model/penalty", "data", "trainer"):
        assert f"  {group:13} = {', '.join(options(group))}\n" in text
    for key in ("seed: 0", "resume: null", "flip: true"):
        assert key in text


@pytest.mark.parametrize("verb", options("."))
def test_every_verb_has_help_and_a_module(verb: str) -> None:
    assert f"conf/{verb}.yaml" in help_text(verb, "")
    assert (Path(help_text.__code__.co_filename).parent / f"{verb}.py").is_file()
