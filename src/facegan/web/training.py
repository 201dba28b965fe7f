"""A training that the page starts, watches, stops and goes on with: an ordinary train command."""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

from facegan.core.errors import FaceganError
from facegan.web.faces import bounded, relative

COMMAND = ["-m", "facegan.train"]
LOG = "training.log"
LIVE_SECONDS = 3  # between two grids
PRESETS = {
    "healthy": "The faces become clearer. D_real_logits and D_fake_logits stay close together.",
    "collapse": "All pictures become alike, faces or not. The Fréchet distance stays high.",
    "overfit": "D memorizes its 134 training images. D_real_logits stay far above D_fake_logits, "
    "and the faces stop improving.",
    "saturation": "D separates all images at once. D_loss and G_loss are flat near 0, and the grid "
    "shows noise to the end.",
}
GENERATED, PHOTOGRAPHS = "lite on generated faces", "lite on own photographs"


class Training:
    """At most one training at a time, in a process of its own, under `outputs`/app."""

    def __init__(self, outputs: Path, photographs: Path | None) -> None:
        self.outputs = outputs
        self.photographs = photographs
        self.folder: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def names(self) -> list[str]:
        """What can be trained."""
        own = [PHOTOGRAPHS] if self.photographs is not None else []
        return [GENERATED, *own, *PRESETS]

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, name: str, minutes: float) -> None:
        """Starts a new run; a preset has its own length. Raises FaceganError while one runs."""
        minutes = bounded("minutes", minutes, 1, 60)
        if name not in self.names:
            raise FaceganError(f"{name} is none of {', '.join(self.names)}")
        self._check_free()
        self.folder = free_folder(self.outputs / "app")
        self._run([*self._recipe(name, int(minutes)), f"hydra.run.dir={self.folder}"])

    def stop(self) -> None:
        """Ends the training after a checkpoint."""
        if self.process is not None and self.is_running:
            self.process.terminate()

    def resume(self) -> None:
        """Goes on with the run that was stopped."""
        if self.folder is None:
            raise FaceganError("no training was started yet")
        self._check_free()
        self._run([f"resume={self.folder}"])

    def status(self) -> str:
        """One line: what the training does, and its newest output."""
        if self.folder is None or self.process is None:
            return "No training was started yet."
        code = self.process.poll()
        state = "running" if code is None else "finished" if code == 0 else f"ended (code {code})"
        return f"{relative(self.folder)}: {state}. {last_line(self.folder / LOG)}"

    def _recipe(self, name: str, minutes: int) -> list[str]:
        if name in PRESETS:
            return [f"experiment=teaching/{name}"]
        data = ["data=generated", "data.count=5000"]
        if name == PHOTOGRAPHS:
            data = ["data=folder", f"data.root={self.photographs}"]
        live = [f"sample_every={LIVE_SECONDS}", "trainer.log_every_n_steps=10"]
        budget = f"trainer.max_time={minutes // 60:02}:{minutes % 60:02}:00"
        return ["model=lite", *data, *live, budget]

    def _check_free(self) -> None:
        if self.is_running:
            raise FaceganError("a training is running; stop it first")

    def _run(self, arguments: list[str]) -> None:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *COMMAND, *arguments]
        with (self.folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"}
            )


def free_folder(parent: Path) -> Path:
    """A folder in `parent` that does not exist, named by the time."""
    name = time.strftime("%Y-%m-%d_%H-%M-%S")
    paths = (parent / f"{name}-{n}" if n > 1 else parent / name for n in itertools.count(1))
    return next(path for path in paths if not path.exists()).absolute()


def last_line(path: Path) -> str:
    """The last line of a file; nothing where there is none."""
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else ""
