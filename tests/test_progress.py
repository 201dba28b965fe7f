"""What a training prints while it runs."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from conftest import Cli

from facegan.training import progress
from facegan.training.budget import Budget, EpochBudget, ImageBudget, TimeBudget
from facegan.training.progress import too_short


def test_the_first_steps_give_an_estimate(
    cli: Cli, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_ESTIMATE", 0)
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0)
    result = cli("train", *small, "trainer.max_epochs=1")
    assert result.code == 0, result.err
    assert "warning: about 32 images are too few" in result.out
    assert "epoch 1: 24 images, " in result.out
    assert "epoch 1: 32 images, " in result.out
    assert "images/s, about 0 s to epoch 1" in result.out


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12240, "3.4 h"), (89, "89 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert progress.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("budget", "total", "size", "init", "faster", "remedy"),
    [
        (EpochBudget(2), 5_000, 28, False, False, "trainer.max_epochs=8 would do"),
        (EpochBudget(2), 10_000, 28, True, False, ""),
        (ImageBudget(30_000), 30_000, 56, False, False, "=80000 would do, or data.image_size=32"),
        (TimeBudget(timedelta(minutes=10)), 8_000, 56, True, True, "00:50:00 would do, or data"),
        (
            TimeBudget(timedelta(minutes=1)),
            32,
            128,
            False,
            True,
            "trainer.max_time=217:42:00 would",
        ),
    ],
)
def test_a_budget_that_is_too_short_for_faces(
    budget: Budget, total: int, size: int, init: bool, faster: bool, remedy: str
) -> None:
    text = too_short(budget, total, size, init, faster)
    assert remedy in text
    assert bool(remedy) == bool(text)


@pytest.mark.parametrize(
    ("load", "threads", "warns"), [(3, 2, True), (0.4, 2, False), (3, 1, False)]
)
def test_busy_cores(
    load: float,
    threads: int,
    warns: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0, 0))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    progress.warn_of_busy_cores()
    assert ("OMP_NUM_THREADS=1" in capsys.readouterr().out) == warns


def test_the_estimate_counts_what_comes_between_epochs() -> None:
    eta = progress.ETA(EpochBudget(3), False, lambda trainer: 40.0)
    trainer = SimpleNamespace(num_training_batches=10)
    gan = SimpleNamespace(images_seen=80, batch_size=8)  # one of three epochs of 80 images is over
    assert eta._seconds_left(trainer, gan, speed=16.0) == 160 / 16 + 2 * 40
    eta.ends = [10.0, 30.0]
    assert eta._seconds_left(trainer, gan, speed=16.0) == 160 / 16 + 2 * 20
    gan.images_seen = 248  # the last batch goes beyond the budget
    assert eta._seconds_left(trainer, gan, speed=16.0) == 0
