"""The pages on GANs and on evaluation agree with the code: losses, metrics, curves."""

import re

import pytest
import torch
from conftest import REPOSITORY
from hydra.utils import instantiate
from omegaconf import OmegaConf

from facegan.core.paths import CONFIG_PATH
from facegan.evaluation.metrics import METRICS

PAGE = (REPOSITORY / "docs" / "gan.md").read_text("utf-8")
METRICS_PAGE = (REPOSITORY / "docs" / "evaluation.md").read_text("utf-8")
LOSSES = sorted((CONFIG_PATH / "model/loss").glob("*.yaml"), key=lambda path: path.stem)
PENALTIES = {path.stem for path in (CONFIG_PATH / "model/penalty").glob("*.yaml")} - {"none"}
BEST_LOGITS = {  # they minimize D's loss if all images have the same logit
    "minimax": (0,),
    "non_saturating": (0,),
    "least_squares": (0.5,),
    "hinge": (-1, 0, 1),
    "wasserstein": (-9, 0, 9),
    "relativistic": (-9, 0, 9),
}


def cells(first: str, page: str = PAGE) -> list[str]:
    """The other cells of the table row that begins with `first`."""
    row = re.search(rf"^\| {re.escape(first)} \|(.*)\|$", page, re.M)
    assert row, f"the page has no row {first}"
    return [cell.strip() for cell in row[1].split("|")]


@pytest.mark.parametrize("path", LOSSES, ids=lambda path: path.stem)
def test_values_of_a_loss_that_cannot_separate(path) -> None:
    loss = instantiate(OmegaConf.load(path))
    discriminator, generator = cells(f"`{path.stem}`")[-1].replace("−", "-").split(", ")
    logits = [torch.full((4,), float(logit)) for logit in BEST_LOGITS[path.stem]]
    others = [torch.full((4,), logit / 10) for logit in range(-50, 51)]
    values = [float(loss.discriminator(same, same)) for same in logits]
    values.append(min(float(loss.discriminator(same, same)) for same in others))
    assert values == pytest.approx([float(discriminator)] * len(values), abs=5e-4)
    values = [float(loss.generator(same, same)) for same in logits]
    if generator == "any":
        assert max(values) - min(values) > 10
    else:
        low, _, high = generator.partition(" to ")
        expected = [float(low), float(high or low)]
        assert [min(values), max(values)] == pytest.approx(expected, abs=5e-4)


def test_every_penalty_is_described() -> None:
    assert {len(cells(f"`{name}`")) for name in PENALTIES} == {2}


def test_the_glossary_has_every_metric_and_every_curve() -> None:
    assert all(cells(metric.label, METRICS_PAGE) for metric in METRICS)
    names = "D_loss G_loss D_real_logits D_fake_logits R1 R2 GP images_per_second learning_rate/"
    glossary = PAGE.split("## Glossary")[1]
    assert [name for name in names.split() if name not in glossary] == []
