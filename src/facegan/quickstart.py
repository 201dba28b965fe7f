"""From a folder of photographs to new faces: look, choose, train, evaluate, make a page.

python -m facegan.quickstart photos=DIR                  the whole way, about a quarter of an hour
python -m facegan.quickstart photos=DIR --dry-run        only say what would be done, and why
python -m facegan.quickstart photos=DIR title="The Smiths" trainer.max_time=00:30:00

Every choice is printed as a key of facegan.train; such keys can also be given here.
"""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig

from facegan.cli.arguments import ArgumentKind, quote, quote_literals
from facegan.cli.command import command
from facegan.core.console import heeded_signals

OWN = ("photos", "title", "dry_run", "hydra.run.dir")
NEEDED = ("prepare", "train")  # the others may fail without harm to the weights
FACES = 2000  # for an evaluation, which few photographs limit more than few faces
PAGE = "page"  # a folder in the run's


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
    from facegan.training.plan import look, next_steps, plan  # torch, which --help does not need

    folder = Path(HydraConfig.get().runtime.output_dir)
    facts = look(Path(cfg.photos))
    choices = plan(facts, dict(key.lstrip("+").partition("=")[::2] for key in cfg.train))
    print(f"{'photographs':14}{facts}", *choices, sep="\n", flush=True)
    chosen = [word for choice in choices for word in choice.overrides.split()]
    keys = ["data=folder", f"data.root={cfg.photos}", *chosen, *cfg.train]
    hydra.compose("train", quote_literals(keys))  # refuses a wrong key before anything is done
    steps = commands(keys, cfg.title or Path(cfg.photos).stem, folder)
    if cfg.dry_run:
        print("\nthe commands:", *(f"facegan {shlex.join(words)}" for words in steps), sep="\n")
        return
    for number, words in enumerate(steps):
        code = run(words)
        if code and (words[0] in NEEDED or not 0 < code < 128):  # or by a signal
            left = [f"facegan {shlex.join(words)}" for words in steps[number + 1 :]]
            print("\nwhat is left:", *left, sep="\n")
            sys.exit(code)
    print("\nlook at", *(path for path in results(folder) if path.is_file()), sep="\n  ")
    print("try next", *next_steps(facts, report(folder), folder), sep="\n  ")


def commands(keys: list[str], title: str, folder: Path) -> list[list[str]]:
    """The words of the commands of the whole way; `keys` are those of facegan.train."""
    data = [key for key in keys if key.startswith("data")]
    return [
        ["prepare", *data],
        ["train", *keys, f"hydra.run.dir={folder}"],
        ["evaluate", f"weights={folder}", f"evaluation.faces={FACES}"],
        ["export", f"weights={folder}", f"out={folder / PAGE}", f"title={title}"],
    ]


def run(words: list[str]) -> int:
    """The exit code of `python -m facegan.WORDS`, which gets the signals that come meanwhile."""
    print(f"\n$ facegan {shlex.join(words)}", flush=True)
    command = [sys.executable, "-m", f"facegan.{words[0]}", *words[1:]]
    # a session of its own, or a terminal's Ctrl-C would come twice
    with subprocess.Popen(command, start_new_session=True) as process:
        before = {signum: signal.signal(signum, forward(process)) for signum in heeded_signals()}
        code = process.wait()
    for signum, handler in before.items():
        signal.signal(signum, handler)
    return code


def forward(process: subprocess.Popen[bytes]) -> Callable[[int, Any], None]:
    return lambda signum, frame: process.send_signal(signum)


def results(folder: Path) -> list[Path]:
    """The files to look at, the first one first."""
    page, grids = folder / PAGE / "index.html", sorted((folder / "samples").glob("*.gif"))
    return [page, folder / "evaluation.html", *grids]


def report(folder: Path) -> dict[str, Any]:
    """The content of the evaluation's JSON; empty without one."""
    path = folder / "evaluation.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


if __name__ == "__main__":
    main()
