"""The command line as a user meets it: names, messages, exit codes, help, output and signals."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from conftest import TINY, Cli, python

from facegan.cli.command import ending_signals


def check_message(cli: Cli, arguments: tuple[str, ...], *parts: str) -> None:
    """One message with `parts` in it, exit code 2, and no run folder."""
    message = cli.refusal("train", *arguments)
    assert message.startswith("facegan.train: ")
    for part in parts:
        assert part in message
    assert list(Path("outputs").glob("*")) == []


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("model=dcgann", ("dcgan", "lite")),
        ("data=celebb", ("celeba", "folder", "generated")),
        ("model/loss=hing", ("hinge", "non_saturating", "wasserstein")),
        ("experiment=nope", ("experiment",)),
    ],
)
def test_an_unknown_name_is_refused_with_the_options(
    argument: str, options: tuple[str, ...], cli: Cli
) -> None:
    check_message(cli, (argument,), argument.replace("=", "/"), *options)


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("model.batchsize=8", ("model.batchsize is not a key", "did you mean batch_size?")),
        ("model.generator.image_size=16", ("image_size", "16", "8")),
        ("seed=1=2", ("=",)),
        ("model.loss=hinge", ("a slash", "model/loss=hinge")),
        ("+trainer.limit_batch=2", ("limit_batch",)),
        ("trainer.limit_train_batches=2", ("+trainer.limit_train_batches=",)),
        ("photos/of the family", ("KEY=VALUE", "quotes")),
    ],
)
def test_a_wrong_key_or_value(
    argument: str, parts: tuple[str, ...], cli: Cli, small_photos: tuple[str, ...]
) -> None:
    check_message(cli, (*TINY, "model.batch_size=8", *small_photos, argument), *parts)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("data=generated", "data.image_size=56"), ("full-56", "full-28, full-64")),
        (("data=folder",), ("data.root", "must be set")),
        (("data=folder", "data.root=nowhere"), ("/nowhere", "exist")),
    ],
)
def test_data_that_cannot_be_used(
    arguments: tuple[str, ...], parts: tuple[str, ...], cli: Cli
) -> None:
    check_message(cli, arguments, *parts)


def test_a_sweep_over_several_devices_is_refused(cli: Cli, small_photos: tuple[str, ...]) -> None:
    result = cli("train", "-m", *TINY, *small_photos, "trainer.devices=2", "seed=1,2")
    assert (result.code, "trainer.devices=2" in result.err) == (2, True)


def test_help_needs_no_torch(tmp_path: Path) -> None:
    result = python(tmp_path, "-X", "importtime", "-m", "facegan.train", "--help")
    assert result.returncode == 0
    assert "python -m facegan.train model=dcgan" in result.stdout
    imported = set(result.stderr.replace("|", " ").split())
    assert not {"torch", "pytorch_lightning", "numpy"} & imported
    assert list(tmp_path.iterdir()) == []


def test_a_process_ends_with_one_message(tmp_path: Path) -> None:
    result = python(tmp_path, "-m", "facegan.train", "model=nope")
    assert result.returncode == 2
    assert result.stderr.startswith("facegan.train: ")
    assert "Could not find 'model/nope'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("outputs/*"))


def python_into(output: IO[bytes], *arguments: str) -> tuple[int, str]:
    """The exit code and stderr of a process with `output` as its stdout."""
    with subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=output, stderr=subprocess.PIPE, text=True
    ) as process:
        output.close()
        return process.wait(), process.stderr.read()


@pytest.mark.parametrize(
    "arguments",
    [("facegan.train", "--help"), ("facegan.sample", "--cfg", "job"), ("facegan", "--help")],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_ended_is_no_error(
    arguments: tuple[str, ...], unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `--help | head -1`."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    assert python_into(os.fdopen(writer, "wb"), *arguments) == (0, "")


def test_a_closed_terminal_does_not_end_a_command(workdir: Path) -> None:
    terminal, inside = os.openpty()
    os.set_blocking(terminal, False)
    code = "from facegan.core.console import keep_printing; keep_printing(); input(); print(1);"
    code += "import pathlib; pathlib.Path('done').touch()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=inside, stderr=inside
    ) as process:
        os.close(inside)
        os.close(terminal)
        process.communicate(b"\n")
    assert (process.returncode, Path("done").exists()) == (0, True)


def test_a_folder_that_cannot_be_written_is_named(cli: Cli, workdir: Path) -> None:
    Path("file").touch()
    Path("link").symlink_to("nowhere")
    for command, path in (("sample", "file/x"), ("export", "link"), ("sample", "file")):
        result = cli(command, f"out={path}")
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert result.err.startswith(f"facegan.{command}: {workdir / path}: ")


def test_an_ignored_signal_stays_ignored() -> None:
    """As SIGHUP if a command was started by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_signals("train"):
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(SystemExit, match="143"):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
