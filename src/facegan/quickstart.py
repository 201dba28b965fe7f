"""From a folder of photographs to new faces: look, choose, train, evaluate, make a page.

python -m facegan.quickstart photos=DIR                  the whole way, a quarter of an hour or more
python -m facegan.quickstart photos=DIR --dry-run        only say what would be done, and why
python -m facegan.quickstart photos=DIR title="The Smiths" trainer.max_time=00:30:00

Every choice is printed as a key of facegan.train; such keys can also be given here.
"""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig

from facegan.cli.arguments import ArgumentKind, quote, quote_literals
from facegan.cli.command import command
from facegan.core.console import leaving_a_core, signals_handled_by

OWN = ("photos", "title", "dry_run", "hydra.run.dir")
NEEDED = ("prepare", "train")  # the others may fail without harm to the weights
FACES = 2000  # for an evaluation, which few photographs limit more than few faces
PAGE = "page"  # a folder in the run's
NO_SLIDERS = "directions=false"  # of attributes such as Attractive, tactless about relatives


@dataclass
class QuickstartConfig:
    """The types of conf/quickstart.yaml."""

    photos: str = MISSING
    title: str | None = MISSING
    dry_run: bool = MISSING
    train: list[str] = MISSING


def complete(arguments: list[str]) -> list[str]:
    """`arguments` with --dry-run as a key, and the keys of facegan.train in train=[…]."""
    words = ["dry_run=true" if word == "--dry-run" else word for word in arguments]
    keys = [word for word in words if word[:1] != "-" and word.partition("=")[0] not in OWN]
    listed = ",".join(quote(key, ArgumentKind.TEXT) for key in keys)
    return [*(word for word in words if word not in keys), f"train=[{listed}]"]


@command("quickstart", QuickstartConfig, complete=complete)
def main(cfg: DictConfig) -> None:
    from facegan.latent.movement import still_the_start, train_longer
    from facegan.training.plan import look, next_steps, plan  # torch, which --help does not need

    folder = Path(HydraConfig.get().runtime.output_dir)
    facts = look(Path(cfg.photos))
    choices = plan(facts, dict(key.lstrip("+").partition("=")[::2] for key in cfg.train))
    print(f"{'photographs':14}{facts}", *choices, sep="\n", flush=True)
    chosen = [word for choice in choices for word in choice.overrides.split()]
    keys = ["data=folder", f"data.root={cfg.photos}", *chosen, *cfg.train]
    hydra.compose("train", quote_literals(keys))  # refuses a wrong key before anything is done
    title, page = cfg.title or Path(cfg.photos).stem, folder / PAGE / "index.html"
    steps = commands(keys, title, folder)
    if cfg.dry_run:
        print("\nthe commands:", *map(shown, steps), sep="\n")
        return
    for number, words in enumerate(steps):
        code = run(words)
        if code and (words[0] in NEEDED or not 0 < code < 128):  # or by a signal
            if words[0] == "train" and (folder / "config.yaml").is_file():
                steps[number] = ["train", f"resume={folder}"]
            print("\nwhat is left:", *map(shown, steps[number:]), sep="\n")
            print("\nthen look at", page, sep="\n  ")
            sys.exit(code)
        if words[0] == "train" and (warning := still_the_start(folder)):
            left = [threads() + train_longer(folder), *map(shown, steps[number + 1 :])]
            print(f"\nno page is made: {warning}\nwhat is left:", *left, sep="\n")
            sys.exit(2)
    grids = sorted((folder / "samples").glob("*.gif"))
    files = [path for path in (page, folder / "evaluation.html", *grids) if path.is_file()]
    path = folder / "evaluation.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    print("\nlook at", *files, sep="\n  ")
    longer = " && ".join([threads() + train_longer(folder), *map(shown, steps[2:])])
    own = [f"photos={cfg.photos}", f"title={title}", "model=lite", "evaluate_every=0"]
    scratch = shown(["quickstart", *own])
    print("try next", *next_steps(facts, report, longer, scratch), sep="\n  ")


def commands(keys: list[str], title: str, folder: Path) -> list[list[str]]:
    """The words of the commands of the whole way; `keys` are those of facegan.train."""
    data = [key for key in keys if key.startswith("data")]
    return [
        ["prepare", *data],
        ["train", *keys, f"hydra.run.dir={folder}"],
        ["evaluate", f"weights={folder}", f"evaluation.faces={FACES}"],
        ["export", f"weights={folder}", f"out={folder / PAGE}", f"title={title}", NO_SLIDERS],
    ]


def threads() -> str:
    """Before a command, the number of threads of `run`, unless the user has set one."""
    chosen = leaving_a_core()["OMP_NUM_THREADS"]
    return "" if "OMP_NUM_THREADS" in os.environ else f"OMP_NUM_THREADS={chosen} "


def shown(words: list[str]) -> str:
    """The command of these words, as a shell reads it, with the number of threads of `run`."""
    return f"{threads()}python -m facegan.{shlex.join(words)}"


def run(words: list[str]) -> int:
    """The exit code of `python -m facegan.WORDS`, which gets the signals that come meanwhile."""
    print(f"\n$ {shown(words)}", flush=True)
    command = [sys.executable, "-m", f"facegan.{words[0]}", *words[1:]]
    # a session of its own, or a terminal's Ctrl-C would come twice
    with (
        subprocess.Popen(command, start_new_session=True, env=leaving_a_core()) as process,
        signals_handled_by(lambda signum, frame: process.send_signal(signum)),
    ):
        return process.wait()


if __name__ == "__main__":
    main()
