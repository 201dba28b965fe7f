"""Unhealthy trainings are reported, saved as they were before, and rolled back if that is set."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Cli, logged
from safetensors.torch import load_file

from facegan.gan.module import GAN
from facegan.training.checkpoints import read_checkpoint
from facegan.training.health import UnhealthyError, check_losses, variety

STEPS = 4  # of an epoch


@pytest.fixture
def health(small: tuple[str, ...]) -> tuple[str, ...]:
    return (*small, "trainer.max_epochs=3", "hydra.run.dir=run")


def after_step(monkeypatch: pytest.MonkeyPatch, step: int, change: Any, times: int = 1) -> None:
    """After the update of `step`, `change(module)` is called, in the first `times` processes."""
    training_step = GAN.training_step
    left = [times]

    def corrupted(self: GAN, *arguments: Any) -> Any:
        logs = training_step(self, *arguments)
        if self.images_seen == 8 * step and left[0]:
            left[0] -= 1
            change(self)
        return logs

    monkeypatch.setattr(GAN, "training_step", corrupted)


@torch.no_grad()
def weights_to_nan(module: GAN) -> None:
    next(module.ema.parameters()).view(-1)[0] = float("nan")


def gradients_to_infinity(module: GAN) -> None:
    gradient = next(module.discriminator.parameters()).grad
    assert gradient is not None
    gradient[(0,) * gradient.ndim] = float("inf")


@torch.no_grad()
def collapse(module: GAN) -> None:
    for network in (module.generator, module.ema):
        for weight in network.parameters():
            weight.zero_()


def finite(tensors: dict[str, torch.Tensor]) -> bool:
    return all(tensor.isfinite().all() for tensor in tensors.values())


@pytest.mark.parametrize("change", [weights_to_nan, gradients_to_infinity])
def test_only_finite_weights_are_saved(
    change: Any, cli: Cli, health: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    after_step(monkeypatch, 2 * STEPS, change)  # the last update of the second epoch
    message = cli.refusal("train", *health, "checkpoint.every=0")
    assert "NaN or infinite after 64 images: the training has diverged" in message
    for path in Path("run/checkpoints").iterdir():
        assert finite(read_checkpoint(path)["state_dict"]), path
    assert finite(load_file("run/generator.safetensors"))


def test_a_diverged_training_is_rolled_back_with_lower_rates(
    cli: Cli, health: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    after_step(monkeypatch, 2 * STEPS, weights_to_nan)
    out = cli.ok("train", *health, "health.rollback=true")
    assert "rollback 1 of 3: the run goes back to" in out
    (event,) = json.loads(Path("run/run.json").read_text())["rollbacks"]
    assert event["back_to_images"] == 32
    lines = logged(Path("run"))
    rates = [line["learning_rate/generator"] for line in lines]
    assert rates[3] / rates[4] == pytest.approx(2, rel=0.2)
    assert [line["images"] for line in lines] == list(range(8, 104, 8))
    cli.ok("evaluate", "weights=run", "evaluation.faces=50")
    facts = json.loads(Path("run/evaluation.json").read_text())["facts"]
    assert facts["rollbacks"].startswith("back to 32 images, since the weights")
    assert facts["rollbacks"] in Path("run/evaluation.html").read_text()


def test_rollbacks_are_bounded(
    cli: Cli, health: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    after_step(monkeypatch, 2 * STEPS, weights_to_nan, times=99)
    result = cli("train", *health, "health.rollback=true", "health.max_rollbacks=1")
    assert result.code == 2
    assert result.out.count("the run goes back to") == 1
    assert "the training has diverged" in result.err


def test_a_collapse_is_reported_and_rolled_back(
    cli: Cli, health: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegan.training.health.EARLY", 0)
    monkeypatch.setattr("facegan.training.health.COLLAPSED", 1e-6)
    after_step(monkeypatch, 2 * STEPS, collapse, times=2)
    assert "warning: the generator collapses: after 64 images" in cli.ok("train", *health)
    out = cli.ok("train", *health, "hydra.run.dir=rolled", "health.rollback=true")
    assert "rollback 1 of 3" in out


def test_a_saturated_discriminator_is_reported_once(
    cli: Cli, health: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegan.training.health.SATURATED_IMAGES", 32)
    monkeypatch.setattr("facegan.gan.losses.AdversarialLoss.won_margin", -100.0)
    result = cli("train", *health)
    assert result.out.count("the discriminator has separated real and generated faces") == 1
    assert "warning: for 32 images" in result.out


def test_losses_that_are_not_finite_are_named() -> None:
    with pytest.raises(UnhealthyError, match="G_loss became NaN or infinite after 8 images"):
        check_losses({"D_loss": 0.5, "G_loss": float("nan")}, 8)


def test_variety() -> None:
    features = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    assert variety(features) == pytest.approx(8, rel=0.2)
    assert variety(features[:1].expand(100, -1)) == 0


def test_snapshots_are_weights_like_any_other(
    cli: Cli, health: tuple[str, ...], trained_run: Path
) -> None:
    cli.ok("train", *health, "snapshots.every=20")
    names = {path.name for path in Path("run").glob("generator-*.safetensors")}
    images = (24, 40, 64, 80)  # whole batches after each multiple of 20
    assert names == {f"generator-{number}.safetensors" for number in images}
    cli.ok("sample", "weights=run/generator-64.safetensors", "n=1")
    one, other = (load_file(f"{run}/generator.safetensors") for run in ("run", trained_run))
    assert all(one[name].equal(other[name]) for name in one)


def test_the_rates_of_a_finished_run_stay_unless_the_schedule_restarts(
    cli: Cli, health: tuple[str, ...]
) -> None:
    cli("train", *health, "trainer.max_epochs=2")
    result = cli("train", "resume=run", "trainer.max_epochs=3")
    assert "its learning rates stay at their final values" in result.out
    cli("train", "resume=run", "trainer.max_epochs=4")
    restart = ("trainer.max_epochs=9", "trainer.restart_schedule=true")
    assert "they rise again" in cli("train", "resume=run", *restart).out
    rates = [line["learning_rate/generator"] for line in logged(Path("run"))]
    assert rates[8:16] == pytest.approx([0.3 * rates[0]] * 8)
    assert rates[16] > rates[15]
