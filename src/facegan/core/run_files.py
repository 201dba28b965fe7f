"""The metrics that a run has logged."""

import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from facegan.core.files import parse_json

METRICS_FILE = "metrics.jsonl"
MAX_ENTRIES = 4000  # with the same names

Entry = dict[str, float]  # a line of metrics.jsonl
T = TypeVar("T")


class Metrics(NamedTuple):
    """What a metrics.jsonl contains."""

    entries: list[Entry]  # ordered by images seen
    damaged: int  # lines, also one that is still being written


def read_metrics(path: Path) -> Metrics:
    """The finite numbers of the lines of a metrics.jsonl; a missing file has none.

    Of many lines with the same names, MAX_ENTRIES at equal distances are kept, with the newest.
    """
    kept: defaultdict[Any, list[Entry]] = defaultdict(list)
    damaged = 0
    for line in _parsed(path):
        entry = {name: float(value) for name, value in line.items() if _is_finite(value)}
        if "images" in entry:
            kept[tuple(entry)].append(entry)
        else:
            damaged += 1
    entries = itertools.chain(*(thin(same, MAX_ENTRIES) for same in kept.values()))
    return Metrics(sorted(entries, key=lambda entry: entry["images"]), damaged)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl with a step, as they were written."""
    return [values for values in _parsed(path) if "images" in values]


def _parsed(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file as mappings; empty ones for lines that are damaged."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                yield dict(parse_json(line, dict))
            except (ValueError, RecursionError):
                yield {}


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def thin(points: Sequence[T], most: int) -> list[T]:
    """At most `most` points of a curve at equal distances, the newest one among them."""
    stride = -(-len(points) // most) or 1
    return list(points[::-1][::stride][::-1])
