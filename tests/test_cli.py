"""What a user types, and what he is result when it is wrong."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO

import pytest
from conftest import TINY, Cli

from facegan.cli.command import ending_signals
from facegan.data import celeba
from facegan.data.download import RemoteFile

ARGUMENTS = (
    *TINY,
    "model.batch_size=8",
    "trainer.max_epochs=1",
)


@pytest.fixture
def tiny(small_photos: tuple[str, ...]) -> tuple[str, ...]:
    """What a user types for a training of seconds."""
    return (*ARGUMENTS, *small_photos)


def check_message(cli: Cli, arguments: tuple[str, ...], *parts: str) -> None:
    """One message with `parts` in it, exit code 2, and no run folder."""
    result = cli("train", *arguments)
    assert result.code in (1, 2)
    assert result.err.startswith("facegan.train: ")
    for part in parts:
        assert part in result.err
    assert "Traceback" not in result.err
    assert list(Path("outputs").glob("*")) == []


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("model=dcgann", ("dcgan", "lite")),
        ("data=celebb", ("celeba", "folder", "generated")),
        ("model/loss=hing", ("hinge", "non_saturating", "wasserstein")),
        ("model/penalty=r3", ("gradient_penalty", "none", "r1")),
        ("trainer=fast", ("default",)),
        ("experiment=nope", ("experiment",)),
    ],
)
def test_an_unknown_name_is_told_with_the_options(
    argument: str, options: tuple[str, ...], cli: Cli
) -> None:
    check_message(cli, (argument,), argument.replace("=", "/"), *options)


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("data.image_sise=28", ("data.image_sise is no key", "did you mean image_size?")),
        ("model.batchsize=8", ("model.batchsize is no key", "did you mean batch_size?")),
        ("sead=1", ("sead is no key", "did you mean seed?")),
        ("+sead=1", ("sead is no key", "seed")),
        ("+model.generator.widht=8", ("model.generator.widht is no key", "mean width?")),
        ("+trainer.max_epoch=8", ("trainer.max_epoch is no key", "mean max_epochs?")),
        ("seed=abc", ("seed", "abc", "whole number")),
        ("loader.flip=maybe", ("loader.flip", "maybe", "true or false")),
        ("model.generator.width=abc", ("model.generator.width", "abc", "whole number")),
        ("model.generator_optimizer.lr=fast", ("generator_optimizer.lr", "number", "fast")),
        ("trainer.max_epochs=many", ("trainer.max_epochs", "many", "whole number")),
        ("data.crop=wide", ("data.crop", "wide", "whole number")),
        ("data.image_size=30", ("image_size must be 4·2^k", "got 30", "try 28 or 32")),
        ("model.generator.image_size=16", ("must have the same image_size", "16", "8")),
        ("model.generator.norm=layer", ("norm must be one of batch, none", "layer")),
        ("model.batch_size=600", ("model.batch_size", "36", "got 600")),
        ("model.batch_size=0", ("model.batch_size", "1", "got 0")),
        ("model.generator_optimizer.lr=-1", ("generator_optimizer.lr", "from 1e-12 to 10", "-1")),
        ("model.discriminator_optimizer.lr=0", ("discriminator_optimizer.lr", "from 1e-12 to 10")),
        ("model.n_critic=0", ("n_critic must be a whole number from 1 to 1000, got 0",)),
        ("model.penalty.interval=0", ("interval", "from 1 to", "got 0")),
        ("seed=1=2", ("=",)),
        ("resume=nowhere", ("resume=", "nowhere", "no run folder", "outputs/latest")),
        ("trainer.accelerator=abacus", ("trainer", "abacus")),
        ("trainer.precision=64-true", ("trainer.precision", "bf16-mixed", "64-true")),
        ("+trainer.strategy=ddp_spawn", ("trainer.strategy is not for the user", "leave it out")),
        ("+trainer.gradient_clip_val=1", ("trainer.gradient_clip_val is not for", "manual")),
        ("+trainer.max_steps=10", ("trainer.max_steps is not for", "trainer.max_images")),
        ("+trainer.fast_dev_run=true", ("use experiment=debug/batches",)),
        ("+trainer.limit_train_batches=0", ("limit_train_batches=0 trains nothing",)),
        (
            "model.penalty.gamma=nan",
            ("model.penalty.gamma must be a number from 0 to 1000000, got nan",),
        ),
        ("seed=100000000000000000000000", ("seed must be a whole number from 0 to 4294967295",)),
    ],
)
def test_a_wrong_key_or_value(
    argument: str, parts: tuple[str, ...], cli: Cli, tiny: tuple[str, ...]
) -> None:
    check_message(cli, (*tiny, argument), *parts)


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("data.count=few", ("data.count", "few", "whole number")),
        ("data.count=0", ("data.count must be a whole number from 1 to 1000000, got 0",)),
        ("data.image_size=56", ("weights=full-56", "full-28, full-64")),
        ("data.weights=nowhere", ("weights=nowhere", "lite-28")),
    ],
)
def test_generated_faces_that_cannot_be(argument: str, parts: tuple[str, ...], cli: Cli) -> None:
    check_message(cli, (*ARGUMENTS, "data=generated", argument), *parts)


def test_a_folder_without_a_root(cli: Cli) -> None:
    check_message(cli, ("data=folder",), "data.root", "must be set")


def test_a_root_that_is_missing_empty_or_without_an_image(cli: Cli, tmp_path: Path) -> None:
    check_message(cli, ("data=folder", "data.root=nowhere"), "/nowhere does not exist", "give")
    (tmp_path / "photos").mkdir()
    for _ in range(2):
        check_message(cli, ("data=folder", "data.root=photos"), "/photos contains no image", ".jpg")
        (tmp_path / "photos" / "readme.txt").touch()


def test_a_truncated_zip(cli: Cli, photo_folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cut.zip", "w") as file:
        file.write(photo_folder / "album0" / "photo0.jpg")
    data = (tmp_path / "cut.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[:-30])
    check_message(
        cli, ("data=folder", "data.root=cut.zip"), "cut.zip is not a complete zip", "fetch it again"
    )


def test_celeba_without_its_files(cli: Cli) -> None:
    arguments = ("data=celeba", "data.root=nowhere", "data.verify=false")
    check_message(cli, arguments, "nowhere/celeba lacks list_eval_partition.txt", "verify=true")


def test_a_wrong_md5(cli: Cli, tiny_celeba: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = RemoteFile("identity_CelebA.txt", "0" * 32, "drive-id", ())
    monkeypatch.setattr(celeba, "CELEBA_FILES", (wrong,))
    parts = (
        "identity_CelebA.txt has the md5",
        f"CelebA's is {'0' * 32}",
        "data.verify=false",
    )
    check_message(cli, ("data=celeba", f"data.root={tiny_celeba}"), *parts)


def test_a_damaged_archive(cli: Cli, tiny: tuple[str, ...], small_photos: tuple[str, ...]) -> None:
    mine = "data.packed_dir=mine"
    assert cli("prepare", *small_photos, mine).code == 0
    (path,) = Path("mine").glob("*/images.npy")
    path.write_bytes(path.read_bytes()[:1000])
    check_message(cli, (*tiny, mine), "damaged", "delete that folder")


def test_a_folder_that_cannot_be_made(cli: Cli, tiny: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_message(cli, (*tiny, "data.packed_dir=file/packed_dir"), "file/packed_dir")


def test_a_sweep_over_several_devices(cli: Cli, tiny: tuple[str, ...]) -> None:
    result = cli("train", "-m", *tiny, "trainer.devices=2", "seed=1,2")
    assert result.code == 2
    assert "trainer.devices=2 in a sweep" in result.err


def test_other_keys_than_the_trainers_with_resume(cli: Cli) -> None:
    Path("run").mkdir()
    Path("run/config.yaml").write_text("seed: 0\n")
    check_message(cli, ("resume=run", "seed=2"), "seed=2 with resume", "trainer.max_epochs=12")


def test_resume_of_a_run_without_a_checkpoint(
    cli: Cli, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    assert cli("train", *tiny, "hydra.run.dir=run").code == 0
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    result = cli("train", "resume=run")
    assert result.code == 2
    assert "has lost its checkpoints" in result.err


def test_a_disk_that_is_full(
    cli: Cli, tiny: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if target.suffix == ".png":
            raise OSError(errno.ENOSPC, "No space left on device", target.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    result = cli("train", *tiny)
    assert result.code == 2
    assert result.err.startswith("facegan.train: the disk is full (epoch-001.png): free some space")
    assert "resume=" in result.err


def test_a_disk_that_becomes_read_only(
    cli: Cli, tiny: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "rmdir", refuse)
    monkeypatch.setattr("facegan.training.folder._acquire", refuse)
    result = cli("train", *tiny, "hydra.run.dir=run")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "/run: Read-only file system; choose another folder by hydra.run.dir=" in result.err


def test_prepare_tells_what_it_has_packed(cli: Cli, photo_folder: Path) -> None:
    result = cli("prepare", "data=folder", f"data.root={photo_folder}")
    assert (result.code, result.err) == (0, "")
    assert "7 train, 1 val, 1 test faces of 28x28" in result.out


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("weights=nowhere", ("weights=nowhere", "a run folder")),
        ("n=0", ("n must be a whole number from 1 to 1000000, got 0",)),
        ("n=many", ("n", "many", "whole number")),
        ("truncation=-1", ("truncation must be a number from 0 to 10, got -1",)),
        ("truncation=nan", ("truncation must be a number from 0 to 10, got nan",)),
        ("truncation=inf", ("truncation must be a number from 0 to 10, got inf",)),
        ("upscale=0", ("upscale must be a whole number from 1 to 100, got 0",)),
        ("seeds=0-4294967295", ("at most 1,000,000 seeds at a time",)),
        ("seeds=4294967296", ("seeds are numbers and ranges of numbers from 0 to 4294967295",)),
        ("out=/proc/nope", ("/proc/nope: No such file or directory; give a path",)),
        ("out=", ("out= has no value",)),
    ],
)
def test_what_sample_refuses(argument: str, parts: tuple[str, ...], cli: Cli) -> None:
    result = cli("sample", argument)
    assert result.code == 2
    assert result.err.startswith("facegan.sample: ")
    for part in parts:
        assert part in result.err


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", ["train", "prepare", "sample"])
def test_help(command: str, flag: str, cli: Cli) -> None:
    result = cli(command, flag)
    assert (result.code, result.err) == (0, "")
    assert f"python -m facegan.{command}" in result.out


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_help_needs_no_torch(tmp_path: Path) -> None:
    result = python("-X", "importtime", "-m", "facegan.train", "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "python -m facegan.train model=dcgan" in result.stdout
    assert not {"torch", "pytorch_lightning", "numpy"} & set(
        result.stderr.replace("|", " ").split()
    )
    assert list(tmp_path.iterdir()) == []


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
def test_output_that_nobody_reads(
    arguments: tuple[str, ...], unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `--help | head -1`."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    assert python_into(os.fdopen(writer, "wb"), *arguments) == (141, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_on_a_full_disk(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")
    code, message = python_into(full, "facegan.train", "--help")
    assert (code, message) == (2, "facegan.train: the disk is full (the output): free some space\n")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("file", "/file is a file, and a folder is needed"),
        ("file/x/y", "/file is a file, and a folder is needed"),
        ("/dev/null/x", "/dev/null is a file, and a folder is needed"),
        ("link", "/link is a link to nowhere, which does not exist"),
    ],
)
@pytest.mark.parametrize("command", ["sample out=", "export out=", "train hydra.run.dir="])
def test_a_file_in_the_place_of_a_folder(
    command: str, path: str, message: str, cli: Cli, workdir: Path
) -> None:
    Path("file").touch()
    Path("link").symlink_to("nowhere")
    name, key = command.split()
    result = cli(name, f"{key}{path if path[0] == '/' else workdir / path}")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err


@pytest.mark.parametrize(
    ("argument", "part"),
    [("model=nope", "Could not find 'model/nope'"), ("seed=abc", "seed must be")],
)
def test_a_real_process_ends_with_one_message(argument: str, part: str, tmp_path: Path) -> None:
    result = python("-m", "facegan.train", argument, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("facegan.train: ")
    assert part in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("outputs/*"))


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As SIGHUP is where a command was started by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_signals("train"):
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(SystemExit, match="143"):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
