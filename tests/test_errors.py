"""Errors around a training that a user can correct: messages instead of tracebacks."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from conftest import TINY, Cli
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ARGUMENTS = (
    *TINY,
    "model.batch_size=8",
    "hydra.run.dir=run",
)


@pytest.fixture
def train(cli: Cli, small_photos: tuple[str, ...]):
    return lambda *arguments: cli(
        "train", "evaluate_every=0", *small_photos, *ARGUMENTS, *arguments
    )


def test_hyperparameters_are_in_tensorboard(train, workdir: Path) -> None:
    assert train("trainer.max_epochs=1").code == 0
    tags = EventAccumulator(str(workdir / "run")).Reload().summary_metadata
    assert any(data.plugin_data.plugin_name == "hparams" for data in tags.values())


@pytest.mark.parametrize("override", ["image_size=14", "channels=1"])
def test_a_model_that_does_not_fit_the_data(train, workdir: Path, override: str) -> None:
    result = train(f"model.generator.{override}", f"model.discriminator.{override}")
    assert result.code == 2
    assert "the data has (3, 8, 8)" in result.err
    assert not (workdir / "run").exists()


def test_packing_asks_for_room_first(train, monkeypatch: pytest.MonkeyPatch, workdir: Path) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 0))
    result = train(f"data.packed_dir={workdir}/elsewhere")
    assert result.code == 2
    assert "the disk is full" in result.err
    assert not list((workdir / "elsewhere").iterdir())


def test_a_line_that_was_cut_is_forgotten(train, cli: Cli, workdir: Path) -> None:
    train("trainer.max_epochs=1")
    whole = (workdir / "run" / "metrics.jsonl").read_text()
    (workdir / "run" / "metrics.jsonl").write_text(whole + '{"images": 3')
    result = cli("train", "resume=run", "trainer.max_epochs=2")
    assert result.code == 0, result.err
    assert (workdir / "run" / "metrics.jsonl").read_text().startswith(whole)


def test_a_checkpoint_that_was_cut(train, cli: Cli, workdir: Path) -> None:
    train("trainer.max_epochs=1")
    path = workdir / "run" / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    result = cli("train", "resume=run", "trainer.max_epochs=2")
    assert result.code == 2
    assert "last.ckpt is damaged" in result.err


def test_a_folder_that_has_changed_since(
    cli: Cli, workdir: Path, small_photos: tuple[str, ...]
) -> None:
    folder = workdir / "photographs"
    shutil.copytree(small_photos[1].removeprefix("data.root="), folder)
    data = ("data=folder", f"data.root={folder}", "data.image_size=8")
    assert cli("train", *data, *ARGUMENTS, "trainer.max_epochs=1").code == 0
    shutil.copy(folder / "0.png", folder / "one-more.png")
    result = cli("train", "resume=run", "trainer.max_epochs=2")
    assert result.code == 2
    assert "restore the photographs" in result.err


def test_a_time_for_several_devices(train) -> None:
    result = train("trainer.max_time=00:00:10", "trainer.devices=2")
    assert result.code == 2
    assert "give trainer.max_epochs" in result.err
