"""The page on GANs agrees with the code: its losses' values, the names of its glossary."""

import re

import pytest
import torch
from conftest import REPOSITORY
from hydra.utils import instantiate
from omegaconf import OmegaConf

from facegan.core.paths import CONFIG_PATH
from facegan.evaluation.metrics import METRICS
from facegan.training.metrics import layout

PAGE = (REPOSITORY / "docs" / "gan.md").read_text("utf-8")
LOSSES = sorted(path.stem for path in (CONFIG_PATH / "model/loss").glob("*.yaml"))
PENALTIES = sorted(path.stem for path in (CONFIG_PATH / "model/penalty").glob("*.yaml"))


def cells(first: str) -> list[str]:
    """The other cells of the table row that begins with `first`."""
    row = re.search(rf"^\| {re.escape(first)} \|(.*)\|$", PAGE, re.M)
    assert row, f"docs/gan.md has no row {first}"
    return [cell.strip() for cell in row[1].split("|")]


# the logits that minimize D's loss where all images have the same one
BEST_LOGITS = {
    "minimax": (0,),
    "non_saturating": (0,),
    "least_squares": (0.5,),
    "hinge": (-1, 0, 1),
    "wasserstein": (-9, 0, 9),
    "relativistic": (-9, 0, 9),
}


@pytest.mark.parametrize("name", LOSSES)
def test_values_of_a_loss_that_cannot_separate(name: str) -> None:
    loss = instantiate(OmegaConf.load(CONFIG_PATH / f"model/loss/{name}.yaml"))

    def values(logit: float) -> tuple[float, float]:
        logits = torch.full((4,), float(logit))
        return float(loss.discriminator(logits, logits)), float(loss.generator(logits, logits))

    discriminator, generator = cells(f"`{name}`")[-1].replace("−", "-").split(", ")
    least = min(values(logit / 10)[0] for logit in range(-50, 51))
    at_best = [values(logit) for logit in BEST_LOGITS[name]]
    for value in [least, *(value for value, _ in at_best)]:
        assert value == pytest.approx(float(discriminator), abs=5e-4)
    of_generator = [value for _, value in at_best]
    if generator == "any":
        assert max(of_generator) - min(of_generator) > 10
    else:
        written = [float(value) for value in generator.split(" to ")]
        assert [min(of_generator), max(of_generator)] == pytest.approx(
            [written[0], written[-1]], abs=5e-4
        )


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
