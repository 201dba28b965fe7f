"""The page on GANs agrees with the code: its losses' values, the names of its glossary."""

import re

import pytest
import torch
from conftest import REPOSITORY
from hydra.utils import instantiate
from omegaconf import OmegaConf

from facegan._paths import CONFIG_PATH
from facegan.evaluation.metrics import METRICS
from facegan.training.board import layout

PAGE = (REPOSITORY / "docs" / "gan.md").read_text("utf-8")
LOSSES = sorted(path.stem for path in (CONFIG_PATH / "model/loss").glob("*.yaml"))
PENALTIES = sorted(path.stem for path in (CONFIG_PATH / "model/penalty").glob("*.yaml"))


def cells(first: str) -> list[str]:
    """The other cells of the table row that begins with `first`."""
    row = re.search(rf"^\| {re.escape(first)} \|(.*)\|$", PAGE, re.M)
    assert row, f"docs/gan.md has no row {first}"
    return [cell.strip() for cell in row[1].split("|")]


@pytest.mark.parametrize("name", LOSSES)
def test_values_of_a_loss_that_cannot_separate(name: str) -> None:
    loss = instantiate(OmegaConf.load(CONFIG_PATH / f"model/loss/{name}.yaml"))
    shared = 0.5 if name == "least_squares" else 0.0  # the logit that minimizes D's loss
    logits = torch.full((4,), shared)
    values = loss.discriminator(logits, logits), loss.generator(logits, logits)
    written = [float(value) for value in cells(f"`{name}`")[-1].replace("−", "-").split(",")]
    assert written == pytest.approx([float(value) for value in values], abs=5e-4)


@pytest.mark.parametrize("name", [name for name in PENALTIES if name != "none"])
def test_every_penalty_is_described(name: str) -> None:
    assert len(cells(f"`{name}`")) == 2


@pytest.mark.parametrize("label", [metric.label for metric in METRICS])
def test_the_glossary_has_every_metric(label: str) -> None:
    assert cells(label)


def test_the_glossary_has_every_curve() -> None:
    charts = [*layout()["training"].values(), *layout()["speed"].values()]
    names = {tag.strip("^$") for _, tags in charts for tag in tags}
    assert len(names) > 7
    missing = {name for name in names if name not in PAGE.split("## Glossary")[1]}
    assert missing == set()
