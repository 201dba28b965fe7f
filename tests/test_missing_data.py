"""A run continues, and is evaluated, from its packed data set if the photographs are missing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Cli, save_photos

from facegan.core.errors import NotFoundError
from facegan.core.pretrained import BUNDLED
from facegan.data.base import FaceSource
from facegan.data.folder import FolderDataset
from facegan.data.generated import GeneratedDataset
from facegan.data.recorded import data_record, source_or_recorded


def record(source: FaceSource, run: Path) -> None:
    """Packs the data set of `source`, and writes a run folder's record of it."""
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"data": data_record(source, source.dataset())}))


@pytest.mark.parametrize(
    "lose",
    [
        lambda photos: shutil.rmtree(photos),
        lambda photos: [path.unlink() for path in photos.iterdir()],  # a disk is not mounted
        lambda photos: photos.rename(photos.with_name("elsewhere")),
    ],
)
def test_the_packed_data_set_replaces_missing_photographs(
    tmp_path: Path, lose: Callable[[Path], object]
) -> None:
    def make() -> FaceSource:
        return FolderDataset(str(tmp_path / "photos"), str(tmp_path / "packed"), 8)

    save_photos(tmp_path / "photos", 60, 8)
    record(make(), tmp_path / "run")
    path = make().dataset().path
    assert isinstance(source_or_recorded(make, None, tmp_path / "run"), FolderDataset)
    lose(tmp_path / "photos")
    assert source_or_recorded(make, None, tmp_path / "run").dataset().path == path
    moved = (tmp_path / "packed").rename(tmp_path / "moved")
    with pytest.raises(NotFoundError, match=r"by data\.packed_dir=…"):
        source_or_recorded(make, None, tmp_path / "run")
    assert source_or_recorded(make, str(moved), tmp_path / "run").dataset().path.parent == moved
    with pytest.raises(NotFoundError, match="photos"):
        source_or_recorded(make, None, tmp_path / "no run")


def test_the_packed_data_set_replaces_missing_weights(tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"

    def make() -> FaceSource:
        return GeneratedDataset(str(tmp_path / "packed"), str(weights), 100, 28)

    shutil.copy(BUNDLED / "lite-28.safetensors", weights)
    source = make()
    record(source, tmp_path / "run")
    recipe = source.recipe()
    weights.unlink()
    found = source_or_recorded(make, None, tmp_path / "run")
    assert (found.images_are, found.license) == (source.images_are, source.license)
    assert found.recipe() == recipe


def test_commands_use_the_packed_data_set(
    workdir: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ("train", "resume=run")
    evaluate = ("evaluate", "weights=run", "evaluation.faces=50", "out=report")
    save_photos(workdir / "project" / "photos", 60, 8)
    monkeypatch.chdir("project")
    data = ("data=folder", "data.root=photos", "data.image_size=8", "model.batch_size=16")
    cli.ok("train", *TINY, *data, "trainer.max_epochs=1", "hydra.run.dir=run")
    Path("photos").rename("elsewhere")
    out = cli.ok(*train, "trainer.max_epochs=2", "data.root=elsewhere")
    assert "packed data set" not in out
    shutil.rmtree("elsewhere")
    assert "packed data set" in cli.ok(*evaluate)
    message = cli.refusal(*evaluate, "data.root=nowhere")  # other data is not replaced
    assert "nowhere does not exist" in message
    monkeypatch.chdir((workdir / "project").rename(workdir / "moved"))
    for command in (evaluate, (*train, "trainer.max_epochs=3")):
        assert "by data.packed_dir=…" in cli(*command).err
        assert "packed data set" in cli.ok(*command, "data.packed_dir=data/packed")


def test_a_refused_resume_writes_nothing(cli: Cli, home: Path) -> None:
    def written() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in (home / "run").rglob("*") if p.is_file()}

    before = written()
    (home / "photos" / "00.png").unlink()
    resume = ("train", "resume=run", "trainer.max_epochs=3")
    result = cli(*resume)
    assert (result.code, written()) == (2, before)
    assert "restore the photographs" in result.err
    shutil.rmtree(home / "photos")
    assert cli(*resume).code == 0  # from the run's packed data set
