"""How long a training lasts, in epochs, images or time."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Cli
from pytorch_lightning.callbacks import Callback, Timer

from facegan.budget import ImageBudget, budget_spent, cosine_decay

TINY = (
    "model=lite",
    "model.batch_size=32",
    "model.generator.width=8",
    "model.discriminator.width=4",
    "model.discriminator_optimizer.lr=1e-3",
    "evaluate_every=0",
)


def test_cosine_decay() -> None:
    assert cosine_decay(0, 0.1) == 1
    assert cosine_decay(0.5, 0.1) == pytest.approx(0.55)
    assert cosine_decay(1, 0.1) == pytest.approx(0.1)
    assert cosine_decay(0.3, 1) == 1


def trainer_at(epoch: int, max_epochs: int, *callbacks: Callback) -> SimpleNamespace:
    return SimpleNamespace(
        current_epoch=epoch, max_epochs=max_epochs, num_training_batches=10, callbacks=callbacks
    )


def test_the_budget_is_spent_by_epochs() -> None:
    assert budget_spent(trainer_at(0, 4), 0, 0) == 0
    assert budget_spent(trainer_at(1, 4), 5, 0) == pytest.approx(1.5 / 4)
    assert budget_spent(trainer_at(3, 4), 10, 0) == 1


def test_the_budget_is_spent_by_images() -> None:
    trainer = trainer_at(7, -1, ImageBudget(1000))
    assert budget_spent(trainer, 3, 0) == 0
    assert budget_spent(trainer, 3, 250) == pytest.approx(0.25)
    assert budget_spent(trainer, 3, 1024) == 1


def test_the_budget_is_spent_by_time() -> None:
    timer = Timer("00:00:01:40")
    timer._offset = 25  # seconds of an earlier try
    assert budget_spent(trainer_at(7, -1, timer), 3, 0) == pytest.approx(0.25)
    timer._offset = 250
    assert budget_spent(trainer_at(7, -1, timer), 3, 0) == 1


def images(run: Path) -> int:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["images"]


def test_a_training_of_so_many_images(
    cli: Cli, workdir: Path, generated_faces: tuple[str, ...]
) -> None:
    folder = ("trainer.max_images=1000", "hydra.run.dir=run", "model.decay_to=0.1")
    told = cli("train", *TINY, *generated_faces, *folder)
    assert told.code == 0, told.err
    assert images(workdir / "run") == 1024  # 32 batches of 32, more than an epoch of 28
    lines = (workdir / "run" / "metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["learning_rate/0"] for line in lines]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1e-4, rel=0.05)  # a tenth of the first
    assert cli("train", "resume=run").code == 0  # nothing is left to do
    assert images(workdir / "run") == 1024
    assert cli("train", "resume=run", "trainer.max_images=1500").code == 0
    assert images(workdir / "run") == 1504


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("trainer.max_images=0",), "trainer.max_images must be a whole number of at least 1"),
        (("trainer.max_images=many",), "at least 1, got many; try 300000"),
        (("trainer.max_images=9", "trainer.max_time=00:01:00"), "are two budgets; give one"),
    ],
)
def test_budgets_that_make_no_sense(
    overrides: tuple[str, ...], words: str, cli: Cli, generated_faces: tuple[str, ...]
) -> None:
    told = cli("train", *TINY, *generated_faces, *overrides)
    assert (told.code, words in told.err) == (2, True), told.err
