"""The metrics that a run has logged."""

import itertools
import sys
from collections import Counter, defaultdict
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
    counts, strides, damaged = Counter[Any](), defaultdict[Any, int](lambda: 1), 0
    newest: dict[Any, Entry] = {}
    for line in _parsed(path):
        entry = {name: float(value) for name, value in line.items() if _is_finite(value)}
        if "images" not in entry:
            damaged += 1
            continue
        names = tuple(entry)
        newest[names] = entry
        if counts[names] % strides[names] == 0:
            kept[names].append(entry)
            if len(kept[names]) > MAX_ENTRIES:
                kept[names], strides[names] = kept[names][::2], 2 * strides[names]
        counts[names] += 1
    for names, entry in newest.items():
        kept[names] += [entry] if kept[names][-1] is not entry else []
    return Metrics(sorted(itertools.chain(*kept.values()), key=lambda e: e["images"]), damaged)


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
