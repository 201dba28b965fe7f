"""Whose faces are best after ten minutes? Every recipe on the same photographs, one after another.

python benchmarks/quality.py run data.root=PATH data.verify=false    # hours, on a quiet machine
python benchmarks/quality.py show                                    # the table and the figure

`run` trains what benchmarks/results/quality.json lacks, each for 600 seconds, judges 10,000 of its
faces against the test photographs, and adds it to that file. Peers (benchmarks/peers.py) join
where they are installed. `show` wants matplotlib: pip install -e ".[bench]".
"""

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results" / "quality.json"
FIGURE = REPOSITORY / "docs" / "images" / "quality.svg"
RUNS = Path("outputs/quality")
SECONDS = 600

# the article's recipe at a size that two cores can train: batch norm in both networks, logistic
# loss, Adam(0.5, 0.999) at 2e-4, batch 64
BASELINE = (
    "model=dcgan",
    "model.generator.width=160",
    "model.generator.latent_dim=64",
    "model.generator.dropout=0",
    "model.discriminator.width=32",
)
RECIPES = {
    "baseline": BASELINE,
    **{
        name: (f"model={name}",)
        for name in ("lite", "full", "sngan", "wgan_gp", "lsgan", "r3gan", "dcgan")
    },
}
JOBS = (  # recipe, seed
    ("baseline", 0),
    ("lite", 0),
    ("lite", 1),
    ("baseline", 1),
    ("sngan", 0),
    ("r3gan", 0),
    ("wgan_gp", 0),
    ("lsgan", 0),
    ("full", 0),
    ("dcgan", 0),
)
PEERS = {"mimicry": "torch_mimicry", "lightweight": "lightweight_gan"}  # argument, module

Record = dict[str, Any]


def python(*arguments: str) -> str:
    """Runs a command, and returns its last line; what it prints is seen as well."""
    print("python", *arguments, flush=True)
    command = [sys.executable, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.strip() or last
    if process.wait():
        raise SystemExit(f"exit code {process.returncode}")
    return last


def train(name: str, overrides: tuple[str, ...], seed: int, data: list[str]) -> Record:
    folder = RUNS / f"{name}-{seed}"
    recipe = [*overrides, f"seed={seed}", f"trainer.max_time=00:{SECONDS // 60}:00"]
    python("-m", "facegan.train", *recipe, *data, f"hydra.run.dir={folder}")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    curve = [
        {"seconds": line["seconds"], "images": line["images"], "distance": line["frechet_distance"]}
        for line in lines
        if "frechet_distance" in line
    ]
    evaluation = [f"weights={folder}", f"out={folder}/evaluation"]
    return {
        "command": f"python -m facegan.train {' '.join(recipe)}",
        "images": lines[-1]["images"],
        "curve": curve,
        "measures": judge(folder / "evaluation", evaluation, data),
    }


def train_peer(name: str, seed: int, archive: Path, data: list[str]) -> Record:
    faces = RUNS / f"{name}-{seed}"
    script = str(Path(__file__).with_name("peers.py"))
    told = python(script, name, str(archive), str(SECONDS), str(faces), str(seed))
    folder = RUNS / f"{name}-{seed}-evaluation"
    return {
        "command": f"python benchmarks/peers.py {name} ARCHIVE {SECONDS} OUT {seed}",
        "told": told,
        "measures": judge(folder, [f"images={faces}", f"out={folder}"], data),
    }


def judge(folder: Path, what: list[str], data: list[str]) -> dict[str, float]:
    python("-m", "facegan.evaluate", *what, *data)
    measures = json.loads((folder / "evaluation.json").read_text())["measures"]
    return {name: measure["value"] for name, measure in measures.items()}


def known() -> dict[str, Record]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(name: str, seed: int, record: Record) -> None:
    import torch

    machine = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}"
    about = {"seed": seed, "machine": machine, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    records = known() | {f"{name}-{seed}": record | about}
    RESULTS.write_text(json.dumps(records, indent=1) + "\n")


def run(data: list[str]) -> None:
    for name, seed in JOBS:
        if f"{name}-{seed}" not in known():
            keep(name, seed, train(name, RECIPES[name], seed, data))
    archive = next(Path("data/archives").iterdir())
    for name, module in PEERS.items():
        if importlib.util.find_spec(module) and f"{name}-0" not in known():
            keep(name, 0, train_peer(name, 0, archive, data))


def by_recipe() -> dict[str, list[Record]]:
    """The records of each recipe, best recipe first."""
    groups: dict[str, list[Record]] = {}
    for key, record in known().items():
        groups.setdefault(key.rsplit("-", 1)[0], []).append(record)
    return dict(sorted(groups.items(), key=lambda item: mean(item[1], "frechet_distance")))


def mean(records: list[Record], measure: str) -> float:
    return statistics.mean(record["measures"][measure] for record in records)


def table() -> str:
    measures = ("frechet_distance", "kernel_distance", "precision", "recall")
    lines = [
        "| recipe | seeds | images | Fréchet | of each seed | kernel | precision | recall |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, records in by_recipe().items():
        images = [str(record.get("images", "")) for record in records]
        each = ", ".join(f"{record['measures']['frechet_distance']:.2f}" for record in records)
        frechet, kernel, precision, recall = (mean(records, measure) for measure in measures)
        lines.append(
            f"| {name} | {len(records)} | {', '.join(images)} | {frechet:.2f} | {each} "
            f"| {kernel:.4f} | {precision:.3f} | {recall:.3f} |"
        )
    return "\n".join(lines)


def draw() -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "quality"  # the same file from the same numbers
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for number, (name, records) in enumerate(by_recipe().items()):
        for record in records:
            points = [(point["seconds"], point["distance"]) for point in record.get("curve", [])]
            if points:
                label = name if record is records[0] else None
                axes.plot(*zip(*points, strict=True), color=f"C{number}", marker=".", label=label)
    axes.set(xlabel="seconds on two cores", ylabel="Fréchet distance", yscale="log")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    figure.savefig(FIGURE, bbox_inches="tight", metadata={"Date": None})


def main(what: str, *data: str) -> None:
    if what == "run":
        run(list(data))
    else:
        print(table())
        draw()


if __name__ == "__main__":
    main(*sys.argv[1:])
