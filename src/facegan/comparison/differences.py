"""What differs between the configs of runs."""

from collections.abc import Sequence
from typing import Any

from facegan.comparison.runs import Run

SEEDS = SEED, MODEL_SEED = "seed", "model.seed"  # the second one follows the first by default
SHOWN_APART = ("recipe",)
NOT_THE_RUN = (  # where a run lies and what it writes, not what it is
    *("resume", "trust", "data.root", "data.packed_dir"),
    *("logger", "checkpoint", "snapshots", "sample_every"),
)
NONE = "–"
KEYS_SHOWN = 4  # in a row of a table; the page has all

FlatConfig = dict[str, str]  # full key -> value as text


def flatten(config: dict[str, Any], prefix: str = "") -> FlatConfig:
    """{"model": {"loss": {"_target_": "….Hinge"}}} -> {"model.loss": "Hinge"}."""
    flat: FlatConfig = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if key in NOT_THE_RUN:
            continue
        if isinstance(value, dict):
            flat |= flatten(value, f"{key}.")
        elif name == "_target_":
            flat[prefix.rstrip(".")] = str(value).rpartition(".")[2]
        else:
            flat[key] = "null" if value is None else str(value)
    return flat


def differing_keys(configs: Sequence[FlatConfig]) -> list[str]:
    """The keys whose values are not the same in all configs, in the order of the configs."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({config.get(key, NONE) for config in configs}) > 1]


def distinguishing_keys(runs: Sequence[Run]) -> list[str]:
    """The keys that tell the runs apart beside their recipes and seeds.

    Two recipes differ in many keys under `model`, which their names stand for. These keys count
    where runs of one recipe differ in them.
    """
    recipes = {run.recipe for run in runs}
    within = {
        key
        for recipe in recipes
        for key in differing_keys([flatten(r.config) for r in runs if r.recipe == recipe])
    }
    everywhere = differing_keys([flatten(run.config) for run in runs])
    return [
        key
        for key in everywhere
        if key not in (*SEEDS, *SHOWN_APART)
        and (key in within or not (key == "model" or key.startswith("model.")))
    ]


def describe(run: Run, keys: Sequence[str]) -> str:
    """The first values of `keys` in the run's config: "model.loss=Hinge, model.batch_size=32"."""
    config = flatten(run.config)
    shown = [f"{key}={config.get(key, NONE)}" for key in keys[:KEYS_SHOWN]]
    more = len(keys) - len(shown)
    return ", ".join(shown + [f"and {more} more"] * (more > 0))


def group(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in nothing but their seeds are in one group."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        config = {k: v for k, v in flatten(run.config).items() if k not in SEEDS}
        key = frozenset(config.items()) or run.folder  # an unknown config is like no other
        groups.setdefault(key, []).append(run)
    return list(groups.values())
