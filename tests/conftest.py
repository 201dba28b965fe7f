"""Small photographs, packed_dir and configs that several tests share."""

import contextlib
import importlib
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from numpy.typing import NDArray
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from facegan import Generator, latents, load_directions
from facegan.cli.config import validate
from facegan.core.paths import CONFIG_PATH
from facegan.core.pretrained import config_of
from facegan.data.dataset import Labels, PackedDataset, write_dataset
from facegan.data.labels import split_by_name

REPOSITORY = Path(__file__).resolve().parents[1]
ATTRIBUTES = tuple(config_of("attributes-28")["attributes"])
SPLITS = "000000001122"  # of the dozen photographs of tiny_celeba

TINY = (  # the smallest networks of the fastest recipe
    "model=lite",
    "model.generator.width=8",
    "model.discriminator.width=4",
    "trainer.accelerator=cpu",
)

SMALL_RUN = (  # of `finished_run`
    *TINY,
    *("model.batch_size=16", "data=folder", "data.root=photos", "data.image_size=8"),
    "trainer.max_epochs=2",
)

# Tests in the background or under nohup would inherit that these are ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

Compose = Callable[..., DictConfig]


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def smooth_images(count: int, image_size: int) -> NDArray[np.uint8]:
    """Images of smooth random colours, (count, size, size, 3), all different."""
    rng = np.random.default_rng(0)
    size = (image_size, image_size)
    coarse = map(Image.fromarray, rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8))
    return np.stack([np.asarray(image.resize(size, Image.Resampling.BICUBIC)) for image in coarse])


def save_photos(folder: Path, count: int, image_size: int, first: int = 0) -> None:
    """Photographs of smooth random colours, from the number `first` on: 00.png, 01.png, …."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(smooth_images(first + count, image_size)[first:]):
        Image.fromarray(image).save(folder / f"{number:02}.png")


def logged(run: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl, which are all whole."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def options(group: str) -> list[str]:
    """The options of a config group."""
    return sorted(path.stem for path in (CONFIG_PATH / group).glob("[!_]*.yaml"))


def smooth_dataset(path: Path, count: int, image_size: int) -> PackedDataset:
    """A dataset of smooth random images, split as a folder of photographs would be."""

    def write(images: Path) -> tuple[Labels, dict[str, Any]]:
        np.save(images, smooth_images(count, image_size))
        splits = split_by_name([str(number) for number in range(count)])
        none = np.zeros((count, 0), dtype=np.int8)
        return Labels(splits, none, np.full(count, -1), ()), {}

    return write_dataset(path, {"source": "smooth", "image_size": image_size}, write)


def edited_faces(
    generator: Generator, seeds: Iterable[int], amounts: dict[str, float], truncation: float = 1.0
) -> Tensor:
    """Faces whose latents are moved along directions: uint8 (N, C, H, W)."""
    z = latents(seeds, generator.latent_dim) * truncation
    return generator.draw(load_directions(generator).edit(z, amounts))


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is an empty one, so that nothing is written into the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dataset(tmp_path: Path) -> PackedDataset:
    """Forty smooth images of 8x8: 36 train, 2 val, 2 test."""
    return smooth_dataset(tmp_path / "packed_dir" / "smooth", count=40, image_size=8)


@pytest.fixture(scope="session")
def packed_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An override that keeps packed_dir from one test to the next, so that each is made once."""
    return f"data.packed_dir={tmp_path_factory.mktemp('packed_dir')}"


@pytest.fixture(scope="session")
def small_photos(packed_dir: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides for the data: forty photographs of 8x8, of which 36 are for training."""
    folder = tmp_path_factory.mktemp("photographs")
    save_photos(folder, 40, 8)
    return ("data=folder", f"data.root={folder}", "data.image_size=8", packed_dir)


@pytest.fixture(scope="session")
def generated_faces(packed_dir: str) -> tuple[str, ...]:
    """Overrides for the data: a thousand faces by the bundled generator."""
    return ("data=generated", "data.count=1000", packed_dir)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """A tree of nine photographs, each of another size, and other files."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for number, kind in enumerate(
        ("jpg", "png", "webp", "JPEG", "PNG", "jpg", "png", "webp", "png")
    ):
        noise = rng.integers(0, 256, (20 + number, 30 - number, 3), dtype=np.uint8)
        path = folder / f"album{number % 3}" / f"photo{number}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(path)
    for name in (".hidden.jpg", ".thumbs/a.jpg", "__MACOSX/._photo0.jpg", "readme.txt", "film.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no photograph")
    return folder


@pytest.fixture
def tiny_celeba(tmp_path: Path) -> Path:
    """A dozen plain photographs in CelebA's official layout, extracted, under `root`/celeba.

    Photograph i has red 20·i, identity 100 + i, and attribute k if bit k of i is set.
    """
    folder = tmp_path / "root" / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06}.jpg" for number in range(1, len(SPLITS) + 1)]
    signs = [[1 if i >> bit & 1 else -1 for bit in range(40)] for i in range(len(names))]
    for i, name in enumerate(names):
        photo = Image.new("RGB", (178, 218), (20 * i, 100, 50))
        photo.save(folder / "img_align_celeba" / name, quality=95)
    rows = {
        "identity_CelebA.txt": [f"{name} {100 + i}" for i, name in enumerate(names)],
        "list_eval_partition.txt": [" ".join(pair) for pair in zip(names, SPLITS, strict=True)],
        "list_attr_celeba.txt": [
            str(len(names)),
            " ".join(ATTRIBUTES) + " ",
            *(
                f"{name} {' '.join(f'{s:2}' for s in sign)}"
                for name, sign in zip(names, signs, strict=True)
            ),
        ],
    }
    for name, lines in rows.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder.parent


@pytest.fixture(scope="session")
def celeba_root() -> Path:
    """A folder with real photographs of CelebA in it."""
    sample = REPOSITORY.parent / "shared" / "celeba-sample"
    root = Path(os.environ.get("FACEGAN_CELEBA") or sample)
    if not root.is_dir():
        pytest.skip(f"no CelebA at {root}; name a folder by FACEGAN_CELEBA")
    return root


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def compose_config(name: str, *overrides: str) -> DictConfig:
    """The config of the command `name` with these overrides."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        return hydra.compose(name, list(overrides))


@pytest.fixture
def compose() -> Compose:
    """compose("train", "model=lite", …) -> the command's config with these overrides."""
    return compose_config


@pytest.fixture(scope="session")
def small(small_photos: tuple[str, ...]) -> tuple[str, ...]:
    """Overrides for a training with four steps of eight images in an epoch."""
    widths = ("model.generator.width=8", "model.discriminator.width=8")
    steps = ("model.batch_size=8", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1")
    return ("model=lite", *small_photos, *widths, *steps, "evaluate_every=0")


@pytest.fixture(scope="session")
def trained_run(small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training of three epochs, for tests that only read it."""
    from facegan.train import TrainConfig
    from facegan.training.run import train

    folder = tmp_path_factory.mktemp("finished")
    cfg = compose_config("train", *small, "trainer.max_epochs=3", "+recipe=lite")
    with contextlib.chdir(folder):
        train(validate(cfg, TrainConfig), folder / "run", resume=False)
    return folder / "run"


def python(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in a process of one thread, in `folder`."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_command(patch: pytest.MonkeyPatch, command: str, *arguments: str) -> int:
    """The exit code of `python -m facegan.COMMAND ARGUMENTS`, run in this process."""
    GlobalHydra.instance().clear()
    patch.setattr(sys, "argv", [f"facegan.{command}", *arguments])
    patch.setenv("HYDRA_FULL_ERROR", "1")  # main() sets it; monkeypatch restores it
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        importlib.import_module(f"facegan.{command}").main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return 0


class Cli:
    """cli("train", "model=lite", …) is `python -m facegan.train model=lite …`, in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture

    def __call__(self, command: str, *arguments: str) -> Result:
        self.capture.readouterr()
        code = run_command(self.patch, command, *arguments)
        return Result(code, *self.capture.readouterr())

    def ok(self, command: str, *arguments: str) -> str:
        """What the command printed, which must succeed."""
        result = self(command, *arguments)
        assert result.code == 0, result.err
        return result.out

    def refusal(self, command: str, *arguments: str) -> str:
        """The message of the command, which must end with exit code 2."""
        result = self(command, *arguments)
        assert result.code == 2, result
        assert "Traceback" not in result.err
        return result.err


@pytest.fixture
def cli(workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` and `run`, a finished training of two epochs; read it, or copy it."""
    folder = tmp_path_factory.mktemp("finished")
    save_photos(folder / "photos", 64, 8)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.chdir(folder)
        code = run_command(patch, "train", *SMALL_RUN, "hydra.run.dir=run")
    assert code == 0, out.getvalue()
    return folder


@pytest.fixture
def home(finished_run: Path, workdir: Path) -> Path:
    """A copy of `finished_run` as the current folder."""
    shutil.copytree(finished_run, workdir, dirs_exist_ok=True, symlinks=True)
    config = workdir / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(finished_run), str(workdir)))
    return workdir
