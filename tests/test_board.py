"""TensorBoard: the layout's charts have curves, and every epoch its grid and coverage."""

import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import REPOSITORY
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_callbacks import ARGUMENTS

from facegan.evaluation.coverage import AttributeShare
from facegan.training import evaluation
from facegan.training.board import coverage_table, layout
from facegan.training.events import EventWriter
from facegan.training.loggers import JSONLLogger, RunTensorBoard


def test_every_chart_but_that_of_penalties_has_curves(cli, packed_dir, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "MIN_FACES", 20)
    monkeypatch.setattr(evaluation, "EVALUATION_FACES", 40)
    assert cli("train", *ARGUMENTS, packed_dir, "hydra.run.dir=run").code == 0
    events = EventAccumulator("run", size_guidance={"images": 0}).Reload()
    charts = {title: tags for group in layout().values() for title, (_, tags) in group.items()}
    scalars = events.Tags()["scalars"]
    for title, tags in charts.items():
        found = [name for name in scalars if any(re.search(tag, name) for tag in tags)]
        assert found or title == "penalties", title
    assert len(events.Images("samples")) == 2
    assert "attribute coverage/text_summary" in events.Tags()["tensors"]
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    lines = map(json.loads, Path("run/metrics.jsonl").read_text().splitlines())
    assert {key for line in lines for key in line} <= {*scalars, "images"}


def test_events_are_written_at_once_without_a_thread(tmp_path: Path) -> None:
    threads = threading.active_count()
    writer = EventWriter(tmp_path, images_seen=0)
    writer.add_scalar("loss", 0.5, 64)
    assert EventAccumulator(str(tmp_path)).Reload().Scalars("loss")[0].value == 0.5
    assert threading.active_count() == threads


def test_events_after_the_checkpoint_are_hidden(tmp_path: Path, monkeypatch) -> None:
    """Also where the clock was set back between the two processes."""
    for seconds, seen in ((2_000_000_000, 0), (1_000_000_000, 64)):
        monkeypatch.setattr("time.time", lambda seconds=seconds: seconds)
        writer = EventWriter(tmp_path, seen)
        for step in (seen + 64, seen + 128):
            writer.add_scalar("loss", seconds, step)
    scalars = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in scalars] == [
        *((64, 2e9), (128, 1e9), (192, 1e9)),
    ]


@pytest.mark.parametrize("kind", ["events", "metrics.jsonl"])
def test_a_full_disk_names_the_file(kind: str, tmp_path: Path) -> None:
    board, metrics = RunTensorBoard(tmp_path), JSONLLogger(tmp_path / "metrics.jsonl", 0)
    board.experiment.events.event_writer.path = metrics.path = Path("/dev/full")
    logger = board if kind == "events" else metrics
    with pytest.raises(OSError, match="No space left") as caught:
        logger.log_metrics({"loss": 0.5}, 64)
    assert caught.value.filename == "/dev/full"


def test_the_coverage_table_is_markdown() -> None:
    table = coverage_table([AttributeShare("Wearing_Hat", 0.05, 0.025, -1.0)])
    assert table.splitlines()[-1] == "| Wearing Hat | 5.0% | 2.5% |"


def test_make_board_without_runs(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/installed").touch()
    made = subprocess.run(["make", "board"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 2
    assert "outputs/ holds no run yet: train one first" in made.stdout
