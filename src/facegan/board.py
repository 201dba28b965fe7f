"""Show the curves and grids of all runs in TensorBoard.

python -m facegan.board                      the runs under outputs/
python -m facegan.board outputs=DIR port=6007

TensorBoard follows links, and would show outputs/latest as a run of its own. It gets a folder of
links to the runs instead, which is updated while it runs.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from facegan.cli import command
from facegan.config import ConfigError
from facegan.errors import FaceganError

UPDATE_SECONDS = 5
ALL_IMAGES = "images=100000"  # TensorBoard's default keeps ten of a run


@dataclass
class BoardConfig:
    """The types of conf/board.yaml."""

    outputs: str = ""
    host: str = ""
    port: int = 0


@command("board", BoardConfig)
def main(cfg: DictConfig) -> None:
    if not 0 <= cfg.port < 2**16:
        raise ConfigError(f"port must lie in [0, 65535], got {cfg.port}; try 6006, or 0 for any")
    from tensorboard.program import TensorBoard, TensorBoardServerException

    outputs = Path(cfg.outputs)
    with tempfile.TemporaryDirectory(prefix="facegan-board-") as folder:
        link_runs(outputs, Path(folder))
        board = TensorBoard()
        address = ["--host", cfg.host, "--port", str(cfg.port)]
        board.configure([None, "--logdir", folder, "--samples_per_plugin", ALL_IMAGES, *address])
        try:
            print(f"{board.launch()} shows the runs under {outputs}; Ctrl-C ends it", flush=True)
        except TensorBoardServerException as error:
            raise FaceganError(f"TensorBoard cannot start: {error}; try another port=") from error
        while True:
            time.sleep(UPDATE_SECONDS)
            link_runs(outputs, Path(folder))


def link_runs(outputs: Path, folder: Path) -> None:
    """Makes `folder` hold one link for each run under `outputs`, by the run's relative path."""
    for run in run_folders(outputs):
        link = folder / run.relative_to(outputs)
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(run.resolve(), target_is_directory=True)


def run_folders(outputs: Path) -> list[Path]:
    """The folders under `outputs` with event files in them, without those behind links."""
    return sorted(
        Path(folder)
        for folder, _, files in os.walk(outputs)  # which does not follow links
        if any("tfevents" in name for name in files)
    )


if __name__ == "__main__":
    main()
