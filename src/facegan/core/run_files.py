"""The metrics that a run has logged."""

import json
import math
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
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    entries = [entry for entry in map(_read_entry, lines) if "images" in entry]
    return sorted(entries, key=lambda entry: entry["images"])


def _read_entry(line: str) -> Entry:
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {name: float(value) for name, value in values.items() if _is_finite(value)}


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def thin(points: Sequence[T], most: int) -> list[T]:
    """At most `most` points of a curve at equal distances, the newest one among them."""
    stride = -(-len(points) // most) or 1
    return list(points[::-1][::stride][::-1])
