"""The attribute network, and benchmarks/attributes.py, which trains it."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ATTRIBUTES, REPOSITORY

from facegan.core.pretrained import load, metadata
from facegan.networks.attributes import AttributeNetwork


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module("attributes")


def test_shifted_moves_each_image_by_whole_pixels(script: Any) -> None:
    images = torch.rand(50, 3, 8, 8)
    padded = torch.nn.functional.pad(images, [2] * 4, mode="reflect")
    offsets = set()
    for image, wide in zip(script.shifted(images, 2), padded, strict=True):
        matches = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(image, wide[:, y : y + 8, x : x + 8])
        ]
        offsets.add(*matches)
    assert len(offsets) > 10  # of 25
    assert torch.equal(script.shifted(images, 0), images)


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


def test_the_script_trains_a_classifier(
    script: Any, workdir: Path, packed_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "SETTINGS", {28: (2, 2, 1)})
    script.main(["data=generated", "data.count=300", packed_dir])
    path = Path("attributes.safetensors")
    assert load(path, AttributeNetwork).attributes == ATTRIBUTES
    assert "Smiling" in metadata(path)["test_accuracy"]
