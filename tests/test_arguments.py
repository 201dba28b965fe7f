"""Paths, weights and seeds reach a command as they were typed."""

from pathlib import Path

import pytest
from conftest import TINY, Cli
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from facegan.cli.arguments import ArgumentKind, absolute, quote_literals
from facegan.cli.config import instantiate, resolve_paths, save_config
from facegan.core.errors import FaceganError

VALUES = [
    "Müller", "Photos (1)", "Smith, John", "a=b", "x#y", "家庭 照片", "tab[1]", "a{b}", "Müller's",
    "[a,b]", "{a: b}", "$HOME", "${now}", r"\${now}", r"C:\new\'", 'say "x"', "a: b", "a@b", "a%20",
    "choice(a,b)", "1e3", "true", " a ", "a;b|c&d", "*?", "https://a.b/c?d=e#sha256=0f", "a\tb",
]  # fmt: skip


def value_of(argument: str) -> str:
    """The value in a config after Hydra has parsed `argument` twice, as in a sweep."""
    parser = OverridesParser.create()
    text = parser.parse_override(argument).get_value_element_as_str()
    cfg = OmegaConf.create({"key": None})
    OmegaConf.update(cfg, "key", parser.parse_override(f"key={text}").value())
    return cfg.key


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_a_literal_value_is_not_parsed(prefix: str, value: str) -> None:
    (argument,) = quote_literals([f"{prefix}data.root={value}"])
    assert argument.startswith(f"{prefix}data.root=")
    assert value_of(argument) == value


@pytest.mark.parametrize(
    "argument",
    ["model=lite", "seed=1,2", "-m", "images=null", "data.crop=1", 'hydra.run.dir="outputs/a b"'],
)
def test_other_arguments_are_left_to_hydra(argument: str) -> None:
    assert quote_literals([argument]) == [argument]


def test_hydras_own_folders_keep_their_interpolations() -> None:
    assert quote_literals(["hydra.run.dir=a b/${now:%Y}"]) == ["hydra.run.dir='a b/${now:%Y}'"]


@pytest.mark.parametrize("value", VALUES)
def test_a_sweep_lists_values_in_brackets(value: str) -> None:
    quoted = f"'{value}'" if '"' in value else f'"{value}"'
    _, argument = quote_literals(["-m", f"data.root=[a b,{quoted},c]"])
    parser = OverridesParser.create()
    texts = parser.parse_override(argument).sweep_string_iterator()
    assert [value_of(f"data.root={text}") for text in texts] == ["a b", value, "c"]


def test_an_empty_value_is_refused() -> None:
    with pytest.raises(FaceganError, match=r"data\.root= has no value"):
        quote_literals(["data.root="])


def test_paths_become_absolute(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (workdir / "run").mkdir()
    (workdir / "lite-28").mkdir()
    assert absolute("~/photos", ArgumentKind.PATH) == "/home/me/photos"
    assert absolute("a/../b", ArgumentKind.FOLDER) == f"{workdir}/b"
    assert absolute("run", ArgumentKind.WEIGHTS) == f"{workdir}/run"
    for source in ("lite-28", "https://a.b/c", "hf:a/b/c", "nowhere"):
        assert absolute(source, ArgumentKind.WEIGHTS) == source
    assert absolute("0-63", ArgumentKind.TEXT) == "0-63"
    (workdir / "labels, mine.csv").touch()
    assert absolute("labels, mine.csv", ArgumentKind.FILE_OR_TEXT) == f"{workdir}/labels, mine.csv"
    for text in ("subfolder", "run", "nowhere.csv"):  # a folder is not a table of labels
        assert absolute(text, ArgumentKind.FILE_OR_TEXT) == text


def test_a_stored_path_is_read_back(workdir: Path) -> None:
    cfg = OmegaConf.create({"data": {"_target_": "pathlib.PurePath", "root": "a"}, "seeds": None})
    cfg.data.root = r"\${x} \y"
    resolve_paths(cfg)
    save_config(cfg, workdir / "config.yaml")
    stored = OmegaConf.load(workdir / "config.yaml")
    assert stored.data.root == f"{workdir}/${{x}} \\y"


def test_interpolations_in_a_value_are_escaped_for_hydra(tmp_path: Path) -> None:
    (tmp_path / "${x}").mkdir()
    node = {"_target_": "facegan.data.folder.FolderDataset", "root": f"{tmp_path}/\\${{x}}"}
    cfg = OmegaConf.create({**node, "packed_dir": "a", "crop": None, "image_size": 28})
    with pytest.raises(FaceganError, match=r"/\$\{x\} .*image"):
        instantiate(cfg, "data")


def test_a_run_with_odd_names_is_trained_and_resumed(
    cli: Cli, workdir: Path, small_photos: tuple[str, ...]
) -> None:
    name, run = "${x}'s [1], a=b #1", "run (1), é=ü"
    (workdir / name).symlink_to(small_photos[1].removeprefix("data.root="))
    data = ("data=folder", f"data.root={name}", "data.image_size=8", f"data.packed_dir=p {name}")
    arguments = (*TINY, *data, "model.batch_size=8", "trainer.max_epochs=1", f"hydra.run.dir={run}")
    result = cli("train", *arguments)
    assert (result.code, result.err) == (0, "")
    stored = OmegaConf.load(workdir / run / "config.yaml")
    assert stored.data.root == str(workdir / name)
    assert stored.data.packed_dir == str(workdir / f"p {name}")
    result = cli("train", f"resume={run}", "trainer.max_epochs=2")
    assert (result.code, result.err) == (0, "")
    result = cli("sample", f"weights={run}", "n=1", f"out=faces {name}")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"1 face in {workdir}/faces {name}\n"
