"""Is `lite` as good as at earlier commits? Run it before and after a change of a recipe.

make bench-quality DATA=PATH
python benchmarks/recipe.py trainer.precision=32-true data.root=PATH data.verify=false

Trains lite and the baseline of benchmarks/quality.py for the same numbers of images, at the same
time, on one core each: about twenty minutes. Compares 10,000 faces of each with the training
photographs, adds the distances to benchmarks/results/recipe.json, and prints them with those of
earlier commits.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from environment import environment
from quality import BASELINE, REPOSITORY, finish, start, to_training

from facegan.core.tables import table_text
from facegan.training.build import default_precision

RESULTS = REPOSITORY / "benchmarks" / "results" / "recipe.json"
RUNS = Path("outputs/recipe")
RECIPES = {"lite": ("model=lite",), "baseline": BASELINE}
BUDGETS = (100_000, 400_000)  # images
MEASURE = "frechet_distance_to_training"


def measure(commit: str, images: int, seed: int, options: list[str]) -> dict[str, Any]:
    """The record of one budget: both recipes' distances and their ratio."""
    folders = {name: RUNS / f"{commit}-{name}-{images}-{seed}" for name in RECIPES}
    budget = (f"trainer.max_images={images}", f"seed={seed}", "evaluate_every=0", "logger=none")
    processes = [
        start(1, "-m", "facegan.train", *recipe, *budget, *options, f"hydra.run.dir={folder}")
        for recipe, folder in zip(RECIPES.values(), folders.values(), strict=True)
    ]
    finish(processes)
    distances = {name: to_training(folder)[MEASURE] for name, folder in folders.items()}
    precision = [o.partition("=")[2] for o in options if o.startswith("trainer.precision=")]
    return {
        "commit": commit,
        "images": images,
        "seed": seed,
        "precision": precision[0] if precision else default_precision("auto"),
        **distances,
        "ratio": distances["lite"] / distances["baseline"],
        **environment(),
    }


def show(records: list[dict[str, Any]]) -> None:
    names = ("images", "precision", "commit", "seed", "lite", "baseline", "ratio", "machine")
    ordered = sorted(records, key=lambda record: (record["images"], record["precision"]))
    rows = [
        [f"{v:.3f}" if isinstance(v := record[name], float) else str(v) for name in names]
        for record in ordered
    ]
    print(table_text(names, rows, "Fréchet distance to the training photographs"), end="")


def main(*options: str) -> None:
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    seeds = [o.partition("=")[2] for o in options if o.startswith("seed=")]
    others = [option for option in options if not option.startswith("seed=")]
    records = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for images in BUDGETS:
        records.append(measure(commit, images, int(seeds[0]) if seeds else 0, others))
        RESULTS.write_text(json.dumps(records, indent=1) + "\n")
    show(records)


if __name__ == "__main__":
    main(*sys.argv[1:])
