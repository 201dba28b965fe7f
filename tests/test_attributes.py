"""The attribute classifier: its shift, its network, a training by the command."""

from pathlib import Path

import pytest
import torch
from conftest import Cli

from facegan.core.pretrained import load, metadata
from facegan.networks.attributes import AttributeNetwork
from facegan.training.classifier import shifted


def test_shifted_moves_each_image_by_whole_pixels() -> None:
    images = torch.rand(50, 3, 8, 8)
    assert torch.equal(shifted(images, 0), images)
    padded = torch.nn.functional.pad(images, [2] * 4, mode="reflect")
    offsets = set()
    for image, wide in zip(shifted(images, 2), padded, strict=True):
        crops = wide.unfold(1, 8, 1).unfold(2, 8, 1)  # (3, 5, 5, 8, 8)
        equal = (crops == image[:, None, None]).all(dim=(0, 3, 4))
        assert equal.sum() == 1
        offsets.update(map(tuple, equal.nonzero().tolist()))
    assert len(offsets) > 10  # of 25


def test_network_shapes_and_config() -> None:
    network = AttributeNetwork(["a", "b"], width=4).eval()
    images = torch.rand(5, 3, 28, 28)
    assert network.features(images).shape == (5, 32)
    assert network(images).shape == (5, 2)
    twin = AttributeNetwork(**network.config)
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin.eval()(images), network(images))


def test_a_network_needs_an_attribute() -> None:
    with pytest.raises(ValueError, match="at least one attribute"):
        AttributeNetwork([])


def test_train_fits_it_and_cannot_lengthen_its_cycle(cli: Cli, workdir: Path) -> None:
    data = ("data=generated", "data.count=300", "model.network.width=2")
    run = ("train", "model=attributes", *data, "trainer.max_epochs=1", "hydra.run.dir=run")
    result = cli(*run)
    assert result.code == 0, result.err
    assert "test accuracy" in result.out
    path = workdir / "run" / "attributes.safetensors"
    assert load(path, AttributeNetwork).attributes[0] == "5_o_Clock_Shadow"
    assert "Smiling" in metadata(path)["test_accuracy"]
    result = cli("train", "resume=run", "trainer.max_epochs=2")
    assert result.code == 2
    assert "trainer.max_epochs=2 with resume: this run's cycle" in result.err
