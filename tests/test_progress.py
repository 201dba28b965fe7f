"""What a training prints while it runs."""

from types import SimpleNamespace

import pytest
from conftest import Cli

from facegan.training import progress
from facegan.training.schedule import ImageBudget


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
    ("total", "size", "init", "remedy"),
    [
        (5_000, 28, False, "need 20,000: give 4.0 times the budget"),
        (10_000, 28, True, ""),
        (30_000, 56, False, "faces of 56x56 pixels, which need 80,000: give 2.7 times"),
    ],
)
def test_a_budget_that_is_too_short_for_faces(
    total: int, size: int, init: bool, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    eta = progress.ETA(ImageBudget(total), init)
    gan = SimpleNamespace(images_seen=0, image_shape=(3, size, size))
    eta.on_train_start(None, gan)
    eta._warn(gan, total)
    out = capsys.readouterr().out
    assert remedy in out
    assert out.count("warning") == bool(remedy)


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


def test_the_remaining_time_is_extrapolated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    eta = progress.ETA(ImageBudget(40_000), False)
    gan = SimpleNamespace(images_seen=0, image_shape=(3, 28, 28))
    trainer = SimpleNamespace(current_epoch=0, progress_bar_callback=None)
    eta.on_train_start(trainer, gan)
    for now[0], gan.images_seen in ((0.0, 10_000), (4.0, 10_400), (100.0, 20_000)):
        eta.on_train_batch_end(trainer, gan, None, None, 0)
    assert capsys.readouterr().out == (
        "epoch 1: 20,000 images, 100 images/s, about 3 min to 40,000 images\n"
    )
