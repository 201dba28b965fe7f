"""A training that the page starts, stops and resumes: an ordinary train command."""

import os
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from facegan.core.errors import FaceganError
from facegan.core.images import open_image
from facegan.core.run_files import METRICS_FILE, Entry, read_metrics
from facegan.web.faces import relative

COMMAND = ["-m", "facegan.train"]
LOG = "training.log"
PRESETS = {
    "healthy": "The faces become clearer. D_real_logits and D_fake_logits stay close together.",
    "collapse": "All pictures become alike, faces or not. The Fréchet distance stays high.",
    "overfit": "D memorizes its 134 training images. D_real_logits stay far above D_fake_logits, "
    "and the faces stop improving.",
    "saturation": "D separates all images at once. D_loss and G_loss are flat near 0, and the grid "
    "shows noise to the end.",
}
GENERATED, PHOTOGRAPHS = "lite on generated faces", "lite on own photographs"
LIVE = ["sample_every=3", "trainer.log_every_n_steps=10"]


class Training:
    """At most one training at a time, in a separate process, under `outputs`/app."""

    def __init__(self, outputs: Path, photographs: Path | None) -> None:
        self.outputs = outputs
        self.folder: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.data = {GENERATED: ["data=generated", "data.count=5000"]}
        if photographs is not None:
            self.data[PHOTOGRAPHS] = ["data=folder", f"data.root={photographs}"]

    def start(self, name: str, minutes: int) -> str:
        """Starts a run of lite on some data, or of a preset, which has its own length."""
        budget = f"trainer.max_time={minutes // 60:02}:{minutes % 60:02}:00"
        recipe = [f"experiment=teaching/{name}"]
        if name not in PRESETS:
            recipe = ["model=lite", *self.data[name], *LIVE, budget]
        folder = self.outputs / "app" / time.strftime("%Y-%m-%d_%H-%M-%S")
        return self._run(folder, [*recipe, f"hydra.run.dir={folder}"])

    def resume(self) -> str:
        """Resumes the run that was stopped."""
        if self.folder is None:
            raise FaceganError("no training was started yet")
        return self._run(self.folder, [f"resume={self.folder}"])

    def stop(self) -> str:
        """Ends the training, which writes a checkpoint."""
        if self.process is not None:
            self.process.terminate()
        return self.status()

    def _run(self, folder: Path, arguments: list[str]) -> str:
        if self.process is not None and self.process.poll() is None:
            raise FaceganError("a training is running; stop it first")
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *COMMAND, *arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with (folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.folder = folder
        return self.status()

    def status(self) -> str:
        """One line: the training's state, and its newest output."""
        if self.folder is None or self.process is None:
            return "No training was started yet."
        code = self.process.poll()
        state = "running" if code is None else "finished" if code == 0 else f"ended (code {code})"
        lines = (self.folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        return f"{relative(self.folder)}: {state}. {lines[-1] if lines else ''}"

    def newest_grid(self) -> Image.Image | None:
        """The newest grid of the run."""
        grids = [] if self.folder is None else (self.folder / "samples").glob("[!.]*.png")
        newest = max(grids, key=lambda path: path.stat().st_mtime, default=None)
        return None if newest is None else open_image(newest)

    def metrics(self) -> list[Entry]:
        """What the run has logged."""
        return [] if self.folder is None else read_metrics(self.folder / METRICS_FILE).entries
