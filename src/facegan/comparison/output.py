"""The comparison for readers: cells of tables, CSV, JSON and one self-contained page."""

import csv
import dataclasses
import io
import statistics
from collections.abc import Sequence
from typing import Any

from facegan.comparison.differences import MODEL_SEED, NONE, SEED, differing_keys
from facegan.comparison.runs import Run
from facegan.comparison.significance import Summary, format_number, round_to_error
from facegan.comparison.table import Row, Table
from facegan.core.images import data_uri
from facegan.core.run_files import Entry, thin
from facegan.evaluation.metrics import PRIMARY, QUANTITIES
from facegan.evaluation.report import render

NOT_CURVES = ("images", "seconds", "epoch")
CURVE_POINTS, ALL_POINTS = 400, 200_000  # of a curve, where more are not visible, and of a page
MAX_GRIDS = 24  # of the runs that are first in the table
LABELS = {metric.name: metric.label for metric in QUANTITIES}
DESCRIPTIONS = {
    metric.name: f"{metric.description}; {metric.better} is better" for metric in QUANTITIES
}

Cells = tuple[list[str], list[list[str]]]  # header and rows


def run_cells(table: Table) -> Cells:
    """The table of runs."""
    header = ["run", "recipe", "seed", "differs", "images", "seconds", "images/s"]
    rows = [
        [
            name,
            *map(_cell, _facts(row).values()),
            *_measures(row, table),
            "; ".join(row.runs[0].notes),
        ]
        for name, row in zip(table.names, table.runs, strict=True)
    ]
    return [*header, *(metric.label for metric in table.metrics), "notes"], rows


def group_cells(table: Table) -> Cells:
    """The table of means over seeds."""
    header = ["recipe", "differs", "seeds", *(metric.label for metric in table.metrics)]
    rows = [
        [
            *map(_cell, (row.runs[0].recipe, row.differs, row.seeds)),
            *_measures(row, table),
            _cell(table.difference(row)),
        ]
        for row in table.groups
    ]
    return [*header, f"difference to the {'baseline' if table.baseline else 'first'}"], rows


def _facts(row: Row) -> dict[str, Any]:
    """What is known of the row's first run, besides its measures."""
    run = row.runs[0]
    images, seconds, speeds = map(run.values, ("images", "seconds", "images_per_second"))
    return {
        "recipe": run.recipe,
        "seed": run.seed,
        "differs": row.differs,
        "images": images[-1] if images else None,
        "seconds": seconds[-1] if seconds else None,
        "images_per_second": statistics.median(speeds) if speeds else None,
    }


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}"
    return NONE if value in (None, "") else str(value)


def _measures(row: Row, table: Table) -> list[str]:
    return [_measure(row.measures.get(metric.name)) for metric in table.metrics]


def _measure(summary: Summary | None) -> str:
    if summary is None:
        return NONE
    if summary.deviation is not None:
        return "{} (sd {})".format(*round_to_error(summary.mean, summary.deviation))
    if summary.margin:
        return "{} ± {}".format(*round_to_error(summary.mean, summary.margin))
    return format_number(summary.mean)


def to_csv(table: Table) -> str:
    """A line for each run, with plain numbers."""
    text = io.StringIO()
    rows = [{key: _text(value) for key, value in _record(row).items()} for row in table.runs]
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _text(value: Any) -> Any:
    """`value`; an apostrophe keeps a spreadsheet from running it as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple("=+-@")) else value


def to_json(table: Table) -> dict[str, Any]:
    """The content of comparison.json."""
    return {
        "source": table.source,
        "runs": [_record(row) for row in table.runs],
        "groups": [_group_record(row, table) for row in table.groups],
        "differences": differences(table),
    }


def _record(row: Row) -> dict[str, Any]:
    record = {"run": str(row.runs[0].folder), **_facts(row)}
    for name, summary in row.measures.items():
        record[name] = summary.mean
        if summary.margin is not None:
            record[f"{name}_margin"] = summary.margin
    return {**record, "notes": "; ".join(row.runs[0].notes)}


def _group_record(row: Row, table: Table) -> dict[str, Any]:
    record: dict[str, Any] = {
        "recipe": row.runs[0].recipe,
        "differs": row.differs,
        "runs": [str(run.folder) for run in row.runs],
        "measures": {
            name: {"mean": summary.mean, "deviation": summary.deviation}
            for name, summary in row.measures.items()
        },
    }
    if (found := table.difference(row)) is not None:
        larger = found.is_larger_than_its_error
        record["difference"] = {**dataclasses.asdict(found), "larger_than_its_error": larger}
    return record


def differences(table: Table) -> dict[str, list[str]]:
    """Every key in which the configs differ, with its value in each run."""
    runs = [row.runs[0] for row in table.runs]
    values = {k: [run.settings.get(k, NONE) for run in runs] for k in differing_keys(runs)}
    if values.get(MODEL_SEED) == values.get(SEED):
        values.pop(MODEL_SEED, None)
    return values


def html_page(table: Table) -> str:
    """One page without outside links: tables, curves, grids, differences."""
    runs = [row.runs[0] for row in table.runs]
    labels = [_label(row, name) for row, name in zip(table.runs, table.names, strict=True)]
    shown = list(zip(labels, (run.grid for run in runs), strict=True))[:MAX_GRIDS]
    return render(
        "comparison.html",
        package="facegan.comparison",
        source=table.source,
        primary=LABELS[PRIMARY],
        runs=run_cells(table),
        groups=group_cells(table) if len(table.groups) > 1 else None,
        names=labels,
        grids=[(name, (data_uri(g.read_bytes()), g.stem) if g else None) for name, g in shown],
        differences=differences(table),
        data={"names": labels, "charts": charts(runs)},
    )


def _label(row: Row, name: str) -> str:
    seed = row.runs[0].config.get("seed", NONE)
    return " · ".join(filter(None, [row.runs[0].recipe, row.differs, f"seed {seed}", name]))


def charts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A chart for each measure, with a curve of (images, seconds, value) for each run."""
    names = dict.fromkeys(name for run in runs for entry in run.entries for name in entry)
    ordered = sorted((n for n in names if n not in NOT_CURVES), key=lambda n: n not in LABELS)
    most = min(CURVE_POINTS, 1 + ALL_POINTS // max(1, len(runs) * len(ordered)))
    return [
        {
            "title": LABELS.get(name, name.replace("_", " ")),
            "description": DESCRIPTIONS.get(name, ""),
            "curves": [_curve(run.entries, name, most) for run in runs],
        }
        for name in ordered
    ]


def _curve(entries: Sequence[Entry], name: str, most: int) -> list[list[float]]:
    return [
        [entry["images"], round(entry.get("seconds", 0.0), 2), float(f"{entry[name]:.5g}")]
        for entry in thin([entry for entry in entries if name in entry], most)
    ]
