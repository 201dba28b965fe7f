"""`make bench` runs; what it measures is not tested."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("measure", ["command_over_bare", "matmul_fraction", "bf16_over_fp32"])
def test_a_measurement_runs(measure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    bench = importlib.import_module("bench")
    for name, value in {"REPEATS": 1, "STEPS": 2, "FACES": 160}.items():
        monkeypatch.setattr(bench, name, value)
    (ratio,) = getattr(bench, measure)(tmp_path)
    assert ratio > 0
