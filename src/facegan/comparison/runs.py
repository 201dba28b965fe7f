"""Reading run folders: finished, unfinished or damaged."""

import glob
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from facegan.cli.arguments import split_list
from facegan.cli.config import read_config
from facegan.core.errors import FaceganError
from facegan.core.files import parse_json, read_text, reading
from facegan.core.nested import flatten
from facegan.core.run_files import METRICS_FILE, Entry, read_metrics
from facegan.core.run_keys import may_change

CONFIG, RECORD, EVALUATION = "config.yaml", "run.json", "evaluation.json"
OF_A_RUN = (CONFIG, METRICS_FILE)
MEASURE = dict.fromkeys(("low", "high", "standard_error"), float | int | None)
EVALUATION_FORM = {"measures": {str: {"value": float | int, **MEASURE}}, "facts": {str: str}}
DEPTH = 2  # of subfolders that are searched for runs
# a resumed run may change these, but they decide how long and how it trains and is measured
COMPARED = ("trainer", "health", "callbacks", "evaluate_every")


@dataclass(frozen=True)
class Run:
    """The content of a run folder. `notes` name what is missing or cannot be read."""

    folder: Path
    config: dict[str, Any]
    entries: list[Entry]  # by images seen
    evaluation: dict[str, Any]  # evaluation.json; empty if there is none
    grid: Path | None  # the newest grid of the seeds 0-63
    notes: list[str]
    photographs: str = ""  # the name of the packed data set

    @property
    def recipe(self) -> str:
        return str(self.config.get("recipe", "unknown"))

    @property
    def seed(self) -> Any:
        """Of the config; None without one."""
        return self.config.get("seed")

    @cached_property
    def settings(self) -> dict[str, str]:
        """The config with full keys, without paths and keys of what the run writes.

        {"model": {"loss": {"_target_": "facegan.gan.losses.Hinge"}}} -> {"model.loss": "Hinge"}.
        Classes of other packages keep their full names.
        """
        settings = {}
        for key, value in flatten(self.config).items():
            if may_change(key) and key.partition(".")[0] not in COMPARED:
                continue
            if key.endswith("._target_"):
                key = key.removesuffix("._target_")
                value = re.sub(r"^facegan\.(\w+\.)*", "", str(value))
            settings[key] = "null" if value is None else str(value)
        return settings

    def values(self, name: str) -> list[float]:
        """All logged values of a measure."""
        return [entry[name] for entry in self.entries if name in entry]


def find_runs(text: str) -> list[Path]:
    """The run folders that `text` names: folders, globs, sweeps' folders, separated by commas.

    Raises FaceganError for a part that names none.
    """
    found: dict[Path, Path] = {}  # outputs/latest is a second name of a run
    exists = Path(text).expanduser().exists()  # a folder's name may have commas in it
    for part in [text] if exists else split_list(text):
        folders = list(_runs_of(part))
        if not folders:
            raise FaceganError(
                f"runs={part} names no run folder; give folders, globs or a sweep's folder, "
                "separated by commas, such as runs=outputs/sweeps/*"
            )
        for folder in folders:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _runs_of(part: str) -> Iterator[Path]:
    """The runs of the first level of folders that has any."""
    path = Path(part).expanduser()
    for folder in [path] if path.exists() else map(Path, sorted(glob.glob(str(path)))):
        level, runs = [folder], list[Path]()
        for _ in range(DEPTH + 1):
            runs = runs or [f for f in level if any((f / name).is_file() for name in OF_A_RUN)]
            level = [child for parent in level for child in sorted(parent.glob("*/"))]
        yield from runs


def read_run(folder: Path) -> Run:
    """The run in `folder`. What cannot be read is left out and noted."""
    notes: list[str] = []
    config = _read(folder / CONFIG, read_config, notes)
    if not (folder / CONFIG).is_file():
        notes.append(f"{CONFIG} is missing")
    entries, damaged = read_metrics(folder / METRICS_FILE)
    if damaged:
        notes.append(f"{damaged} damaged lines in {METRICS_FILE} are left out")
    if not entries:
        notes.append("no metrics yet")
    record = _read_json(folder / RECORD, dict, notes)
    if record and record.get("finished") is not True:
        notes.append("unfinished")
    evaluation = _read_json(folder / EVALUATION, EVALUATION_FORM, notes)
    notes += _stale(evaluation, entries)
    notes += ["precision means little"] * ("precision" in evaluation.get("facts", {}))
    grids = [path for path in (folder / "samples").glob("epoch-*.png") if path.is_file()]
    grids.sort(key=lambda path: path.stat().st_mtime)
    grid = grids[-1] if grids else None
    photographs = Path(str(dict(record.get("data") or {}).get("path", ""))).name
    return Run(folder, config, entries, evaluation, grid, notes, photographs)


def _stale(evaluation: dict[str, Any], entries: list[Entry]) -> list[str]:
    """A note if the evaluation is of other weights than the last."""
    seen = evaluation.get("facts", {}).get("images seen", "")
    last = entries[-1]["images"] if entries else 0
    if not seen.isdecimal() or int(seen) == last:
        return []
    return [f"evaluated after {int(seen):,} of {last:,.0f} images"]


def _read(path: Path, read: Callable[[Path], dict[str, Any]], notes: list[str]) -> dict[str, Any]:
    """The mapping in a file; empty if the file is missing or cannot be read."""
    if not path.exists():
        return {}
    try:
        with reading(path, "restore it"):
            return read(path)
    except FaceganError:
        notes.append(f"{path.name} cannot be read")
        return {}


def _read_json(path: Path, form: Any, notes: list[str]) -> dict[str, Any]:
    return _read(path, lambda path: dict(parse_json(read_text(path), form)), notes)
