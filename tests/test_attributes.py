"""The attribute classifier: its shift, its network, a training by the command."""

from pathlib import Path

import pytest
import torch

from facegan.core.pretrained import load, metadata
from facegan.networks.attributes import AttributeNetwork
from facegan.training.classifier import shifted


def test_shifted_moves_each_image_by_whole_pixels() -> None:
    images = torch.rand(50, 3, 8, 8)
    padded = torch.nn.functional.pad(images, [2] * 4, mode="reflect")
    moved = shifted(images, 2)
    offsets = set()
    for image, wide in zip(moved, padded, strict=True):
        matches = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(image, wide[:, y : y + 8, x : x + 8])
        ]
        offsets.add(*matches)
    assert len(offsets) > 10  # of 25


def test_no_shift_changes_nothing() -> None:
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(shifted(images, 0), images)


def test_network_shapes_and_config() -> None:
    network = AttributeNetwork(["a", "b"], width=4).eval()
    images = torch.rand(5, 3, 28, 28)
    assert network.features(images).shape == (5, 32)
    assert network(images).shape == (5, 2)
    twin = AttributeNetwork(**network.config)
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin.eval()(images), network(images))


def test_network_without_attributes() -> None:
    with pytest.raises(ValueError, match="at least one attribute"):
        AttributeNetwork([])


def test_the_verb_trains_it(cli, workdir: Path) -> None:
    result = cli(
        "train",
        "model=attributes",
        "model.network.width=2",
        "data=generated",
        "data.count=300",
        "trainer.max_epochs=1",
        "hydra.run.dir=run",
    )
    assert result.code == 0, result.err
    assert "test accuracy" in result.out
    path = workdir / "run" / "attributes.safetensors"
    assert load(path, AttributeNetwork).attributes[0] == "5_o_Clock_Shadow"
    assert "Smiling" in metadata(path)["test_accuracy"]


def test_its_cycle_cannot_be_made_longer(cli, workdir: Path) -> None:
    data = ("data=generated", "data.count=300", "model.network.width=2")
    assert (
        cli("train", "model=attributes", *data, "trainer.max_epochs=1", "hydra.run.dir=run")[0] == 0
    )
    result = cli("train", "resume=run", "trainer.max_epochs=2")
    assert result.code == 2
    assert "trainer.max_epochs=2 with resume: this run's cycle" in result.err
