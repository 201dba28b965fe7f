"""The comparison as data: a row for each run, and one for each config over its seeds."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facegan.comparison.differences import describe, distinguishing_keys, group
from facegan.comparison.runs import Run
from facegan.comparison.significance import (
    Difference,
    Summary,
    Value,
    difference,
    margin_of,
)
from facegan.evaluation.metrics import METRICS

SORTED_BY = METRICS[0]
COMPARABLE = ("faces", "against", "dataset", "features")  # facts of evaluation.json


@dataclass(frozen=True)
class RunRow:
    """One run."""

    run: Run
    name: str
    differs: str
    measures: Mapping[str, Value]  # by the metric's name

    @property
    def images(self) -> float | None:
        return self.run.last("images")

    @property
    def seconds(self) -> float | None:
        return self.run.last("seconds")

    @property
    def images_per_second(self) -> float | None:
        speeds = self.run.values("images_per_second")
        return statistics.median(speeds) if speeds else None


@dataclass(frozen=True)
class GroupRow:
    """The runs of one config over their seeds, and the difference to the first group."""

    rows: list[RunRow]
    measures: Mapping[str, Summary]
    difference: Difference | None  # of SORTED_BY; None for the first group


@dataclass(frozen=True)
class Table:
    """All rows, sorted by the distance. `source` says how the measures were taken."""

    runs: list[RunRow]
    groups: list[GroupRow]
    source: str

    @property
    def metrics(self) -> list[Any]:
        """The metrics that at least one run has."""
        return [m for m in METRICS if any(m.name in row.measures for row in self.runs)]


def build_table(runs: Sequence[Run]) -> Table:
    """Compares runs. Only values that were measured in the same way stand in one table."""
    evaluated = all(run.evaluation for run in runs) and len({_basis(run) for run in runs}) == 1
    measures = _from_evaluation if evaluated else _from_training
    keys = distinguishing_keys(runs)
    names = _names(runs)
    rows = [
        RunRow(run, name, describe(run, keys), measures(run))
        for run, name in zip(runs, names, strict=True)
    ]
    row_of = {row.run.folder: row for row in rows}
    groups = [[row_of[run.folder] for run in members] for members in group(runs)]
    return Table(sorted(rows, key=_distance), _group_rows(groups), _source(runs, evaluated))


def _group_rows(groups: Sequence[Sequence[RunRow]]) -> list[GroupRow]:
    summaries = sorted(
        ((sorted(rows, key=_distance), _summaries(rows)) for rows in groups),
        key=lambda pair: _mean(pair[1].get(SORTED_BY.name)),
    )
    first = summaries[0][1].get(SORTED_BY.name)
    return [
        GroupRow(rows, measures, _difference(measures.get(SORTED_BY.name), first))
        for rows, measures in summaries
    ]


def _difference(summary: Summary | None, first: Summary | None) -> Difference | None:
    if summary is None or first is None or summary is first:
        return None
    return difference(summary, first)


def _summaries(rows: Sequence[RunRow]) -> dict[str, Summary]:
    names = dict.fromkeys(name for row in rows for name in row.measures)
    return {
        name: Summary(tuple(row.measures[name] for row in rows if name in row.measures))
        for name in names
    }


def _mean(summary: Summary | None) -> float:
    return float("inf") if summary is None else summary.mean


def _distance(row: RunRow) -> float:
    value = row.measures.get(SORTED_BY.name)
    return float("inf") if value is None else value.value


def _from_evaluation(run: Run) -> dict[str, Value]:
    measures = run.evaluation["measures"]
    return {
        metric.name: Value(m["value"], _margin(m))
        for metric in METRICS
        if (m := measures.get(metric.name)) is not None
    }


def _margin(measure: Mapping[str, Any]) -> float | None:
    error = measure.get("standard_error")
    return margin_of((measure.get("low"), measure.get("high"))) or (error and 1.96 * error)


def _from_training(run: Run) -> dict[str, Value]:
    last = {metric.name: run.last(metric.name) for metric in METRICS}
    return {name: Value(value) for name, value in last.items() if value is not None}


def _basis(run: Run) -> tuple[str | None, ...]:
    """What two evaluations must have in common for their values to be comparable."""
    facts = run.evaluation.get("facts", {})
    return tuple(facts.get(name) for name in COMPARABLE)


def _source(runs: Sequence[Run], evaluated: bool) -> str:
    if evaluated:
        facts = runs[0].evaluation["facts"]
        return f"by facegan.evaluate, {facts['faces']} generated, against {facts['against']}"
    text = "the last measurement during each training, on the val split"
    if all(run.evaluation for run in runs):
        return f"{text} (the runs' evaluation.json differ in what they compare)"
    folders = ",".join(f'"{run.folder}"' for run in runs if not run.evaluation)
    return (
        f"{text}; intervals, density and coverage need an evaluation of each run: "
        f"python -m facegan.evaluate -m 'weights=[{folders}]'"
    )


def _names(runs: Sequence[Run]) -> list[str]:
    """The shortest ends of the folders' paths that tell the runs apart."""
    paths = [run.folder.absolute().parts for run in runs]
    for length in range(1, max(map(len, paths))):
        names = ["/".join(parts[-length:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    return ["/".join(parts) for parts in paths]
