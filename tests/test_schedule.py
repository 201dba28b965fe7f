"""Budgets in epochs, images or time, and the learning rates over them."""

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY, Cli

from facegan.training.schedule import (
    MARGIN,
    PYTHON,
    EpochBudget,
    ImageBudget,
    LearningRateSchedule,
    TimeBudget,
    cooldown,
    cosine_decay,
)

ARGUMENTS = (
    *TINY,
    "model.batch_size=32",
    "model.discriminator_optimizer.lr=1e-3",
    "evaluate_every=0",
)


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


def trainer_at(epoch: int) -> SimpleNamespace:
    return SimpleNamespace(current_epoch=epoch, num_training_batches=10, progress_bar_callback=None)


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


def test_progress_by_time_includes_earlier_tries() -> None:
    for earlier, progress in ((25.0, 0.25), (250.0, 1)):
        budget = TimeBudget(timedelta(seconds=100 + PYTHON))
        budget.load_state_dict({"elapsed": earlier, "reserve": None})
        assert budget.progress(trainer_at(7), module(0), 3) == pytest.approx(progress, rel=1e-3)
    assert budget.total_images(trainer_at(0), module(0)) is None


def test_a_budget_of_time_leaves_room_for_the_last_evaluation() -> None:
    budget, trainer = TimeBudget(timedelta(seconds=100)), trainer_at(7)
    budget.rehearse, budget.finish = lambda: 20.0 / MARGIN, lambda epochs: epochs - 1.0
    trainer.should_stop = False
    for earlier, stops in ((68.0, False), (70.5, True)):
        budget.load_state_dict({"elapsed": earlier, "reserve": None})
        budget.after_epochs = budget.finish(8)
        budget.on_train_batch_end(trainer, None)
        assert trainer.should_stop is stops
    assert budget.progress(trainer, module(0), 3) == 1
    assert budget.state_dict()["reserve"] == pytest.approx(20)


def test_a_budget_of_time_counts_the_start_but_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    budget = TimeBudget(timedelta(seconds=100), startup=4.0)
    now[0] += 1
    with budget.paused():
        now[0] += 60
    assert budget.seconds() == 5


def test_a_rollback_gives_no_time_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    budget, saved = TimeBudget(timedelta(seconds=100)), {"elapsed": 30.0, "reserve": 2.0}
    budget.load_state_dict(saved)
    trainer = trainer_at(7)
    budget.on_train_start(trainer, None)
    now[0] += 20
    budget.load_state_dict(saved)
    budget.on_train_start(trainer_at(7), None)
    assert budget.seconds() == 50


def test_no_epoch_begins_whose_end_has_no_room() -> None:
    for earlier, stops in ((58.0, False), (61.0, True)):
        budget, trainer = TimeBudget(timedelta(seconds=103)), trainer_at(7)
        trainer.should_stop = False
        budget.load_state_dict({"elapsed": earlier, "reserve": 20.0})
        budget.on_train_epoch_end(trainer, None)
        assert trainer.should_stop is stops
        assert (budget.progress(trainer, module(0), 0) == 1) is stops


def test_the_longest_end_of_an_epoch_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    budget = TimeBudget(timedelta(seconds=100))
    trainer = trainer_at(0)
    for seconds in (3.0, 8.0, 1.0):  # an evaluation after every second epoch
        budget.on_train_epoch_start(trainer, None)
        budget.on_train_epoch_end(trainer, None)
        now[0] += seconds
    budget.on_train_epoch_start(trainer, None)
    assert budget.reserve == 8


def test_the_step_that_would_end_too_late_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    now, trainer = [0.0], trainer_at(0)
    trainer.should_stop = False
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    budget = TimeBudget(timedelta(seconds=100))
    for _ in range(3):
        now[0] += 30
        assert not trainer.should_stop
        budget.on_train_batch_end(trainer, None)
    assert trainer.should_stop


@pytest.mark.parametrize(
    ("schedule", "images_seen", "factor"),
    [("cosine", 500, 0.6), ("cosine", 1000, 0.2), ("cooldown", 500, 1), ("cooldown", 850, 0.6)],
)
def test_every_parameter_group_follows_the_schedule(
    schedule: str, images_seen: int, factor: float
) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [
        {"params": [parameter], "lr": lr, "initial_lr": lr}
        for parameter, lr in zip(parameters, (1.0, 0.5), strict=True)
    ]
    optimizer = torch.optim.SGD(groups)
    trained = SimpleNamespace(
        ema=None,
        discriminator=None,
        ema_halflife=0,
        final_lr_factor=0.2,
        lr_schedule=schedule,
        loss=None,
        optimizer_by_name={"generator": optimizer},
        **vars(module(images_seen)),
    )
    callback = LearningRateSchedule(ImageBudget(1000))
    callback.on_train_batch_start(trainer_at(0), trained, None, 0)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([factor, factor / 2])


def images(run: Path) -> int:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["images"]


def test_a_training_of_so_many_images(
    cli: Cli, workdir: Path, generated_faces: tuple[str, ...]
) -> None:
    folder = ("trainer.max_images=1000", "hydra.run.dir=run", "model.final_lr_factor=0.1")
    result = cli("train", *ARGUMENTS, *generated_faces, *folder)
    assert result.code == 0, result.err
    assert images(workdir / "run") == 1024  # 32 batches of 32, more than an epoch of 28
    lines = (workdir / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) > 1
    for line in map(json.loads, lines):
        progress = (line["images"] - 32) / 1000  # before the last batch
        rate = 1e-3 * cooldown(progress, 0.1)
        assert line["learning_rate/discriminator"] == pytest.approx(rate)
    assert cli("train", "resume=run").code == 0  # nothing is left to do
    assert images(workdir / "run") == 1024
    assert cli("train", "resume=run", "trainer.max_images=1500").code == 0
    assert images(workdir / "run") == 1504


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("trainer.max_images=0",), "trainer.max_images must be a whole number from 1"),
        (("trainer.max_images=many",), "1000000000000, got many"),
        (("trainer.max_images=9", "trainer.max_time=00:01:00"), "are two budgets; give one"),
    ],
)
def test_budgets_that_make_no_sense(
    overrides: tuple[str, ...], words: str, cli: Cli, generated_faces: tuple[str, ...]
) -> None:
    result = cli("train", *ARGUMENTS, *generated_faces, *overrides)
    assert (result.code, words in result.err) == (2, True), result.err
