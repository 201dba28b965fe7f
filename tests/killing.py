"""Runs a command in another process, which ends itself by SIGKILL at a chosen event.

Events are the steps of a training, the renames of files (before and after), and the lines of
metrics.jsonl, of which a killed process leaves a half.
"""

import contextlib
import importlib
import itertools
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facegan.data import pack as packing
from facegan.gan.module import GAN
from facegan.training.metrics import MetricsFile

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["killing", "facegan.train", "facegan.training.run"])


def run(folder: Path, command: str, *arguments: str, kill_at: int | None = None) -> int:
    """The exit code of `python -m facegan.VERB ARGUMENTS` in `folder`; -9 if it was killed.

    What it prints is added to `folder`/log.
    """
    process = CONTEXT.Process(target=_run, args=(folder, command, arguments, kill_at))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def count_events(folder: Path) -> int:
    """The number of events of the last run in `folder` that was not killed."""
    return int((folder / "events").read_text())


def _run(folder: Path, command: str, arguments: tuple[str, ...], kill_at: int | None) -> None:
    os.chdir(folder)
    events = itertools.count()
    _watch(events, kill_at)
    sys.argv = [f"facegan.{command}", *arguments]
    with (
        open("log", "a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        importlib.import_module(f"facegan.{command}").main()
    Path("events").write_text(str(next(events)))


def _watch(events: "itertools.count[int]", kill_at: int | None) -> None:
    def event(before_the_kill: Callable[[], Any] = lambda: None) -> None:
        if next(events) == kill_at:
            before_the_kill()
            os.kill(os.getpid(), signal.SIGKILL)

    training_step, replace, write_line = GAN.training_step, os.replace, MetricsFile.write_line
    check_packed = packing._check

    def watched_step(self: GAN, *args: Any) -> Any:
        event()
        return training_step(self, *args)

    def watched_replace(source: Any, target: Any) -> None:
        event()
        replace(source, target)
        event()

    def watched_line(self: MetricsFile, values: Any) -> None:
        line = json.dumps(values)
        event(lambda: self.path.open("a").write(line[: len(line) // 2]))
        write_line(self, values)

    def watched_check(*args: Any) -> None:
        event()
        check_packed(*args)

    GAN.training_step = watched_step  # type: ignore[method-assign]
    os.replace = watched_replace
    MetricsFile.write_line = watched_line  # type: ignore[method-assign]
    packing._check = watched_check
