"""A training that the page starts, stops and resumes: an ordinary train command."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from facegan.core import pretrained
from facegan.core.console import leaving_a_core
from facegan.core.errors import FaceganError
from facegan.core.images import open_image
from facegan.core.run_files import METRICS_FILE, Entry, read_metrics
from facegan.data.recorded import read_record
from facegan.web.faces import relative

COMMAND = ["-m", "facegan.train"]
LOG = "training.log"
LEFT = re.compile(r"epoch \d+: .*, (about .*) to ")  # in a line of the log
PREPARING = re.compile(r"\w[\w ]*: +\d+%")  # at its beginning
HEALTHY, COLLAPSE = "healthy", "collapse"
PRESETS = {
    HEALTHY: "A good training, about a minute on two idle cores: faces become clearer, "
    "and stay different. The Fréchet distance falls. Train it first: others are compared with it.",
    COLLAPSE: "Mode collapse, half a minute: goes on from the healthy faces, but G learns twenty "
    "times as fast as D. The faces break up; then all latents give nearly the same face. The "
    "Fréchet distance jumps, and recall falls back to 0.",
    "overfit": "Overfitting, half a minute: D memorizes its 134 training images. D_real_logits "
    "leap to about 80 within 1,000 images; then they stay near 10, above D_fake_logits near 4. The "
    "faces stop improving. There are too few images to measure the Fréchet distance.",
    "saturation": "Saturation, half a minute: D separates all images at once. D_loss and G_loss "
    "are flat near 0, and the grid shows noise to the end.",
}
GENERATED, PHOTOGRAPHS = "lite on generated faces", "lite on own photographs"
DESCRIPTIONS = {
    **PRESETS,
    GENERATED: "The recipe `lite`, as long as you like, on 5,000 faces that `full-28` draws.",
    PHOTOGRAPHS: "The recipe `lite`, as long as you like, on the photographs of `photos=`.",
}
REMEDY = " with the remedy"
REMEDIES = {
    COLLAPSE: "equal learning rates, `relativistic`, and minibatch standard deviation in D",
    "overfit": "4,000 training images, flips, equal learning rates, and R1",
    "saturation": "`relativistic`, R1, equal learning rates, and one step of D for each of G",
}
STARTING = "Starting: the program is loaded; then the faces to learn from are drawn."
LIVE = ["sample_every=3", "trainer.log_every_n_steps=10"]


class Training:
    """At most one training at a time, in a separate process, under `outputs`/app."""

    def __init__(self, outputs: Path, photographs: str | None) -> None:
        self.outputs = outputs / "app"
        self.name = ""  # what is trained
        self.runs: list[Path] = []  # the run, after those whose weights it goes on from
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped = False
        self.data = {GENERATED: ["data=generated", "data.count=5000"]}
        if photographs is not None:
            self.data[PHOTOGRAPHS] = ["data=folder", f"data.root={photographs}"]
        if begun := sorted(path.parent for path in self.outputs.glob("*/config.yaml")):
            self.runs = begun[-1:]  # of an earlier app
            self.stopped = read_record(begun[-1]).get("finished") is not True
            self.name = begun[-1].name.split("_", 2)[-1].replace("-", " ")

    def start(self, name: str, minutes: int) -> str:
        """Starts a run of lite on some data, or of a preset, which has its own length."""
        budget = f"trainer.max_time={minutes // 60:02}:{minutes % 60:02}:00"
        recipe, before = [f"experiment=teaching/{name}"], self.healthy()
        if name not in PRESETS:
            recipe = ["model=lite", *self.data[name], *LIVE, budget]
        if name != COLLAPSE:
            return self._begin(name, recipe, [])
        if not before:
            raise FaceganError(f"train {HEALTHY} first: {COLLAPSE} goes on from its faces")
        return self._begin(name, [*recipe, f"init={before[-1]}"], before)

    def remedy(self) -> str:
        """Goes on from the weights of a failed run, with the settings of the healthy one."""
        recipe = [f"experiment=teaching/{HEALTHY}", f"init={self.runs[-1]}"]
        return self._begin(self.name + REMEDY, recipe, self.runs)

    def resume(self) -> str:
        """Resumes the run that was stopped."""
        return self._run(self.name, self.runs, [f"resume={self.runs[-1]}"])

    def stop(self) -> str:
        """Ends the training, which writes a checkpoint."""
        if self.process is not None and self.running:
            self.process.terminate()
            self.stopped = True
        return self.status()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def can_be_resumed(self) -> bool:
        """Whether the run has begun, and was stopped before its end."""
        ended_early = self.process is None or bool(self.process.poll())
        return self.stopped and ended_early and (self.runs[-1] / "config.yaml").is_file()

    @property
    def can_be_remedied(self) -> bool:
        """Whether a preset that fails has ended, and has written weights."""
        failing = self.name in PRESETS and self.name != HEALTHY and not self.running
        return failing and (self.runs[-1] / pretrained.WEIGHTS_FILE).is_file()

    def _begin(self, name: str, recipe: list[str], before: list[Path]) -> str:
        folder = self.outputs / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name.replace(' ', '-')}"
        return self._run(name, [*before, folder], [*recipe, f"hydra.run.dir={folder}"])

    def _run(self, name: str, runs: list[Path], arguments: list[str]) -> str:
        if self.running:
            raise FaceganError("a training is running; stop it first")
        folder = runs[-1]
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *COMMAND, *arguments]
        environment = {**leaving_a_core(), "PYTHONUNBUFFERED": "1"}
        with (folder / LOG).open("ab") as log:
            self.name, self.runs, self.stopped = name, runs, False
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        return STARTING

    def status(self) -> str:
        """What is happening, and how long it will take; of a remedy, what it changes."""
        failed = self.name.removesuffix(REMEDY)
        if failed == self.name:
            return self._state()
        state = self._state().rstrip(".")
        return f"{state}. The remedy: the failed weights, with {REMEDIES[failed]}."

    def _state(self) -> str:
        if not self.runs:
            return "No training yet."
        if self.can_be_resumed:
            return f"Stopped: {self.name}. Resume continues from here."
        code = self.process.poll() if self.process else 0
        if code == 0:
            return f"{self.name} has finished. Its run folder is {relative(self.runs[-1])}."
        if self.stopped and code is None:
            return "Stopping: the training saves its state."
        if self.stopped:
            return f"Stopped: {self.name} had not begun; start it again."
        log = (self.runs[-1] / LOG).read_text(encoding="utf-8", errors="replace")
        lines = log.splitlines()
        if code is None:
            progress = self._progress(lines)
            return f"Training {self.name}: {progress}" if progress else STARTING
        return f"{self.name} has ended with an error: {lines[-1] if lines else code}"

    def _progress(self, lines: Sequence[str]) -> str:
        """The images seen and the time left, or what is prepared; `lines` of the log."""
        if metrics(self.runs[-1:]):
            left = [f", {match[1]} left" for line in lines if (match := LEFT.match(line))]
            return f"{metrics(self.runs)[-1]['images']:,.0f} images{''.join(left[-1:])}"
        return "".join([match[0] for line in lines if (match := PREPARING.match(line))][-1:])

    def healthy(self) -> list[Path]:
        """The newest run of the healthy preset with weights, which is shown beside others."""
        runs = sorted(self.outputs.glob(f"*_{HEALTHY}"), reverse=True)
        return [run for run in runs if (run / pretrained.WEIGHTS_FILE).is_file()][:1]


def grids(runs: Sequence[Path]) -> list[Path]:
    """The grids after each epoch of runs that go on from each other."""
    return [path for run in runs for path in sorted((run / "samples").glob("epoch-*.png"))]


def grid(runs: Sequence[Path], epoch: int) -> Image.Image | None:
    """The grid after an epoch, from 1 on, or the last before it; with 0 the newest one."""
    found = grids(runs)
    if epoch == 0 and runs:
        live = (runs[-1] / "samples").glob("[!.]*.png")
        found = sorted([*found, *live], key=lambda path: path.stat().st_mtime)
    return open_image(found[: epoch or None][-1]) if found else None


def metrics(runs: Sequence[Path]) -> list[Entry]:
    """What runs that go on from each other have logged, with all images that they have seen."""
    joined: list[Entry] = []
    for run in runs:
        before = joined[-1]["images"] if joined else 0
        entries = read_metrics(run / METRICS_FILE).entries
        joined += [{**entry, "images": before + entry["images"]} for entry in entries]
    return joined
