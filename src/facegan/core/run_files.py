"""The metrics that a run has logged."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

METRICS_FILE = "metrics.jsonl"

Entry = dict[str, float]  # a line of metrics.jsonl
T = TypeVar("T")


def read_metrics(path: Path) -> list[Entry]:
    """The finite numbers of each line of a metrics.jsonl, ordered by images seen.

    A missing file has no entries. Damaged lines are skipped, and so is a line that is still being
    written.
    """
    numbers = (
        {name: float(value) for name, value in line.items() if _is_finite(value)}
        for line in read_lines(path)
    )
    entries = [entry for entry in numbers if "images" in entry]
    return sorted(entries, key=lambda entry: entry["images"])


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl with a step, as they were written."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [values for values in map(_parse, lines) if "images" in values]


def _parse(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def thin(points: Sequence[T], most: int) -> list[T]:
    """At most `most` points of a curve at equal distances, the newest one among them."""
    stride = -(-len(points) // most) or 1
    return list(points[::-1][::stride][::-1])
