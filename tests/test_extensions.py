"""Loggers and callbacks that a user adds, the debug overlays, and a sweep's folders."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, TINY, Cli, logged

from facegan.cli.arguments import sweep_folder
from facegan.training import callbacks, evaluation

ARGUMENTS = (*TINY, "model.batch_size=8", "hydra.run.dir=run")


@pytest.fixture
def train(cli: Cli, small_photos: tuple[str, ...]):
    return lambda *arguments: cli("train", *small_photos, *ARGUMENTS, *arguments)


@pytest.fixture
def evaluated(cli: Cli, generated_faces: tuple[str, ...], monkeypatch: pytest.MonkeyPatch):
    """Trainings with enough validation faces for an evaluation."""
    monkeypatch.setattr(evaluation, "MIN_FACES", 20)
    monkeypatch.setattr(evaluation, "EVALUATION_FACES", 40)
    few = "+trainer.limit_train_batches=2"
    return lambda *arguments: cli("train", *generated_faces, *ARGUMENTS, few, *arguments)


@pytest.mark.parametrize(
    ("logger", "events", "csv"),
    [("csv", False, True), ("[tensorboard,csv]", True, True), ("none", False, False)],
)
def test_loggers_replace_tensorboard(
    logger: str, events: bool, csv: bool, train, workdir: Path
) -> None:
    result = train(f"logger={logger}", "trainer.max_epochs=1", "evaluate_every=0")
    assert result.code == 0, result.err
    assert logged(workdir / "run")
    assert any((workdir / "run").glob("events*")) == events
    table = workdir / "run/csv/metrics.csv"
    assert table.is_file() == csv
    assert not csv or "D_loss" in table.read_text().splitlines()[0]


def test_the_table_of_a_resumed_run_keeps_its_rows(train, cli: Cli, workdir: Path) -> None:
    table = workdir / "run/csv/metrics.csv"
    assert train("logger=csv", "trainer.max_epochs=1", "evaluate_every=0").code == 0
    before = table.read_text().splitlines()
    config = workdir / "run/config.yaml"  # as earlier versions have written it
    config.write_text(
        config.read_text().replace(
            "_target_: facegan.training.metrics.RunCSV",
            "_target_: pytorch_lightning.loggers.CSVLogger\n    name: csv\n    version: ''",
        )
    )
    assert "CSVLogger" in config.read_text()
    cli.ok("train", "resume=run", "trainer.max_epochs=2")
    after = table.read_text().splitlines()
    assert after[: len(before)] == before
    assert len(after) == 1 + len(logged(workdir / "run")) > len(before)


def test_mlflow_gets_the_grids(train, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workdir}/mlflow.db")
    assert train("logger=mlflow", "trainer.max_epochs=1").code == 0
    (grid,) = (workdir / "mlruns").rglob("*.png")
    assert grid.parent.name == "samples"


def test_weights_and_biases_gets_the_grids(train, workdir: Path) -> None:
    pytest.importorskip("wandb")
    assert train("logger=wandb", "logger.wandb.offline=true", "trainer.max_epochs=1").code == 0
    assert len(list((workdir / "run/wandb").rglob("samples_*.png"))) == 1


def test_a_logger_that_is_not_installed(train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr("pytorch_lightning.loggers.mlflow._MLFLOW_AVAILABLE", False)
    result = train("logger=mlflow")
    assert result.code == 2
    assert "pip install -e '.[mlflow]'" in result.err


def test_early_stopping(evaluated, workdir: Path) -> None:
    stop = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1")
    never_enough = "callbacks.early_stopping.min_delta=1000000"
    result = evaluated(*stop, never_enough, "trainer.max_epochs=9", "evaluate_every=2")
    assert result.code == 0, result.err
    assert logged(workdir / "run")[-1]["images"] == 4 * 16  # the second evaluation


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        ("{_target_: pytorch_lightning.callbacks.LearningRateMonitor}", ""),
        ("{_target_: pytorch_lightning.callbacks.Timer, duration: '00:01:00:00'}", ""),
        (
            "{_target_: pytorch_lightning.callbacks.ThroughputMonitor, "
            "batch_size_fn: {_target_: builtins.len, _partial_: true}}",
            "",
        ),
        ("{_target_: facegan.training.evaluation.EarlyStopping}", "callbacks.lr: .*'monitor'"),
        ("{_target_: builtins.object}", "callbacks.lr: object is not a Lightning callback"),
        ("{_target_: nopackage.Thing}", "_target_=nopackage.Thing: .*No module named 'nopackage'"),
        ("{_target_: builtins.dict}", "_target_=builtins.dict: no signature"),
        ("3", r"callbacks\.lr must have a _target_, the class to build, got 3"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*flops_per_batch")
def test_lightnings_callbacks(callback: str, words: str, train) -> None:
    result = train(f"+callbacks.lr={callback}", "trainer.max_epochs=1", "evaluate_every=0")
    assert result.code == (2 if words else 0), result.err
    assert re.search(words, result.err)
    assert "Traceback" not in result.err


def test_paths_are_the_users_in_a_job_that_changes_its_folder(train, workdir: Path) -> None:
    result = train("hydra.job.chdir=true", "trainer.max_epochs=1", "data.packed_dir=packed")
    assert result.code == 0, result.err
    assert Path("outputs/latest").resolve() == workdir / "run"
    assert any(Path("packed").iterdir())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("evaluate_every=0",), "its metrics are none: set evaluate_every=1"),
        (
            (),
            "callbacks.early_stopping.monitor=frechet_distance is not measured in this training; "
            "its metrics are kernel_distance, memorization",
        ),
        (("trainer.devices=2",), "callbacks.early_stopping: the generator is evaluated in one"),
    ],
)
def test_early_stopping_by_what_is_not_measured(
    overrides: tuple[str, ...], words: str, train, workdir: Path
) -> None:
    result = train("callbacks=early_stopping", *overrides)
    assert result.code == 2
    assert words in result.err
    assert not (workdir / "run").exists()


@pytest.mark.parametrize("name", ["batches", "overfit_batch", "profile"])
def test_debug_overlays(name: str, train, workdir: Path) -> None:
    changes = {"overfit_batch": ("trainer.max_epochs=2",)}
    result = train(f"experiment=debug/{name}", *changes.get(name, ()))
    assert result.code == 0, result.err
    expected = {"batches": 48, "overfit_batch": 16, "profile": 32}
    assert logged(workdir / "run")[-1]["images"] == expected[name]
    assert (workdir / "run/fit-profile.txt").is_file() == (name == "profile")


def test_one_batch_is_overfitted(train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        callbacks.SampleGrid,
        "on_train_batch_start",
        lambda self, trainer, module, batch, index: seen.append(batch.images.clone()),
    )
    train("experiment=debug/overfit_batch", "trainer.max_epochs=2")
    assert len(seen) == 2
    assert seen[0].equal(seen[1])


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ("model=lite,seed=1", "3-model=lite,seed=1"),
        ("model/loss=hinge", "3-model-loss=hinge"),
        ("data.root='/photos/a b,ü'", "3-data.root=a-b,ü"),
        ("", "3"),
        ("a=" + "x" * 300, "3-a=" + "x" * 96),
    ],
)
def test_a_sweeps_folders_are_named_by_what_differs(overrides: str, name: str) -> None:
    assert sweep_folder(3, overrides) == name


def test_a_sweep_over_literal_keys(cli: Cli, workdir: Path, small_photos) -> None:
    root = small_photos[1].removeprefix("data.root=")
    for name in ("Smith, John", "Müller"):
        (workdir / name).symlink_to(root)
    data = ("data=folder", 'data.root=["Smith, John",Müller]', "data.image_size=8")
    sweep = ("hydra.sweep.dir=a sweep", "trainer.max_epochs=1")
    cli.ok("train", "-m", *ARGUMENTS[:-1], *data, small_photos[3], *sweep)
    names = sorted(path.name for path in (workdir / "a sweep").iterdir() if path.is_dir())
    assert names == ["0-data.root=Smith,-John", "1-data.root=Müller"]
    assert len(list(Path("a sweep").glob("*/generator.safetensors"))) == 2


def test_make_board_without_runs(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/installed").touch()
    made = subprocess.run(["make", "board"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 2
    assert "outputs/ holds no run yet: train one first" in made.stdout
