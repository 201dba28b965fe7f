"""Trains recipes for twenty minutes, to see whether they diverge or collapse.

python benchmarks/stability.py run data.root=PATH data.verify=false  # 100 minutes
python benchmarks/stability.py show                                  # the table

`run` trains what benchmarks/results/stability.json lacks, three to six trainings at the same time
with one thread each, and adds their curves to that file: every recipe at 28 pixels on three seeds,
and lite at five sizes. A training whose loss becomes NaN ends with an exit code other than 0, which
is recorded.
"""

import itertools
import json
import sys
from pathlib import Path

from environment import environment
from quality import Record, known, metrics, start

RESULTS = Path(__file__).resolve().parent / "results" / "stability.json"
RUNS = Path("outputs/stability")
MINUTES = 20
SEEDS = (0, 1, 2)
RECIPES = (("lite",), ("full", "lsgan"), ("sngan", "r3gan"), ("dcgan", "wgan_gp"))
SIZES = {"28": "108", "32": "108", "56": "148", "64": "148", "128": "148"}  # and their crops
ROUNDS = (
    *(list(itertools.product(names, SEEDS)) for names in RECIPES),
    [(f"lite at {size}", 0) for size in SIZES],
)


def recipe(name: str, seed: int) -> list[str]:
    model, _, size = name.partition(" at ")
    words = [f"model={model}", f"seed={seed}", f"trainer.max_time=00:{MINUTES}:00"]
    return [*words, f"data.image_size={size}", f"data.crop={SIZES[size]}"] if size else words


def run(data: list[str]) -> None:
    for jobs in ROUNDS:
        if not all(f"{name}-{seed}" in known(RESULTS) for name, seed in jobs):
            train(jobs, data)


def train(jobs: list[tuple[str, int]], data: list[str]) -> None:
    """Trains all of them at the same time."""
    folders = {f"{name}-{seed}": RUNS / f"{name}-{seed}".replace(" ", "-") for name, seed in jobs}
    trainings = [
        start(1, "-m", "facegan.train", *recipe(*job), *data, f"hydra.run.dir={folder}")
        for job, folder in zip(jobs, folders.values(), strict=True)
    ]
    codes = [training.wait() for training in trainings]
    records = known(RESULTS)
    for (name, seed), (key, folder), code in zip(jobs, folders.items(), codes, strict=True):
        records[key] = {
            "recipe": name,
            "seed": seed,
            "at_once": len(jobs),
            **environment(),
            "command": f"python -m facegan.train {' '.join(recipe(name, seed))}",
            "exit_code": code,
            **curve(folder),
        }
    RESULTS.write_text(json.dumps(records, indent=1) + "\n")


def curve(folder: Path) -> Record:
    """Images seen and evaluations of a training; empty if it failed before the first epoch."""
    lines = metrics(folder) if (folder / "metrics.jsonl").exists() else []
    names = ("images", "seconds", "frechet_distance", "precision", "recall")
    return {
        "images": max((line["images"] for line in lines), default=0),
        "curve": [
            {name: line[name] for name in names} for line in lines if "frechet_distance" in line
        ],
    }


def show(_: list[str]) -> None:
    """One row per recipe, with one number per seed."""
    print("| recipe | runs at once | exit codes | images | lowest distance | last | recall |")
    print("|---|---|---|---|---|---|---|")
    for name, group in itertools.groupby(
        known(RESULTS).values(), key=lambda record: record["recipe"]
    ):
        records = list(group)
        curves = [record["curve"] for record in records]
        distances = [[point["frechet_distance"] for point in curve] for curve in curves]
        columns = (
            [f"{records[0]['at_once']}"],
            [f"{record['exit_code']}" for record in records],
            [f"{record['images']:,}" for record in records],
            [f"{min(values):.2f}" if values else "none" for values in distances],
            [f"{values[-1]:.2f}" if values else "none" for values in distances],
            [f"{curve[-1]['recall']:.2f}" if curve else "none" for curve in curves],
        )
        print(f"| {name} | {' | '.join(', '.join(column) for column in columns)} |")


def main(what: str, *data: str) -> None:
    {"run": run, "show": show}[what](list(data))


if __name__ == "__main__":
    main(*sys.argv[1:])
