"""The comparison as data: a row for each run, and one for each config over its seeds."""

import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegan.comparison.differences import describe, distinguishing_keys, group
from facegan.comparison.runs import Run
from facegan.comparison.significance import Difference, Summary, difference
from facegan.core.nested import flatten
from facegan.evaluation.metrics import METRICS, PRIMARY, QUANTITIES, Quantity

UNEQUAL = 1.05  # of the images of the shortest training
COMPARABLE = ("faces", "drawn", "against", "dataset", "features")  # facts of evaluation.json

Measures = Callable[[Run], dict[str, Summary]]


@dataclass(frozen=True)
class Row:
    """One run, or the runs of one config over their seeds."""

    runs: list[Run]
    differs: str
    measures: dict[str, Summary]  # by the metric's name

    @property
    def seeds(self) -> int:
        """The number of seeds: a repeated seed says nothing about others."""
        return len({str(run.seed) for run in self.runs})

    @property
    def primary(self) -> float:
        """The mean of the primary metric; infinite if it was not measured."""
        return self.measures[PRIMARY].mean if PRIMARY in self.measures else float("inf")


@dataclass(frozen=True)
class Table:
    """All rows, sorted by the primary metric. `source` describes how the values were measured."""

    runs: list[Row]
    groups: list[Row]
    source: str
    baseline: Path | None = None  # one of the runs; else differences are to the first group

    @property
    def metrics(self) -> list[Quantity]:
        """The metrics that at least one run has."""
        return [m for m in QUANTITIES if any(m.name in row.measures for row in self.runs)]

    @property
    def names(self) -> list[str]:
        """The folder of each run, relative to the folder that all runs are in."""
        folders = [row.runs[0].folder.absolute() for row in self.runs]
        common = os.path.commonpath([folder.parent for folder in folders])
        return [str(folder.relative_to(common)) for folder in folders]

    def difference(self, row: Row) -> Difference | None:
        """How much a group's mean of the primary metric is above the baseline's."""
        rows = (row for row in self.groups if self.baseline in [run.folder for run in row.runs])
        first = next(rows, self.groups[0])
        if row is first or not {PRIMARY} <= row.measures.keys() & first.measures.keys():
            return None
        return difference(row.measures[PRIMARY], first.measures[PRIMARY])


def build_table(runs: Sequence[Run], baseline: Path | None = None) -> Table:
    """Compares runs by values that were measured in the same way."""
    facts = [run.evaluation.get("facts", {}) for run in runs]
    bases = {tuple(fact.get(name) for name in COMPARABLE) for fact in facts}
    evaluated = all(run.evaluation for run in runs) and len(bases) == 1
    measures = _from_evaluation if evaluated else _from_training
    keys = distinguishing_keys(runs)

    def sorted_rows(groups: Sequence[list[Run]]) -> list[Row]:
        rows = [
            Row(members, describe(members[0], keys), _over_seeds(members, measures))
            for members in groups
        ]
        return sorted(rows, key=lambda row: row.primary)

    rows = sorted_rows([[run] for run in runs])
    groups = sorted_rows(group([row.runs[0] for row in rows]))
    return Table(rows, groups, _source(runs, evaluated), baseline)


def _over_seeds(runs: Sequence[Run], measures: Measures) -> dict[str, Summary]:
    """The measures of each seed. Runs that repeat a seed, as a replay does, count as one."""
    by_seed: dict[str, list[dict[str, Summary]]] = {}
    for run in runs:
        by_seed.setdefault(str(run.seed), []).append(measures(run))
    first, *others = [_mean(found) for found in by_seed.values()]
    if not others:
        return first
    names = dict.fromkeys(name for found in (first, *others) for name in found)
    return {
        name: Summary(tuple(found[name].mean for found in (first, *others) if name in found))
        for name in names
    }


def _mean(measures: Sequence[dict[str, Summary]]) -> dict[str, Summary]:
    """The means of measures of one seed, with the first margin."""
    return {
        name: Summary(
            (statistics.fmean(found[name].mean for found in measures if name in found),),
            summary.margin,
        )
        for name, summary in measures[0].items()
    }


def _from_evaluation(run: Run) -> dict[str, Summary]:
    measures = run.evaluation["measures"]
    names = [quantity.name for quantity in QUANTITIES if quantity.name in measures]
    return {name: Summary((measures[name]["value"],), _margin(measures[name])) for name in names}


def _margin(measure: Mapping[str, Any]) -> float | None:
    """Half of a 95% interval; None if there is none."""
    low, high, error = (measure.get(name) for name in ("low", "high", "standard_error"))
    if low is not None and high is not None:
        return float((high - low) / 2)
    return None if error is None else 1.96 * error


def _from_training(run: Run) -> dict[str, Summary]:
    logged = {metric.name: run.values(metric.name) for metric in METRICS}
    return {name: Summary((values[-1],)) for name, values in logged.items() if values}


def _source(runs: Sequence[Run], evaluated: bool) -> str:
    images = [run.entries[-1]["images"] for run in runs if run.entries]
    budgets = ""
    if images and max(images) > UNEQUAL * min(images):
        budgets = f"; trainings of {min(images):,.0f} to {max(images):,.0f} images"
    if evaluated:
        facts = runs[0].evaluation["facts"]
        how = f"by facegan.evaluate, {facts['faces']} generated, against {facts['against']}"
        return how + budgets
    text = f"the last measurement during each training, on the val split{budgets}"
    if len({run.photographs for run in runs} - {""}) > 1:
        text += " (of other photographs: distances of such runs cannot be compared)"
    if all(run.evaluation for run in runs):
        return f"{text} (the runs' evaluation.json differ in what they compare)"
    targets = {str(flatten(run.config).get("model.generator._target_")) for run in runs}
    own = [t.rpartition(".")[0] for t in sorted(targets) if re.match(r"(?!facegan\.)\w[\w.]+\.", t)]
    trust = f" 'trust=[{','.join(own)}]'" if own else ""
    folders = ",".join(f'"{run.folder}"' for run in runs if not run.evaluation)
    return (
        f"{text}; intervals, density and coverage need an evaluation of each run: "
        f"python -m facegan.evaluate -m 'weights=[{folders}]'{trust}"
    )
