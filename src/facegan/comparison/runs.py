"""Run folders as they lie on the disk: finished, unfinished or damaged."""

import glob
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from facegan.cli.arguments import split_list
from facegan.core.errors import FaceganError

CONFIG, METRICS, RECORD, EVALUATION = "config.yaml", "metrics.jsonl", "run.json", "evaluation.json"
DEPTH = 2  # of folders below a given one in which runs are looked for

Entry = dict[str, float]  # a line of metrics.jsonl


@dataclass(frozen=True)
class Run:
    """What a run folder holds. `notes` say what is missing or cannot be read."""

    folder: Path
    config: dict[str, Any]
    entries: list[Entry]  # by images seen
    evaluation: dict[str, Any]  # evaluation.json; empty where there is none
    grid: Path | None  # the newest grid of the seeds 0-63
    notes: list[str]

    @property
    def recipe(self) -> str:
        return str(self.config.get("recipe", "unknown"))

    def last(self, name: str) -> float | None:
        """The newest logged value of a measure."""
        return next((e[name] for e in reversed(self.entries) if name in e), None)

    def values(self, name: str) -> list[float]:
        """All logged values of a measure."""
        return [entry[name] for entry in self.entries if name in entry]


def find_runs(text: str) -> list[Path]:
    """The run folders that `text` names: folders, globs, sweeps' folders, separated by commas.

    Raises FaceganError for a part that names none.
    """
    found: dict[Path, Path] = {}  # outputs/latest is a second name of a run
    for part in _parts(text):
        folders = list(_runs_of(part))
        if not folders:
            raise FaceganError(
                f"runs={part} names no run folder (one with {CONFIG} or {METRICS}); give folders, "
                "globs or a sweep's folder, separated by commas, such as runs=outputs/sweeps/*"
            )
        for folder in folders:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _parts(text: str) -> list[str]:
    if Path(text).expanduser().exists():  # a folder's name may have commas in it
        return [text]
    return split_list(text)


def _runs_of(part: str) -> Iterator[Path]:
    path = Path(part).expanduser()
    for folder in [path] if path.exists() else map(Path, sorted(glob.glob(str(path)))):
        levels = ["*/" * depth for depth in range(DEPTH + 1)]
        below = (sorted(folder.glob(level)) if level else [folder] for level in levels)
        yield from next((runs for runs in map(_only_runs, below) if runs), [])


def _only_runs(folders: list[Path]) -> list[Path]:
    return [f for f in folders if (f / CONFIG).is_file() or (f / METRICS).is_file()]


def read_run(folder: Path) -> Run:
    """The run in `folder`. What cannot be read is left out and noted."""
    notes: list[str] = []
    config = _read_config(folder / CONFIG, notes)
    entries = _read_entries(folder / METRICS, notes)
    record = _read_json(folder / RECORD, notes)
    if record is not None and record.get("finished") is not True:
        notes.append("unfinished")
    evaluation = _read_evaluation(folder / EVALUATION, notes)
    grids = sorted((folder / "samples").glob("epoch-*.png"), key=lambda path: path.stat().st_mtime)
    return Run(folder, config, entries, evaluation, grids[-1] if grids else None, notes)


def _read_config(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        config = None
    if not isinstance(config, dict):
        notes.append(f"{path.name} cannot be read")
        return {}
    return config


def _read_entries(path: Path, notes: list[str]) -> list[Entry]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    entries = [entry for entry in map(_read_entry, lines) if entry is not None]
    if len(entries) < len(lines):
        notes.append(f"{len(lines) - len(entries)} damaged lines in {path.name} are left out")
    if not entries:
        notes.append("no metrics yet")
    return sorted(entries, key=lambda entry: entry["images"])


def _read_entry(line: str) -> Entry | None:
    """The finite numbers of a line; None for a line that is damaged, or still being written."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    entry = {name: float(value) for name, value in values.items() if _is_finite(value)}
    return entry if "images" in entry else None


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _read_evaluation(path: Path, notes: list[str]) -> dict[str, Any]:
    evaluation = _read_json(path, notes) or {}
    try:
        values = [float(measure["value"]) for measure in evaluation["measures"].values()]
        return evaluation if values and isinstance(evaluation["facts"], dict) else {}
    except (AttributeError, KeyError, TypeError, ValueError):
        if evaluation:
            notes.append(f"{path.name} cannot be read")
        return {}


def _read_json(path: Path, notes: list[str]) -> dict[str, Any] | None:
    """None for a file that is missing, or that cannot be read."""
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        value = None
    if not isinstance(value, dict):
        notes.append(f"{path.name} cannot be read")
        return None
    return value
