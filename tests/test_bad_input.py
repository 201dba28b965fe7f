"""Broken files and commands: one message with exit code 2, and no file is changed."""

import errno
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import SMALL_RUN, Cli
from omegaconf import OmegaConf

from facegan.training.checkpoints import AtomicCheckpointIO, read_checkpoint

Break = Callable[[], object]
RUN = Path("run")
LAST = RUN / "checkpoints/last.ckpt"
CONFIG = RUN / "config.yaml"
WEIGHTS = RUN / "generator.safetensors"
RESUME = ("train", "resume=run")
TRAIN = ("train", *SMALL_RUN, "hydra.run.dir=new")
SAMPLE = ("sample", "weights=run", "n=1", "out=out")
EVALUATE = ("evaluate", "weights=run", "out=out")


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def refused(cli: Cli, home: Path, command: tuple[str, ...]) -> str:
    """The message of `command`, which must end with exit code 2 and change no file."""
    before = files(home)
    message = cli.refusal(*command)
    assert files(home) == before
    return message


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write(path: Path, data: bytes) -> Break:
    return lambda: path.write_bytes(data)


def every_checkpoint(change: Callable[[Path], object]) -> Break:
    return lambda: [change(path) for path in (RUN / "checkpoints").iterdir()]


def checkpoint_of(content: dict[str, object]) -> Break:
    return every_checkpoint(lambda path: AtomicCheckpointIO().save_checkpoint(content, path))


def edit(key: str, value: object) -> Break:
    def change() -> None:
        config = OmegaConf.load(CONFIG)
        OmegaConf.update(config, key, value, force_add=True)
        OmegaConf.save(config, CONFIG)

    return change


def edit_checkpoint(*keys: str | int, value: object) -> Break:
    def change() -> None:
        checkpoint = entry = read_checkpoint(LAST)
        for key in keys[:-1]:
            entry = entry[key]
        entry[keys[-1]] = value
        AtomicCheckpointIO().save_checkpoint(checkpoint, LAST)
        for path in LAST.parent.glob("[!l]*"):
            path.unlink()

    return change


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def break_packed(name: str, change: Callable[[Path], object]) -> Break:
    return lambda: change(next(Path("data/packed").glob("folder-8-*")) / name)


RUNS: dict[str, tuple[Break, str]] = {
    "no config": (CONFIG.unlink, "run folder"),
    "config of a string": (write(CONFIG, b"hello"), "hello is not a key"),
    "open bracket": (write(CONFIG, b"a: [1"), "config.yaml is damaged"),
    "not UTF-8": (write(CONFIG, b"a: \xff\xfe"), "config.yaml is damaged"),
    "python tag": (
        write(CONFIG, b"a: !!python/object/apply:os.system ['true']\n"),
        "config.yaml is damaged",
    ),
    "hostile data": (edit("data._target_", "os.system"), "names 'os.system'"),
    "hostile callback": (
        edit("trainer.profiler", [{"_target_": "shutil.rmtree"}]),
        "names 'shutil.rmtree'",
    ),
    "interpolation": (write(CONFIG, b"seed: ${oc.env:HOME}\n"), "is an interpolation"),
    "edited seed": (edit("seed", 5), "checkpoint"),
    "flipped bit": (every_checkpoint(flip_bit), "checksum"),
    "cut checkpoint": (every_checkpoint(cut), "checksum"),
    "pickle": (
        every_checkpoint(lambda path: path.write_bytes(pickle.dumps({"a": 1}))),
        "checksum",
    ),
    "without Lightning's keys": (checkpoint_of({"images_seen": 1}), "checkpoint"),
    "code in a checkpoint": (checkpoint_of({"f": os.system}), "checkpoint"),
    "images of text": (edit_checkpoint("images_seen", value="x"), "images_seen is 'x'"),
    "huge seed": (lambda: CONFIG.write_text(f"seed: {'9' * 401}"), "seed must be"),
    "deep config": (lambda: CONFIG.write_text("- " * 20_000), "config.yaml is damaged"),
    "no checkpoints": (lambda: shutil.rmtree(RUN / "checkpoints"), "checkpoints"),
    "folders as checkpoints": (every_checkpoint(replace_by_folder), "checkpoints"),
    "no manifest": (break_packed("manifest.json", Path.unlink), "damaged"),
}


@pytest.mark.parametrize("case", RUNS)
def test_resume_refuses_a_broken_run(case: str, cli: Cli, home: Path) -> None:
    change, words = RUNS[case]
    change()
    assert words in refused(cli, home, RESUME)


OPTIMIZER = ("optimizer_states", 1, "state", 3, "exp_avg_sq")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("callbacks", "MetricsLogger"), "x"),
        (("optimizer_states",), "x"),
        (OPTIMIZER, "x"),
        (("state_dict", "generator.layers.0.weight"), torch.zeros(3)),
    ],
)
def test_a_checkpoint_that_cannot_be_restored_is_named(
    keys: tuple[str | int, ...], value: object, cli: Cli, home: Path
) -> None:
    edit_checkpoint(*keys, value=value)()
    message = cli.refusal(*RESUME, "trainer.max_epochs=3")
    assert "last.ckpt is damaged, or of another kind (its entries do not fit" in message


COMMANDS: list[tuple[tuple[str, ...], str]] = [
    (("train", "resume=nowhere"), "run folder"),
    (("train", "replay=nowhere"), "No such file"),
    (("train", "replay=run", "seed=1"), "seed=1 with resume or replay"),
    (("train", "replay=run", "resume=run"), "give one of them"),
    (("train", "resume=photos/00.png"), "run folder"),
    ((*RESUME, "seed=1"), "seed=1"),
    ((*RESUME, "trainer.max_epochs=1"), "2 epochs"),
    ((*RESUME, "checkpoint.every=nan"), "checkpoint.every must be a number"),
    (("train", *SMALL_RUN, "seed=3", "hydra.run.dir=run"), "/run"),
    ((*TRAIN, "data.root=run/config.yaml"), "config.yaml"),
    ((*TRAIN, "health.rollback=true", "trainer.devices=2"), "one device"),
    ((*TRAIN, "trainer.max_images=9", "trainer.max_time=00:01:00"), "two budgets"),
    ((*TRAIN, "model.batch_size=1000"), "model.batch_size"),
    ((*TRAIN, "model.generator.channels=1", "model.discriminator.channels=1"), "has (3, 8, 8)"),
    ((*TRAIN, "trainer.max_time=00:00:10", "trainer.devices=2"), "trainer.max_epochs"),
    (("train", *SMALL_RUN, "hydra.run.dir=photos/00.png/run"), "0.png/run: Not a directory"),
    (("train", *SMALL_RUN, f"hydra.run.dir={'x' * 300}"), "File name too long"),
    (("sample", f"weights={LAST}"), "pickles such as .pt and .ckpt are never loaded"),
    (("sample", "weights=\udcff\udcfe"), "there is no file"),
    ((*SAMPLE[:2], "seeds=a-b"), "seeds"),
    ((*SAMPLE[:2], "seeds=0-4294967295"), "at most 1,000,000 seeds at a time"),
    ((*EVALUATE, "evaluation.faces=3"), "evaluation.faces"),
    ((*EVALUATE, "evaluation.split=training"), "val, train, all"),
    (("evaluate", "images=nowhere", "out=out"), "nowhere"),
    ((*TRAIN, "model.conditional=true"), "model.conditional=true needs labels, and the data"),
]


@pytest.mark.parametrize(("command", "words"), COMMANDS, ids=lambda x: str(x)[-40:])
def test_a_command_refuses(command: tuple[str, ...], words: str, cli: Cli, home: Path) -> None:
    message = refused(cli, home, command)
    assert words in message
    assert message.startswith(f"facegan.{command[0]}: ")


def test_memory_that_runs_out_is_one_message(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: object) -> None:
        raise RuntimeError("can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("facegan.networks.base.Generator.draw", allocate)
    assert "not enough memory to allocate 9 bytes" in refused(cli, home, SAMPLE)


def test_a_rename_that_fails_changes_nothing(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))

    monkeypatch.setattr("os.replace", refuse)
    assert "Read-only file system" in refused(cli, home, RESUME)


def test_a_full_disk_is_named_with_the_file(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a write, unlike that of an open, has no path."""

    def refuse(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    message = cli.refusal(*RESUME, "trainer.max_epochs=3")
    assert f"{RUN.resolve()}/" in message
    assert ": No space left on device" in message


@pytest.mark.parametrize("text", [b"\xff\xfe\n", b'{"images": 3'])
def test_damaged_metrics_do_not_stop_a_run(text: bytes, cli: Cli, home: Path) -> None:
    path = RUN / "metrics.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + text)
    cli.ok(*RESUME, "trainer.max_epochs=3")
    assert path.read_bytes().startswith(before)


def test_a_resumed_run_needs_no_other_folder(cli: Cli, home: Path) -> None:
    """The current folder may be read-only."""
    shutil.rmtree("outputs", ignore_errors=True)
    Path("outputs").touch()  # so that nothing can be written there
    result = cli(*RESUME, "trainer.max_epochs=3")
    assert (result.code, result.err) == (0, "")
    assert "outputs/latest" in result.out


def test_every_damaged_checkpoint_is_named_once(cli: Cli, home: Path) -> None:
    every_checkpoint(flip_bit)()
    message = cli(*RESUME).err
    for path in (RUN / "checkpoints").iterdir():
        assert message.count(str(path.resolve())) == 1


def test_a_damaged_checkpoint_is_skipped(cli: Cli, home: Path) -> None:
    flip_bit(LAST)
    assert "checksum" in cli.ok(*RESUME)
