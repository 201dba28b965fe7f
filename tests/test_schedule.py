"""Budgets in epochs, images or time, and the learning rates over them."""

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import Cli

from facegan.training.budget import (
    GIF_SECONDS,
    MARGIN,
    PYTHON,
    EpochBudget,
    ImageBudget,
    TimeBudget,
)
from facegan.training.build import parse_duration
from facegan.training.schedule import LearningRateSchedule, cooldown, cosine_decay


def test_cosine_decay() -> None:
    assert cosine_decay(0, 0.1) == 1
    assert cosine_decay(0.5, 0.1) == pytest.approx(0.55)
    assert cosine_decay(1, 0.1) == pytest.approx(0.1)
    assert cosine_decay(0.3, 1) == 1


def test_cooldown() -> None:
    assert [cooldown(progress, 0.1) for progress in (0, 0.5, 0.7)] == [1, 1, 1]
    assert cooldown(0.85, 0.1) == pytest.approx(0.55)  # halfway down
    assert cooldown(1, 0.1) == pytest.approx(0.1)
    assert cooldown(0.9, 1) == 1
    final = 0.3 * 0.2 / 0.7  # proportional to the start
    assert cooldown(0.6, 0.3, start=0.2) == pytest.approx((1 + final) / 2)
    assert cooldown(1, 0.3, start=0.2) == pytest.approx(final)


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:10", 10), ("12:00:00", 43200), ("1:00:00:01", 86401)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["soon", "00:00:00", "10", "1:1:1", f"{'9' * 20}:00:00"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must read HH:MM:SS"):
        parse_duration(text)


def trainer_at(epoch: int) -> SimpleNamespace:
    return SimpleNamespace(current_epoch=epoch, num_training_batches=10, should_stop=False)


def module(images_seen: int) -> SimpleNamespace:
    return SimpleNamespace(images_seen=images_seen, batch_size=32)


def test_progress_by_epochs() -> None:
    budget = EpochBudget(4)
    assert budget.progress(trainer_at(0), module(0), 0) == 0
    assert budget.progress(trainer_at(1), module(0), 5) == pytest.approx(1.5 / 4)
    assert budget.progress(trainer_at(3), module(0), 10) == 1
    assert budget.total_images(trainer_at(0), module(0)) == 4 * 10 * 32


def test_progress_by_images() -> None:
    budget = ImageBudget(1000)
    assert budget.progress(trainer_at(7), module(0), 3) == 0
    assert budget.progress(trainer_at(7), module(250), 3) == pytest.approx(0.25)
    assert budget.progress(trainer_at(7), module(1024), 3) == 1
    assert budget.total_images(trainer_at(0), module(0)) == 1000


def test_progress_by_time_includes_earlier_processes() -> None:
    for earlier, progress in ((25.0, 0.25), (250.0, 1)):
        budget = TimeBudget(timedelta(seconds=100 + PYTHON))
        budget.load_state_dict({"elapsed": earlier, "reserve": None})
        assert budget.progress(trainer_at(7), module(0), 3) == pytest.approx(progress, rel=1e-3)
    assert budget.total_images(trainer_at(0), module(0)) is None


def test_a_budget_of_time_leaves_room_for_the_last_evaluation_and_the_gif() -> None:
    budget, trainer = TimeBudget(timedelta(seconds=100), 0, lambda _: 20.0 / MARGIN), trainer_at(99)
    budget.on_train_epoch_start(trainer, None)
    usable = 100 - 20 - PYTHON - 100 * GIF_SECONDS
    for earlier, stops in ((usable - 1, False), (usable, True)):
        budget.load_state_dict({"elapsed": earlier, "reserve": None})
        budget.on_train_batch_end(trainer, None)
        assert trainer.should_stop is stops
    assert budget.progress(trainer, module(0), 3) == 1
    assert budget.state_dict()["reserve"] == pytest.approx(20)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [50.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_budget_of_time_counts_the_start_but_not_pauses(now: list[float]) -> None:
    budget = TimeBudget(timedelta(seconds=100), startup=4.0)
    now[0] += 1
    with budget.paused():
        now[0] += 60
    assert budget.seconds() == 5


def test_a_rollback_does_not_give_time_back(now: list[float]) -> None:
    budget, saved = TimeBudget(timedelta(seconds=100)), {"elapsed": 30.0, "reserve": 2.0}
    budget.load_state_dict(saved)
    budget.on_train_start(trainer_at(7), None)
    now[0] += 20
    budget.load_state_dict(saved)
    budget.on_train_start(trainer_at(7), None)
    assert budget.seconds() == 50


@pytest.mark.parametrize(("earlier", "stops"), [(58.0, False), (61.0, True)])
def test_no_epoch_begins_whose_end_does_not_fit(earlier: float, stops: bool) -> None:
    budget, trainer = TimeBudget(timedelta(seconds=103)), trainer_at(7)
    budget.load_state_dict({"elapsed": earlier, "reserve": 20.0})
    budget.on_train_epoch_end(trainer, None)
    assert trainer.should_stop is stops
    assert (budget.progress(trainer, module(0), 0) == 1) is stops


def test_the_longest_end_of_an_epoch_is_reserved(now: list[float]) -> None:
    budget, trainer = TimeBudget(timedelta(seconds=100)), trainer_at(0)
    for seconds in (3.0, 8.0, 1.0):  # an evaluation after every second epoch
        budget.on_train_epoch_start(trainer, None)
        budget.on_train_epoch_end(trainer, None)
        now[0] += seconds
    budget.on_train_epoch_start(trainer, None)
    assert budget.reserve == 8


@pytest.mark.parametrize(
    ("schedule", "images_seen", "warmup", "factor"),
    [
        ("cosine", 500, 0, 0.6),
        ("cosine", 1000, 0, 0.2),
        ("cooldown", 500, 0, 1),
        ("cooldown", 850, 0, 0.6),
        ("cooldown", 500, 1064, 0.5),  # after the step, of 32 images, it is half over
    ],
)
def test_every_parameter_group_follows_the_schedule(
    schedule: str, images_seen: int, warmup: int, factor: float
) -> None:
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr, "initial_lr": lr}
        for lr in (1.0, 0.5)
    ]
    optimizer = torch.optim.SGD(groups)
    gan = SimpleNamespace(optimizer_by_name={"generator": optimizer}, **vars(module(images_seen)))
    rates = {"warmup": warmup, "lr_schedule": schedule, "final_lr_factor": 0.2}
    callback = LearningRateSchedule(ImageBudget(1000), **rates)
    callback.on_train_batch_start(trainer_at(0), gan, None, 0)
    found = [group["lr"] for group in optimizer.param_groups]
    assert found == pytest.approx([factor, factor / 2])


@pytest.mark.parametrize(("after", "start"), [(250, 0.25), (900, 0.7), (None, 0.7)])
def test_the_cooldown_starts_after_so_many_images(after: int | None, start: float) -> None:
    schedule = LearningRateSchedule(
        ImageBudget(1000), lr_schedule="cooldown", final_lr_factor=0.3, cooldown_after=after
    )
    factors = {images: schedule.factor(images / 1000, images) for images in range(0, 1001, 10)}
    resumed = LearningRateSchedule(ImageBudget(1000), lr_schedule="cooldown", final_lr_factor=0.3)
    resumed.load_state_dict(schedule.state_dict())
    assert resumed.factor(0.8, 800) == factors[800]
    for images, factor in factors.items():
        assert factor == pytest.approx(cooldown(images / 1000, 0.3, start), abs=0.02)


def test_a_training_of_so_many_images(cli: Cli, small: tuple[str, ...]) -> None:
    rates = ("model.discriminator_optimizer.lr=1e-3", "model.final_lr_factor=0.1")
    result = cli("train", *small, "trainer.max_images=100", *rates, "hydra.run.dir=run")
    assert result.code == 0, result.err

    def lines() -> list[dict[str, float]]:
        return [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]

    assert [line["images"] for line in lines()] == list(range(8, 105, 8))  # whole batches
    for line in lines():
        rate = 1e-3 * cooldown((line["images"] - 8) / 100, 0.1)  # before the batch
        assert line["learning_rate/discriminator"] == pytest.approx(rate)
    assert cli("train", "resume=run").code == 0  # nothing is left to do
    assert lines()[-1]["images"] == 104
    cli.ok("train", "resume=run", "trainer.max_images=150")
    assert lines()[-1]["images"] == 152
