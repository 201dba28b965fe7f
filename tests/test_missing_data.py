"""A run goes on, and is evaluated, from its packed data set when the photographs are gone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Cli, smooth_images
from PIL import Image

from facegan.core.pretrained import BUNDLED

Go = Callable[..., str]
LOSSES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda photos: shutil.rmtree(photos),
    "a disk that is not mounted": lambda photos: [path.unlink() for path in photos.iterdir()],
    "moved": lambda photos: photos.rename("elsewhere"),
}


@pytest.fixture
def home(workdir: Path, cli: Cli) -> Path:
    """A folder with a project in it: photographs, a packed data set and a run of one epoch."""
    photos = workdir / "project" / "photos"
    photos.mkdir(parents=True)
    for number, image in enumerate(smooth_images(60, 8)):
        Image.fromarray(image).save(photos / f"{number}.png")
    return workdir


@pytest.fixture
def go(cli: Cli) -> Go:
    """What a command printed, which must have succeeded."""

    def run(*arguments: str) -> str:
        result = cli(*arguments)
        assert result.code == 0, result.err
        return result.out

    return run


@pytest.fixture
def project(home: Path, go: Go, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home / "project")
    data = ("data=folder", "data.root=photos", "data.image_size=8")
    go("train", *TINY, *data, "model.batch_size=16", "trainer.max_epochs=1", "hydra.run.dir=run")
    return home / "project"


def evaluate(run: str, *arguments: str) -> tuple[str, ...]:
    return ("evaluate", f"weights={run}", "evaluation.faces=50", "out=report", *arguments)


@pytest.mark.parametrize(
    ("loss", "place"),
    [("deleted", "other"), ("a disk that is not mounted", "project"), ("moved", ".")],
)
def test_a_run_without_its_photographs(
    loss: str, place: str, project: Path, go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    LOSSES[loss](project / "photos")
    (project.parent / place).mkdir(exist_ok=True)
    monkeypatch.chdir(project.parent / place)
    run = str(project / "run")
    assert "packed data set" in go("train", f"resume={run}", "trainer.max_epochs=2")
    assert "packed data set" in go(*evaluate(run))


def test_a_project_that_was_moved(
    project: Path, cli: Cli, go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = project.rename(project.with_name("moved"))
    shutil.rmtree(moved / "photos")
    monkeypatch.chdir(moved)
    for command in (evaluate("run"), ("train", "resume=run", "trainer.max_epochs=2")):
        result = cli(*command)
        assert result.code == 2
        assert "by data.packed_dir=…" in result.err
        assert "packed data set" in go(*command, "data.packed_dir=data/packed")


def test_photographs_that_were_moved(project: Path, go: Go) -> None:
    shutil.move("photos", "elsewhere")
    out = go("train", "resume=run", "trainer.max_epochs=2", "data.root=elsewhere")
    assert "packed data set" not in out


def test_generated_faces_without_their_weights(home: Path, go: Go) -> None:
    shutil.copy(BUNDLED / "lite-28.safetensors", "mine.safetensors")
    data = ("data=generated", "data.weights=mine.safetensors", "data.count=100")
    go("train", *TINY, *data, "model.batch_size=16", "trainer.max_epochs=1", "hydra.run.dir=run")
    Path("mine.safetensors").unlink()
    assert "packed data set" in go("train", "resume=run", "trainer.max_epochs=2")
    assert "packed data set" in go(*evaluate("run"))


def test_other_data_that_is_missing_is_not_replaced(project: Path, cli: Cli) -> None:
    result = cli(*evaluate("run", "data.root=nowhere"))
    assert result.code == 2
    assert "nowhere does not exist" in result.err
