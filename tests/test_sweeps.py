"""Sweeps with joblib and Optuna; a sweep that is started again skips finished runs."""

import subprocess
from pathlib import Path

import pytest
from conftest import TINY, python
from omegaconf import OmegaConf

pytestmark = pytest.mark.slow

ARGUMENTS = (
    *TINY,
    "data=generated",
    "data.count=1000",
    "trainer.max_epochs=1",
    "hydra.sweep.dir=sweep",
)


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(folder, "-m", "facegan.train", "-m", *ARGUMENTS, *arguments)


def test_joblib(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    jobs = ("seed=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    done = sweep(tmp_path, *jobs)
    assert done.returncode == 0, done.stderr
    runs = [path.parent for path in tmp_path.glob("sweep/*/generator.safetensors")]
    assert len(runs) == 2
    before = [(run / "generator.safetensors").stat().st_mtime_ns for run in runs]
    again = sweep(tmp_path, *jobs)
    assert again.returncode == 0, again.stderr
    assert before == [(run / "generator.safetensors").stat().st_mtime_ns for run in runs]
    bad = sweep(tmp_path, *jobs, "model.batch_size=0", "hydra.sweep.dir=bad")
    assert bad.returncode == 2
    assert "model.batch_size must" in bad.stderr


def test_optuna_minimizes_the_best_distance(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    optuna = (
        *("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1"),
        *("hydra.sweeper.direction=minimize", "seed=range(1,9)"),
    )
    done = sweep(tmp_path, *optuna)
    assert done.returncode == 0, done.stderr
    results = OmegaConf.load(tmp_path / "sweep/optimization_results.yaml")
    assert 0 < results.best_value < 1000
    unmeasured = sweep(tmp_path, *optuna, "evaluate_every=0", "hydra.sweep.dir=none")
    assert unmeasured.returncode == 2
    assert "set evaluate_every=1" in unmeasured.stderr
    assert not list(tmp_path.glob("none/*/config.yaml"))
