"""Compares all recipes after ten minutes of training on the same photographs.

python benchmarks/quality.py run data.root=PATH data.verify=false    # hours, on a quiet machine
python benchmarks/quality.py peers data.root=PATH data.verify=false  # other installed libraries
python benchmarks/quality.py show                                    # the tables and the figure

`run` trains the recipes that benchmarks/results/quality.json lacks, each for 600 seconds, compares
10,000 of their faces with the test and the training photographs, and adds the results to that file.
First lite and the baseline run alone on two cores, two seeds each, in bf16 and in fp32; then all
recipes run on one core each, two at a time, in bf16. `show` needs matplotlib: pip install -e
".[bench]".
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from environment import environment

from facegan import Generator
from facegan.data.dataset import open_dataset
from facegan.data.recorded import read_record
from facegan.evaluation.distances import frechet_distance, gaussian_statistics, kernel_distance
from facegan.evaluation.features import AttributeFeatures, split_features

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results" / "quality.json"
FIGURE = REPOSITORY / "docs" / "images" / "quality.svg"
RUNS = Path("outputs/quality")
SECONDS = 600
FACES = 10_000

# the article's recipe at a size that two cores can train
BASELINE = (
    "model=dcgan",
    "model.generator.width=160",
    "model.generator.latent_dim=64",
    "model.generator.dropout=0",
    "model.discriminator.width=32",
)
RECIPES = {
    "baseline": BASELINE,
    **{name: (f"model={name}",) for name in ("lite", "full", "sngan", "wgan_gp", "lsgan", "r3gan")},
}
PRECISIONS = {"bf16": "bf16-mixed", "fp32": "32-true"}
ALONE = (("baseline", 0), ("lite", 0), ("lite", 1), ("baseline", 1))  # (recipe, seed)
GROUPS = (  # the runs that share the machine, the cores of each, the precision
    *(((job,), 2, precision) for precision in PRECISIONS for job in ALONE),
    ((("sngan", 0), ("wgan_gp", 0)), 1, "bf16"),
    ((("lsgan", 0), ("r3gan", 0)), 1, "bf16"),
    ((("full", 0), ("lite", 0)), 1, "bf16"),
)
CONDITIONS = ((2, "bf16"), (2, "fp32"), (1, "bf16"))  # of the tables and the panels
COLUMNS = {  # of the tables: a metric, and the format of its mean
    "Fréchet": ("frechet_distance", "**{:.2f}**"),
    "Fréchet to training": ("frechet_distance_to_training", "{:.2f}"),
    "kernel": ("kernel_distance", "{:.4f}"),
    "kernel to training": ("kernel_distance_to_training", "{:.4f}"),
    "precision": ("precision", "{:.3f}"),
    "recall": ("recall", "{:.3f}"),
}
PEERS = {"mimicry": "torch_mimicry", "lightweight": "lightweight_gan"}  # argument, module

Record = dict[str, Any]


def start(cores: int, *arguments: str) -> subprocess.Popen[str]:
    print("python", *arguments, flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores)}
    return subprocess.Popen([sys.executable, *arguments], env=environment, text=True)


def finish(processes: Iterable[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.wait():
            raise SystemExit(f"exit code {process.returncode}")


def key(name: str, seed: int, cores: int, precision: str) -> str:
    return f"{name}-{seed}-{cores}-{precision}"


def recipe(name: str, seed: int, precision: str) -> list[str]:
    return [
        *RECIPES[name],
        f"seed={seed}",
        f"trainer.max_time=00:{SECONDS // 60}:00",
        f"trainer.precision={PRECISIONS[precision]}",
    ]


def train(jobs: list[tuple[str, int]], cores: int, precision: str, data: list[str]) -> None:
    """Trains some recipes at the same time, then evaluates one after the other."""
    folders = [RUNS / key(*job, cores, precision) for job in jobs]
    commands = [["-m", "facegan.train", *recipe(*job, precision)] for job in jobs]
    finish(
        [
            start(cores, *command, *data, f"hydra.run.dir={folder}")
            for command, folder in zip(commands, folders, strict=True)
        ]
    )
    for job, command, folder in zip(jobs, commands, folders, strict=True):
        lines = metrics(folder)
        record = {
            "command": f"python {' '.join(command)}",
            "images": lines[-1]["images"],
            "curve": [
                {"seconds": line["seconds"], "distance": line["frechet_distance"]}
                for line in lines
                if "frechet_distance" in line
            ],
        }
        measures = evaluate(folder / "evaluation", f"weights={folder}", data)
        measures |= to_training(folder)
        keep(*job, cores, precision, record | {"measures": measures})


def to_training(run: Path) -> dict[str, float]:
    """The distances of a run's faces to its training photographs.

    18,000 photographs are enough to make the Fréchet distance's bias small. 1,000 test photographs
    add about the same bias to every distance.
    """
    extractor = AttributeFeatures()
    generator = Generator.from_pretrained(run)
    faces = generator.sample(FACES)
    packed = open_dataset(Path(read_record(run)["data"]["path"]))
    training = split_features(packed, "train", extractor)
    generated = extractor(faces)
    frechet = frechet_distance(gaussian_statistics(training), gaussian_statistics(generated))
    return {
        "frechet_distance_to_training": frechet,
        "kernel_distance_to_training": kernel_distance(training, generated).value,
    }


def dataset() -> Path:
    """The packed photographs that the trainings have written."""
    return next(Path("data/packed").iterdir())


def evaluate(folder: Path, what: str, data: list[str]) -> dict[str, float]:
    finish([start(2, "-m", "facegan.evaluate", what, f"out={folder}", *data)])
    measures = json.loads((folder / "evaluation.json").read_text())["measures"]
    return {name: measure["value"] for name, measure in measures.items()}


def metrics(folder: Path) -> list[Record]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def known(results: Path = RESULTS) -> dict[str, Record]:
    return json.loads(results.read_text()) if results.exists() else {}


def keep(name: str, seed: int, cores: int, precision: str, record: Record) -> None:
    about = {"recipe": name, "seed": seed, "cores": cores, "precision": precision}
    records = known() | {key(name, seed, cores, precision): about | environment() | record}
    RESULTS.write_text(json.dumps(records, indent=1) + "\n")


def run(data: list[str]) -> None:
    for jobs, cores, precision in GROUPS:
        missing = [job for job in jobs if key(*job, cores, precision) not in known()]
        if missing:
            train(missing, cores, precision, data)


def run_peers(data: list[str]) -> None:
    script = str(Path(__file__).with_name("peers.py"))
    for name, module in PEERS.items():
        if importlib.util.find_spec(module) and key(name, 0, 2, "fp32") not in known():
            faces = RUNS / key(name, 0, 2, "fp32")
            finish([start(2, script, name, str(dataset()), str(SECONDS), str(faces))])
            command = f"python benchmarks/peers.py {name} DATASET {SECONDS} OUT"
            measures = evaluate(Path(f"{faces}-evaluation"), f"images={faces}", data)
            keep(name, 0, 2, "fp32", {"command": command, "measures": measures})


def by_recipe(cores: int, precision: str) -> dict[str, list[Record]]:
    """The records of each recipe, best recipe first."""
    groups: dict[str, list[Record]] = {}
    for record in known().values():
        if (record["cores"], record["precision"]) == (cores, precision):
            groups.setdefault(record["recipe"], []).append(record)
    return dict(sorted(groups.items(), key=lambda item: mean(item[1], "frechet_distance")))


def measured_conditions() -> list[tuple[int, str]]:
    return [condition for condition in CONDITIONS if by_recipe(*condition)]


def mean(records: list[Record], measure: str) -> float:
    return statistics.fmean(record["measures"][measure] for record in records)


def table(cores: int, precision: str) -> str:
    """One row per recipe, with the columns that all records have."""
    groups = by_recipe(cores, precision)
    measured = [set(record["measures"]) for records in groups.values() for record in records]
    columns = {
        title: column
        for title, column in COLUMNS.items()
        if all(column[0] in measures for measures in measured)
    }
    lines = [
        f"| recipe | images | Fréchet, each seed | {' | '.join(columns)} |",
        "|---" * (3 + len(columns)) + "|",
    ]
    for name, records in groups.items():
        images = ", ".join(f"{record['images']:,}" for record in records if "images" in record)
        each = ", ".join(f"{record['measures']['frechet_distance']:.2f}" for record in records)
        means = [form.format(mean(records, measure)) for measure, form in columns.values()]
        lines.append(f"| {' | '.join([name, images, each, *means])} |")
    return "\n".join(lines)


def draw() -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "quality"  # the same file from the same numbers
    from matplotlib import pyplot

    conditions = measured_conditions()
    size = (5 * len(conditions), 5)
    figure, panels = pyplot.subplots(
        1, len(conditions), figsize=size, layout="constrained", sharey=True
    )
    for axes, (cores, precision) in zip(panels, conditions, strict=True):
        for name, records in by_recipe(cores, precision).items():
            colour = f"C{list(RECIPES).index(name)}" if name in RECIPES else "black"
            for record in records:
                points = [(p["seconds"], p["distance"]) for p in record.get("curve", [])]
                if points:
                    label = name if record is records[0] else None
                    axes.plot(*zip(*points, strict=True), color=colour, marker=".", label=label)
        axes.set(yscale="log", xlabel="seconds")
        axes.set_title(f"{cores} core{'s' * (cores > 1)}, {precision}")
        axes.grid(which="both", alpha=0.3)
        axes.legend(loc="upper right", fontsize="small")
    panels[0].set_ylabel("Fréchet distance, validation photographs")
    figure.savefig(FIGURE, bbox_inches="tight", metadata={"Date": None})


def main(what: str, *data: str) -> None:
    if what == "show":
        print(*(table(*condition) for condition in measured_conditions()), sep="\n\n")
        draw()
    else:
        {"run": run, "peers": run_peers}[what](list(data))


if __name__ == "__main__":
    main(*sys.argv[1:])
