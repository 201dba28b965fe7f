"""Differences between the configs of runs."""

from collections.abc import Sequence
from typing import Any

from facegan.comparison.runs import Run

SEEDS = SEED, MODEL_SEED = "seed", "model.seed"  # the second one follows the first by default
NONE = "–"
KEYS_SHOWN = 4  # in a row of a table; the page has all


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """The keys whose values are not the same in all configs, in the order of the configs."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    return [key for key in keys if len({run.settings.get(key, NONE) for run in runs}) > 1]


def distinguishing_keys(runs: Sequence[Run]) -> list[str]:
    """The keys that distinguish the runs, in addition to their recipes and seeds.

    Two recipes differ in many keys under `model`, and two classes in their arguments. These are
    included only if runs of one recipe, or of one class, differ in them.
    """
    keys = [key for key in differing_keys(runs) if key not in (*SEEDS, "recipe")]
    return [key for key in keys if _differs_within(key, runs)]


def _differs_within(key: str, runs: Sequence[Run]) -> bool:
    values: dict[Any, set[str]] = {}
    for run in runs:
        recipe = run.recipe if key.startswith("model.") else None
        part = run.settings.get(key.rpartition(".")[0])
        values.setdefault((recipe, part), set()).add(run.settings.get(key, NONE))
    return any(len(found) > 1 for found in values.values())


def describe(run: Run, keys: Sequence[str]) -> str:
    """The first values of `keys` in the run's config: "model.loss=Hinge, model.batch_size=32"."""
    shown = [f"{key}={run.settings.get(key, NONE)}" for key in keys[:KEYS_SHOWN]]
    more = len(keys) - len(shown)
    return ", ".join(shown + [f"and {more} more"] * (more > 0))


def group(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of runs that differ only in their seeds."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        settings = frozenset((k, v) for k, v in run.settings.items() if k not in SEEDS)
        groups.setdefault(settings or run.folder, []).append(run)  # without a config: alone
    return list(groups.values())
