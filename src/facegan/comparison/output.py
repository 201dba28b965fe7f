"""The comparison for readers: cells of tables, CSV, JSON and one self-contained page."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from facegan.comparison.differences import MODEL_SEED, NONE, SEED, differing_keys, flatten
from facegan.comparison.runs import Run
from facegan.comparison.significance import Summary, Value, format_number
from facegan.comparison.table import GroupRow, RunRow, Table
from facegan.core.images import data_uri
from facegan.evaluation.metrics import METRICS
from facegan.evaluation.report import render

NOT_CURVES = ("images", "seconds", "epoch")
CURVE_POINTS = 400  # more do not show
LABELS = {metric.name: metric.label for metric in METRICS}
DESCRIPTIONS = {
    metric.name: f"{metric.description}; {metric.better} is better" for metric in METRICS
}


def run_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of runs."""
    metrics = table.metrics
    header = ["run", "recipe", "seed", "differs", "images", "seconds", "images/s"]
    header += [*(metric.label for metric in metrics), "notes"]
    return header, [_run_row(row, [m.name for m in metrics]) for row in table.runs]


def _run_row(row: RunRow, metrics: Sequence[str]) -> list[str]:
    return [
        row.name,
        row.run.recipe,
        str(row.run.config.get("seed", NONE)),
        row.differs or NONE,
        _number(row.images),
        _number(row.seconds),
        _number(row.images_per_second),
        *(_value(row.measures.get(name)) for name in metrics),
        "; ".join(row.run.notes),
    ]


def group_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of means over seeds."""
    metrics = table.metrics
    header = ["recipe", "differs", "seeds", *(metric.label for metric in metrics)]
    return header, [_group_row(row, [m.name for m in metrics]) for row in table.groups]


def difference_cells(table: Table) -> list[str]:
    """For each config, how its distance differs from the first one's."""
    return [str(row.difference) if row.difference else NONE for row in table.groups]


def _group_row(row: GroupRow, metrics: Sequence[str]) -> list[str]:
    first = row.rows[0]
    return [
        first.run.recipe,
        first.differs or NONE,
        str(len(row.rows)),
        *(_summary(row.measures.get(name)) for name in metrics),
    ]


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _value(value: Value | None) -> str:
    if value is None:
        return NONE
    return format_number(value.value) + (
        f" ± {format_number(value.margin)}" if value.margin else ""
    )


def _summary(summary: Summary | None) -> str:
    if summary is None:
        return NONE
    if summary.deviation is None:
        return _value(summary.values[0])
    return f"{format_number(summary.mean)} (sd {format_number(summary.deviation)})"


def to_csv(table: Table) -> str:
    """A line for each run, with plain numbers."""
    text = io.StringIO()
    rows = [_record(row) for row in table.runs]
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_json(table: Table) -> dict[str, Any]:
    """The content of comparison.json."""
    return {
        "source": table.source,
        "runs": [_record(row) for row in table.runs],
        "groups": [_group_record(row) for row in table.groups],
        "differences": differences(table),
    }


def _record(row: RunRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "run": str(row.run.folder),
        "recipe": row.run.recipe,
        "seed": row.run.config.get("seed"),
        "differs": row.differs,
        "images": row.images,
        "seconds": row.seconds,
        "images_per_second": row.images_per_second,
    }
    for name, value in row.measures.items():
        record |= {name: value.value}
        if value.margin is not None:
            record |= {f"{name}_margin": value.margin}
    return {**record, "notes": "; ".join(row.run.notes)}


def _group_record(row: GroupRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "recipe": row.rows[0].run.recipe,
        "differs": row.rows[0].differs,
        "runs": [str(member.run.folder) for member in row.rows],
        "measures": {
            name: {"mean": summary.mean, "deviation": summary.deviation}
            for name, summary in row.measures.items()
        },
    }
    if row.difference is not None:
        record["difference"] = {
            "value": row.difference.value,
            "margin": row.difference.margin,
            "over": row.difference.over,
            "larger_than_its_error": row.difference.is_larger_than_its_error,
        }
    return record


def differences(table: Table) -> dict[str, list[str]]:
    """Every key of the configs that differs, with its value in each run."""
    configs = [flatten(row.run.config) for row in table.runs]
    rows = {key: [config.get(key, NONE) for config in configs] for key in differing_keys(configs)}
    return {key: row for key, row in rows.items() if key != MODEL_SEED or row != rows.get(SEED)}


def html_page(table: Table) -> str:
    """One page without outside links: tables, curves, grids, differences."""
    return render(
        "comparison.html",
        package="facegan.comparison",
        source=table.source,
        runs=run_cells(table),
        groups=_group_table(table) if len(table.groups) > 1 else None,
        names=[_label(row) for row in table.runs],
        grids=[(_label(row), _png(row.run)) for row in table.runs],
        differences=differences(table),
        data={"names": [_label(row) for row in table.runs], "charts": charts(table)},
    )


def _group_table(table: Table) -> tuple[list[str], list[list[str]]]:
    header, rows = group_cells(table)
    differences_to_first = difference_cells(table)
    return (
        [*header, "difference to the first"],
        [[*row, cell] for row, cell in zip(rows, differences_to_first, strict=True)],
    )


def _label(row: RunRow) -> str:
    seed = row.run.config.get("seed", NONE)
    return " · ".join(filter(None, [row.run.recipe, row.differs, f"seed {seed}", row.name]))


def _png(run: Run) -> tuple[str, str] | None:
    """The newest grid as a data URI, and its name."""
    if run.grid is None:
        return None
    return data_uri(run.grid.read_bytes()), run.grid.stem


def charts(table: Table) -> list[dict[str, Any]]:
    """A chart for each measure, with a curve of (images, seconds, value) for each run."""
    names = dict.fromkeys(name for row in table.runs for entry in row.run.entries for name in entry)
    ordered = sorted((n for n in names if n not in NOT_CURVES), key=lambda n: n not in LABELS)
    return [
        {
            "title": LABELS.get(name, name.replace("_", " ")),
            "description": DESCRIPTIONS.get(name, ""),
            "curves": [_curve(row.run.entries, name) for row in table.runs],
        }
        for name in ordered
    ]


def _curve(entries: Sequence[Mapping[str, float]], name: str) -> list[list[float]]:
    points = [
        [entry["images"], round(entry.get("seconds", 0.0), 2), float(f"{entry[name]:.5g}")]
        for entry in entries
        if name in entry
    ]
    stride = -(-len(points) // CURVE_POINTS) or 1
    return points[::-1][::stride][::-1]  # with the last one
