"""Loggers and callbacks that a user adds, the debug overlays, and what TensorBoard shows."""

import json
import sys
from pathlib import Path

import pytest
from conftest import TINY, Cli
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from facegan.cli.arguments import sweep_folder
from facegan.training import callbacks, evaluation
from facegan.training.loggers import HPARAMS_METRICS, flatten

ARGUMENTS = (
    *TINY,
    "model.batch_size=8",
    "hydra.run.dir=run",
)


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


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_csv_instead_of_tensorboard(train, workdir: Path) -> None:
    result = train("logger=csv", "trainer.max_epochs=1")
    assert result.code == 0, result.err
    assert "D_loss" in (workdir / "run/csv/metrics.csv").read_text().splitlines()[0]
    assert metrics(workdir / "run")
    assert not list((workdir / "run").glob("events*"))


def test_several_loggers(train, workdir: Path) -> None:
    assert train("logger=[tensorboard,csv]", "trainer.max_epochs=1").code == 0
    assert list((workdir / "run").glob("events*"))
    assert (workdir / "run/csv/metrics.csv").is_file()


def test_no_logger_leaves_the_metrics_file(train, workdir: Path) -> None:
    assert train("logger=none", "trainer.max_epochs=1").code == 0
    assert metrics(workdir / "run")


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
    assert metrics(workdir / "run")[-1]["images"] == 4 * 16  # the second evaluation


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("pytorch_lightning.callbacks.ModelCheckpoint", "second writer of checkpoints/"),
        ("pytorch_lightning.callbacks.Timer", "give trainer.max_time=00:10:00"),
        ("pytorch_lightning.callbacks.RichProgressBar", "second progress bar"),
        ("pytorch_lightning.callbacks.LearningRateFinder", "automatic optimization"),
        ("pytorch_lightning.callbacks.StochasticWeightAveraging", "'swa_lrs'"),
        ("pytorch_lightning.callbacks.EMAWeightAveraging", "model.ema_halflife"),
        ("facegan.training.extensions.EarlyStopping", "'monitor'"),
    ],
)
def test_callbacks_that_conflict(train, target: str, reason: str) -> None:
    result = train(f"+callbacks.mine._target_={target}")
    assert result.code == 2
    assert result.err.startswith("facegan.train: callbacks.mine")
    assert reason in result.err


@pytest.mark.parametrize(
    ("overrides", "known"),
    [
        (("callbacks.early_stopping.monitor=abc",), "its metrics are frechet_distance, kernel_"),
        (("evaluate_every=0",), "its metrics are none: set evaluate_every=1"),
    ],
)
def test_early_stopping_by_what_is_not_measured(
    overrides: tuple[str, ...], known: str, evaluated, workdir: Path
) -> None:
    result = evaluated("callbacks=early_stopping", *overrides)
    assert result.code == 2
    assert "callbacks.early_stopping.monitor=" in result.err
    assert known in result.err
    assert not (workdir / "run").exists()


def test_early_stopping_with_few_photographs(train) -> None:
    result = train("callbacks=early_stopping")
    assert "its metrics are kernel_distance, memorization" in result.err


def test_early_stopping_in_several_processes(train) -> None:
    result = train("callbacks=early_stopping", "trainer.devices=2")
    assert result.code == 2
    assert "callbacks.early_stopping: the generator is evaluated in one process" in result.err


@pytest.mark.parametrize("name", ["batches", "overfit_batch", "profile"])
def test_debug_overlays(name: str, train, workdir: Path) -> None:
    changes = {"overfit_batch": ("trainer.max_epochs=2",)}
    result = train(f"experiment=debug/{name}", *changes.get(name, ()))
    assert result.code == 0, result.err
    expected = {"batches": 48, "overfit_batch": 16, "profile": 32}
    assert metrics(workdir / "run")[-1]["images"] == expected[name]
    assert (workdir / "run/fit-profile.txt").is_file() == (name == "profile")


def test_one_batch_is_overfitted(train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        callbacks.SampleGrid,
        "on_train_batch_start",
        lambda self, trainer, module, batch, index: seen.append(batch.images.clone()),
    )
    train("experiment=debug/overfit_batch", "trainer.max_epochs=3")
    assert len(seen) == 3
    assert seen[0].equal(seen[1])
    assert seen[0].equal(seen[2])


def hyperparameters(folder: Path) -> list[HParamsPluginData]:
    summaries = EventAccumulator(str(folder)).Reload().summary_metadata.values()
    contents = [data.plugin_data for data in summaries]
    return [
        HParamsPluginData.FromString(data.content)
        for data in contents
        if data.plugin_name == "hparams"
    ]


def test_the_table_of_hyperparameters_has_a_curve_for_each_metric(evaluated, workdir: Path) -> None:
    assert evaluated("trainer.max_epochs=2").code == 0
    data = hyperparameters(workdir / "run")
    tags = {info.name.tag for item in data for info in item.experiment.metric_infos}
    assert tags == set(HPARAMS_METRICS)
    curves = EventAccumulator(str(workdir / "run")).Reload()
    assert tags <= set(curves.Tags()["scalars"])
    values = [event.value for event in curves.Scalars("frechet_distance")]
    assert curves.Scalars("best_frechet_distance")[-1].value == min(values)
    started = [dict(item.session_start_info.hparams) for item in data]
    assert any("recipe" in values and values["recipe"].string_value == "lite" for values in started)


def test_hyperparameters_are_flattened() -> None:
    nested = {"a": {"b": 1, "c": {"d": None}}, "e": [0.5], "f": True}
    assert flatten(nested) == {"a/b": 1, "a/c/d": "None", "e": "[0.5]", "f": True}


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
    result = cli("train", "-m", *ARGUMENTS[:-1], *data, small_photos[3], *sweep)
    assert result.code == 0, result.err
    names = sorted(path.name for path in (workdir / "a sweep").iterdir() if path.is_dir())
    assert names == ["0-data.root=Smith,-John", "1-data.root=Müller"]
