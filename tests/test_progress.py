"""What a training prints while it runs."""

import threading

import pytest
from conftest import TINY, Cli

from facegan.training import progress

ARGUMENTS = (
    *TINY,
    "model.batch_size=8",
    "trainer.max_epochs=1",
)


def test_a_heartbeat_goes_on_until_it_is_stopped() -> None:
    calls, enough = [], threading.Event()

    def call() -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            enough.set()

    heartbeat = progress.Heartbeat(call, interval=0)
    assert enough.wait(timeout=60)
    heartbeat.stop()
    assert not heartbeat.thread.is_alive()


def test_the_first_steps_give_an_estimate(
    cli: Cli, small_photos: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_ESTIMATE", 0)
    monkeypatch.setattr(progress, "SLOW_SECONDS", 0)
    result = cli("train", *small_photos, *ARGUMENTS)
    assert result.code == 0, result.err
    assert "epoch 1: 32 images, " in result.out
    assert "images/s, about 0 s to epoch 1" in result.out
    assert "model=lite is the recipe for a CPU" not in result.out  # nothing remains


def test_a_long_training_on_a_cpu_names_the_light_recipe(
    cli: Cli, small_photos: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_ESTIMATE", 0)
    monkeypatch.setattr(progress, "SLOW_SECONDS", 0)
    few = "trainer.max_epochs=2"
    result = cli("train", *small_photos, *ARGUMENTS[:-1], few)
    assert "model=lite is the recipe for a CPU" in result.out


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12240, "3.4 h"), (89, "89 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert progress.format_duration(seconds) == text


def test_lines_are_folded_between_values(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    text = progress.fold(["epoch 1: 1,024 images", "D_loss 0.123", "D_real_logits-mean 1e-05"])
    assert text == "epoch 1: 1,024 images\n  D_loss 0.123\n  D_real_logits-mean 1e-05"


def test_lines_hold_as_many_values_as_fit(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert progress.fold(["a 1", "b 2", "c" * 24]) == "a 1  b 2\n  " + "c" * 24
