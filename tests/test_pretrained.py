"""Weights files: what is saved comes back, and nothing else is accepted or run."""

import json
import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from facegan import Generator, pretrained
from facegan.errors import FaceganError
from facegan.networks.dcgan import DCGANDiscriminator, DCGANGenerator

CONFIG = {"latent_dim": 4, "width": 8, "image_size": 14, "channels": 3, "dropout": 0.1}
TARGET = "facegan.networks.dcgan.DCGANGenerator"


def tiny_generator() -> DCGANGenerator:
    torch.manual_seed(0)
    generator = DCGANGenerator(**CONFIG).to(memory_format=torch.channels_last)
    generator(torch.randn(8, 4))  # running statistics of its own
    return generator


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    tiny_generator().save_pretrained(tmp_path / "faces.safetensors")
    return tmp_path / "faces.safetensors"


def with_config(weights: Path, config: object) -> Path:
    """The same tensors under another config."""
    save_file(load_file(weights), weights, {"config": json.dumps(config)})
    return weights


def refusal(source: Path) -> str:
    with pytest.raises(FaceganError) as error:
        Generator.from_pretrained(source)
    assert str(source) in str(error.value)
    return str(error.value)


def test_round_trip(weights: Path) -> None:
    loaded, generator = Generator.from_pretrained(weights), tiny_generator()
    assert type(loaded) is DCGANGenerator
    assert loaded.config == generator.config
    assert not any(module.training for module in loaded.modules())
    saved = generator.state_dict()
    assert loaded.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items())
    assert torch.equal(loaded.sample(n=3), generator.sample(n=3))


def test_a_run_folder_means_its_generator(tmp_path: Path) -> None:
    generator = tiny_generator()
    generator.save_pretrained(tmp_path / "run" / "generator.safetensors")
    loaded = Generator.from_pretrained(str(tmp_path / "run"))
    assert torch.equal(loaded.sample(n=1), generator.sample(n=1))


def test_about_joins_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "faces.safetensors"
    tiny_generator().save_pretrained(path, about={"images_seen": "640", "config": "mine"})
    metadata = pretrained.metadata(path)
    assert metadata["images_seen"] == "640"
    assert json.loads(metadata["config"])["_target_"] == TARGET


def test_other_networks_are_saved_the_same_way(tmp_path: Path) -> None:
    path, discriminator = tmp_path / "critic.safetensors", DCGANDiscriminator(width=4)
    pretrained.save(discriminator, path)
    assert pretrained.load(path, DCGANDiscriminator).config == discriminator.config


def test_missing(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere.safetensors")
    assert "there is no file" in message
    assert "give a run folder" in message


def test_a_run_folder_without_weights(tmp_path: Path) -> None:
    assert "whose training has finished an epoch" in refusal(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_truncated(weights: Path, kept: float) -> None:
    whole = weights.read_bytes()
    weights.write_bytes(whole[: int(kept * len(whole))])
    assert "is damaged" in refusal(weights)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.trace),))


def test_a_pickle_in_disguise_is_never_opened(tmp_path: Path) -> None:
    for name, dump in (("pt", torch.save), ("pkl", lambda x, p: p.write_bytes(pickle.dumps(x)))):
        path = tmp_path / f"{name}.safetensors"
        dump(Bomb(tmp_path / "boom"), path)
        assert "pickles such as .pt and .ckpt are never loaded" in refusal(path)
    assert not (tmp_path / "boom").exists()


def test_without_metadata(weights: Path) -> None:
    save_file(load_file(weights), weights)
    assert "no facegan config in its metadata" in refusal(weights)


@pytest.mark.parametrize("text", ["{", "[]", '"dcgan"', "null"])
def test_a_config_that_is_none(weights: Path, text: str) -> None:
    save_file(load_file(weights), weights, {"config": text})
    assert "no facegan config in its metadata" in refusal(weights)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.nn.Linear",
        "facegan.gan.GAN",
        "facegan.networks.dcgan.DCGANDiscriminator",
        "facegan.networks.dcgan.nn.Linear",
        "facegan.networks.dcgan.pyramid",
        "facegan.networks.dcgan.LEAK",
        "facegan.networks.dcgan.Missing",
        "facegan.networks.missing.DCGANGenerator",
        "facegan.networks..dcgan.DCGANGenerator",
        "facegan.networks.dcgan.DCGANGenerator\n",
        "",
        None,
        5,
    ],
)
def test_a_file_cannot_choose_what_runs(weights: Path, target: object) -> None:
    message = refusal(with_config(weights, {"_target_": target, **CONFIG}))
    assert f"names {target!r} as its network, which is no Generator" in message


def test_a_config_without_a_target(weights: Path) -> None:
    assert "names None as its network" in refusal(with_config(weights, CONFIG))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 16}, "size mismatch"),
        ({"latent_dim": 5}, "size mismatch"),
        ({"norm": "none"}, "Missing key"),
        ({"depth": 3}, "unexpected keyword argument 'depth'"),
        ({"width": "wide"}, "not supported between"),
        ({"width": None}, "not supported between"),
        ({"norm": "group"}, "norm must be one of"),
        ({"norm": ["batch"]}, "unhashable"),
        ({"image_size": 30}, "image_size must be"),
        ({"image_size": 14.0}, ""),
        ({"dropout": 7}, "dropout probability"),
        ({"channels": -3}, "negative"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(weights: Path, changes: dict, reason: str) -> None:
    message = refusal(with_config(weights, {"_target_": TARGET, **CONFIG, **changes}))
    assert re.search(rf"do not fit the network they name \({TARGET}\): .*{reason}", message, re.S)


def test_an_argument_is_missing(weights: Path) -> None:
    config = {name: value for name, value in CONFIG.items() if name != "width"}
    message = refusal(with_config(weights, {"_target_": TARGET, **config}))
    assert "missing 1 required positional argument: 'width'" in message


def failing_save_file(tensors: dict, path: Path, metadata: dict) -> None:
    Path(path).write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_a_failing_save_leaves_the_old_file(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = weights.read_bytes()
    monkeypatch.setattr(pretrained, "save_file", failing_save_file)
    with pytest.raises(OSError, match="No space left"):
        tiny_generator().save_pretrained(weights)
    assert weights.read_bytes() == old
    assert list(weights.parent.iterdir()) == [weights]


def test_a_failing_first_save_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "save_file", failing_save_file)
    with pytest.raises(OSError, match="No space left"):
        tiny_generator().save_pretrained(tmp_path / "faces.safetensors")
    assert list(tmp_path.iterdir()) == []
