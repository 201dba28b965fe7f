"""The `facegan` command, and output outside of a terminal."""

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

import facegan
from facegan.__main__ import commands, main
from facegan.core import console


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["facegan", *arguments])
    main()


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(arguments, monkeypatch, capsys) -> None:
    run(monkeypatch, *arguments)
    out = capsys.readouterr().out
    assert {"train", "prepare", "sample", "evaluate"} <= set(commands())
    for name in commands():
        assert f"  {name} " in out


def test_a_command_is_run(monkeypatch, capsys) -> None:
    run(monkeypatch, "sample", "--help")
    assert "python -m facegan.sample" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "hint"), [("trian", "did you mean train?"), ("zzz", "commands: ")]
)
def test_a_misspelt_command(name: str, hint: str, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, name)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"facegan: {name} is not a command; {hint}")


def test_the_version(monkeypatch, capsys) -> None:
    run(monkeypatch, "--version")
    assert capsys.readouterr().out == f"facegan {facegan.__version__}\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("facegan tr", {"train", "sample"}),
        ("facegan train model/lo", {"model/loss="}),
        ("facegan train model=l", {"model=lite", "model=lsgan"}),
        ("facegan sample wei", {"weights="}),
    ],
)
def test_completion(line: str, words: set[str], monkeypatch, capsys) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # a command sets it: here it is restored
    run(monkeypatch, "-sc", "query=bash")
    assert words <= set(capsys.readouterr().out.split())


def test_completion_is_installed_by_hydra(monkeypatch, capsys) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    run(monkeypatch, "-sc", "install=bash")
    assert "hydra_bash_completion facegan" in capsys.readouterr().out


def test_progress_is_printed_as_lines(monkeypatch, capsys) -> None:
    monkeypatch.setattr(console, "LINE_INTERVAL", 0)
    assert list(console.progress_bar(range(3), desc="packing")) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3
    assert lines[-1].startswith("packing: 100% 3/3")


def test_short_work_prints_no_progress(capsys) -> None:
    list(console.progress_bar(range(3), desc="packing"))
    assert capsys.readouterr().err == ""


def test_an_ascii_console_loses_nothing(cli, workdir: Path, monkeypatch) -> None:
    with (workdir / "out.txt").open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        cli.ok("sample", "n=1", "out=Müller")
        sys.stdout.flush()
    assert "M\\xfcller" in (workdir / "out.txt").read_text()
