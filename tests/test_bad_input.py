"""Broken inputs: one message with exit code 2, and no file is changed."""

import errno
import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import killing
import pytest
import torch
from conftest import Cli, smooth_images
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file, save_file

from facegan.core.files import CHECKSUM
from facegan.core.pretrained import metadata
from facegan.training.checkpoints import AtomicCheckpointIO, read_checkpoint

Break = Callable[[], object]
RUN = Path("run")
LAST = RUN / "checkpoints/last.ckpt"
WEIGHTS = RUN / "generator.safetensors"
SMALL = (
    *("model=lite", "model.generator.width=8", "model.discriminator.width=8"),
    *("model.batch_size=16", "data=folder", "data.root=photos", "data.image_size=8"),
    *("trainer.accelerator=cpu", "trainer.max_epochs=2"),
)
RESUME = ("train", "resume=run")
TRAIN = ("train", *SMALL, "hydra.run.dir=new")
SAMPLE = ("sample", "weights=run", "n=1", "out=out")
EVALUATE = ("evaluate", "weights=run", "out=out")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs and a finished run of two epochs."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "photos").mkdir()
    for number, image in enumerate(smooth_images(64, 8)):
        Image.fromarray(image).save(folder / "photos" / f"{number}.png")
    assert killing.run(folder, "train", *SMALL, "hydra.run.dir=run") == 0, (
        folder / "log"
    ).read_text()
    return folder


@pytest.fixture
def home(finished: Path, workdir: Path) -> Path:
    shutil.copytree(finished, workdir, dirs_exist_ok=True, symlinks=True)
    config = (RUN / "config.yaml").read_text().replace(str(finished), str(workdir))
    (RUN / "config.yaml").write_text(config)
    return workdir


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def refused(cli: Cli, home: Path, command: tuple[str, ...]) -> str:
    """The message of `command`, which must fail as it should."""
    before = files(home)
    result = cli(*command)
    assert result.code == 2, (result.out, result.err)
    assert "Traceback" not in result.err
    assert files(home) == before
    return result.err


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def every_checkpoint(change: Callable[[Path], object]) -> Break:
    return lambda: [change(path) for path in (RUN / "checkpoints").iterdir()]


def edit(key: str, value: object) -> Break:
    def change() -> None:
        config = OmegaConf.load(RUN / "config.yaml")
        OmegaConf.update(config, key, value, force_add=True)
        OmegaConf.save(config, RUN / "config.yaml")

    return change


def write(path: Path, data: bytes) -> Break:
    return lambda: path.write_bytes(data)


def reshape_checkpoint() -> None:
    checkpoint = read_checkpoint(LAST)
    name = next(iter(checkpoint["state_dict"]))
    checkpoint["state_dict"][name] = torch.zeros(3)
    AtomicCheckpointIO().save_checkpoint(checkpoint, LAST)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def weights_and_metadata() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Without the checksum, as another program would write them."""
    about = {k: v for k, v in metadata(WEIGHTS).items() if k not in CHECKSUM}
    return load_file(WEIGHTS), about


def nan_weights() -> None:
    tensors, about = weights_and_metadata()
    for tensor in tensors.values():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))
    save_file(tensors, WEIGHTS, about)


def rename_target(config: dict[str, object]) -> Break:
    def change() -> None:
        tensors, about = weights_and_metadata()
        about["config"] = json.dumps({**json.loads(about["config"]), **config})
        save_file(tensors, WEIGHTS, about)

    return change


def break_packed(name: str, change: Callable[[Path], object]) -> Break:
    return lambda: change(next(Path("data/packed").glob("folder-8-*")) / name)


RUNS: dict[str, tuple[Break, str]] = {
    "no config": (lambda: (RUN / "config.yaml").unlink(), "is no run folder"),
    "config of a list": (write(RUN / "config.yaml", b"- 1\n"), "holds no config of a run"),
    "config of a string": (write(RUN / "config.yaml", b"hello"), "lacks seed"),
    "open bracket": (write(RUN / "config.yaml", b"a: [1"), "is no readable YAML"),
    "tabs": (write(RUN / "config.yaml", b"a:\n\t- b"), "is no readable YAML"),
    "not UTF-8": (write(RUN / "config.yaml", b"a: \xff\xfe"), "is no readable YAML"),
    "empty config": (write(RUN / "config.yaml", b""), "config.yaml lacks seed"),
    "python tag": (
        write(RUN / "config.yaml", b"a: !!python/object/apply:os.system ['true']\n"),
        "is no readable YAML",
    ),
    "hostile data": (edit("data._target_", "os.system"), "names 'os.system'"),
    "hostile callback": (
        edit("trainer.profiler", [{"_target_": "shutil.rmtree"}]),
        "names 'shutil.rmtree'",
    ),
    "interpolation": (
        lambda: (RUN / "config.yaml").write_text("seed: ${oc.env:HOME}\n"),
        "is an interpolation",
    ),
    "edited batch size": (edit("model.batch_size", 8), "was not written by a run with this"),
    "edited seed": (edit("seed", 5), "was not written by a run with this"),
    "edited width": (edit("model.generator.width", 16), "was not written by a run with this"),
    "flipped bit": (every_checkpoint(flip_bit), "its checksum does not match"),
    "cut checkpoint": (every_checkpoint(cut), "its checksum does not match"),
    "empty checkpoint": (every_checkpoint(lambda path: path.write_bytes(b"")), "checksum"),
    "pickle": (
        every_checkpoint(lambda path: path.write_bytes(pickle.dumps({"a": 1}))),
        "its checksum does not match",
    ),
    "plain torch.save": (every_checkpoint(lambda path: torch.save({}, path)), "checksum"),
    "without Lightning's keys": (
        every_checkpoint(lambda p: AtomicCheckpointIO().save_checkpoint({"images_seen": 1}, p)),
        "is no checkpoint of this version",
    ),
    "code in a checkpoint": (
        every_checkpoint(lambda p: AtomicCheckpointIO().save_checkpoint({"f": os.system}, p)),
        "is no checkpoint of plain tensors",
    ),
    "another shape": (reshape_checkpoint, "holds another network than config.yaml describes"),
    "no checkpoints": (lambda: shutil.rmtree(RUN / "checkpoints"), "has lost its checkpoints"),
    "folders as checkpoints": (every_checkpoint(replace_by_folder), "has lost its checkpoints"),
    "cut images": (break_packed("images.npy", cut), "is damaged"),
    "no manifest": (break_packed("manifest.json", Path.unlink), "is damaged"),
    "no JSON": (break_packed("manifest.json", lambda p: p.write_text("{")), "is damaged"),
    "labels of text": (break_packed("labels.npz", lambda p: p.write_text("x")), "is damaged"),
}


@pytest.mark.parametrize("case", RUNS)
def test_resume_of_a_broken_run(case: str, cli: Cli, home: Path) -> None:
    change, words = RUNS[case]
    change()
    assert words in refused(cli, home, RESUME)


TYPED: dict[str, tuple[tuple[str, ...], str]] = {
    "resume of nothing": (("train", "resume=nowhere"), "is no run folder"),
    "resume of a file": (("train", "resume=log"), "is no run folder"),
    "resume with a seed": ((*RESUME, "seed=1"), "seed=1 with resume"),
    "fewer epochs": ((*RESUME, "trainer.max_epochs=1"), "but the run has 2 epochs already"),
    "the same folder": (("train", *SMALL, "hydra.run.dir=run"), "holds a finished run already"),
    "another run's folder": (("train", *SMALL, "seed=3", "hydra.run.dir=run"), "holds a"),
    "no photographs": ((*TRAIN, "data.root=nowhere"), "does not exist"),
    "photographs of text": ((*TRAIN, "data.root=log"), "log"),
    "negative interval": ((*TRAIN, "checkpoint.every=-1"), "checkpoint.every must be"),
    "no checkpoint kept": ((*TRAIN, "checkpoint.keep=0"), "checkpoint.keep must be"),
    "snapshots of nothing": ((*TRAIN, "snapshots.every=0"), "snapshots.every must be"),
    "rollback of maybe": ((*TRAIN, "health.rollback=maybe"), "health.rollback"),
    "no rollbacks": ((*TRAIN, "health.max_rollbacks=0"), "health.max_rollbacks must be"),
    "rollback on two": (
        (*TRAIN, "health.rollback=true", "trainer.devices=2"),
        "only a training on one device",
    ),
    "trust of a number": ((*TRAIN, "trust=0"), "trust=0 is no module's name"),
    "trust of true": ((*TRAIN, "trust=true"), "trust=True is no module's name"),
    "trust of words": ((*TRAIN, "trust='rm -rf'"), "is no module's name"),
    "time of words": ((*TRAIN, "trainer.max_time=soon"), "must read HH:MM:SS"),
    "no epochs": ((*TRAIN, "trainer.max_epochs=0"), "from 1 to 1000000, got 0"),
    "no time": ((*TRAIN, "trainer.max_time=00:00:00"), "must read HH:MM:SS"),
    "time without end": ((*TRAIN, f"trainer.max_time={'9' * 20}:00:00"), "must read HH:MM:SS"),
    "resume with NaN": ((*RESUME, "checkpoint.every=nan"), "checkpoint.every must be a number"),
    "two budgets": ((*TRAIN, "trainer.max_images=9", "trainer.max_time=00:01:00"), "give one"),
    "huge batch": (
        (*TRAIN, "model.batch_size=1000"),
        "model.batch_size must be a whole number",
    ),
    "no batch": ((*TRAIN, "model.batch_size=0"), "model.batch_size must be a whole number"),
    "odd size": ((*TRAIN, "data.image_size=29"), "29"),
    "precision": ((*TRAIN, "trainer.precision=8"), "trainer.precision must be one of"),
    "infinite rate": (
        (*TRAIN, "model.generator_optimizer.lr=inf"),
        "generator_optimizer.lr must be a number from 1e-12 to 10, got inf",
    ),
    "negative rate": ((*TRAIN, "model.generator_optimizer.lr=-1"), "from 1e-12 to 10, got -1"),
    "misspelt key": ((*TRAIN, "sed=1"), "sed"),
    "misspelt model": ((*TRAIN, "model=dcgn"), "dcgn"),
    "reserved": ((*TRAIN, "+trainer.strategy=ddp"), "is not for the user to set"),
    "a file as run folder": (("train", *SMALL, "hydra.run.dir=log/run"), "log"),
    "long name": (("train", *SMALL, f"hydra.run.dir={'x' * 300}"), "shorter name"),
    "long out": ((*SAMPLE[:3], f"out={'x' * 300}"), "shorter name"),
    "no labels": (
        ("prepare", "data=folder", "data.root=photos", "data.labels=nowhere.csv"),
        "labels=nowhere.csv is not a file",
    ),
    "no weights": (("sample", "weights=nowhere"), "there is no file"),
    "weights of a folder": (("sample", "weights=photos"), "there is no file"),
    "weights of text": (("sample", "weights=log"), "is no readable safetensors file"),
    "weights of a checkpoint": (("sample", f"weights={LAST}"), "is no readable safetensors file"),
    "no faces": ((*SAMPLE[:2], "n=0"), "n must be"),
    "seeds of words": ((*SAMPLE[:2], "seeds=a-b"), "seeds"),
    "negative truncation": ((*SAMPLE, "truncation=-1"), "truncation must be"),
    "unknown video": ((*SAMPLE, "interpolate=1,2", "video=avi"), "avi"),
    "few faces": ((*EVALUATE, "evaluation.faces=3"), "at least 50"),
    "unknown split": ((*EVALUATE, "evaluation.split=train"), "must be val or test"),
    "no images": (("evaluate", "images=nowhere", "out=out"), "nowhere"),
    "not UTF-8": (("sample", "weights=\udcff\udcfe"), "there is no file"),
    "export of text": (("export", "weights=log"), "is no readable safetensors file"),
}


HUGE = str(10**23)
NUMBERS: dict[str, tuple[str, ...]] = {  # values of keys, for which the message names the rule
    "seed": ("-1", "0.5", HUGE, "abc", "null", "true", "[1]"),
    "checkpoint": ("5", "null"),
    "evaluate_every": ("-1", "nan"),
    "loader.flip": ("2", HUGE, "abc", "null"),
    "model.n_critic": ("0", HUGE),
    "model.ema_halflife": ("-1", "1e30", "nan"),
    "model.final_lr_factor": ("-1", "1e30"),
    "model.lr_schedule": ("linear", "5"),
    "model.generator.negative_slope": ("-0.1", "2"),
    "model.generator.width": ("0", "-8", HUGE, "[8]"),
    "model.generator.latent_dim": ("0", HUGE),
    "model.generator.dropout": ("1", "-0.5"),
    "model.generator.norm": ("5", "null"),
    "model.discriminator.max_width": ("0", "-1"),
    "model.discriminator.hidden": ("-1", HUGE),
    "model.discriminator.minibatch_stddev": ("2",),
    "model.penalty.gamma": ("-1", "1e30", "nan"),
    "model.penalty.interval": ("0", HUGE),
    "model.generator_optimizer.lr": ("0", "1e30", "true"),
    "model.generator_optimizer.betas": ("0.5", "[]", "[1,1]", "[0.5]", "null"),
    "data.image_size": ("0", "-28", HUGE, "nan"),
    "data.crop": ("0", "-1", HUGE),
    "data.background": ("5",),
    "trainer.devices": ("0", "-1", "1000", HUGE, "0.5", "abc", "[]", "null"),
    "+trainer.num_nodes": ("0", "2", HUGE),
    "trainer.log_every_n_steps": ("0", HUGE, "1.5"),
    "trainer.max_images": ("0", HUGE, "1e30"),
    "trainer.restart_schedule": ("1", "abc"),
    "+trainer.deterministic": ("abc", "1"),
    "+trainer.profiler": ("5", "abc", "[1]"),
    "+trainer.val_check_interval": (HUGE,),
}
GENERATED = ("prepare", "data=generated")
OTHERS: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    GENERATED: {"data.count": ("0", "-1", HUGE, "0.5", "nan"), "data.image_size": (HUGE,)},
    SAMPLE[:2]: {"n": (HUGE, "-1"), "fps": ("0", "inf"), "frames": ("1", HUGE), "grid": ("2",)},
    EVALUATE: {"evaluation.faces": (HUGE, "-1"), "evaluation.seed": (HUGE, "-1", "0.5")},
}


@pytest.mark.parametrize(
    ("command", "key", "value"),
    [
        (command, key, value)
        for command, keys in [(TRAIN, NUMBERS), *OTHERS.items()]
        for key, values in keys.items()
        for value in values
    ],
)
def test_a_value_out_of_its_bounds(
    command: tuple[str, ...], key: str, value: str, cli: Cli, home: Path
) -> None:
    message = refused(cli, home, (*command, f"{key.replace('+', '++')}={value}"))
    assert key.lstrip("+") in message
    assert re.search(r"must|is more than|needs|is not for the user", message), message


def test_memory_that_runs_out(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(*_: object) -> None:
        raise RuntimeError("can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("facegan.networks.base.Generator.draw", allocate)
    assert "there is not enough memory to allocate 9 bytes" in refused(cli, home, SAMPLE)


@pytest.mark.parametrize("case", TYPED)
def test_a_broken_command(case: str, cli: Cli, home: Path) -> None:
    command, words = TYPED[case]
    assert words in refused(cli, home, command)


WEIGHT_FILES: dict[str, tuple[Break, str]] = {
    "empty": (write(WEIGHTS, b""), "is no readable safetensors file"),
    "cut": (lambda: cut(WEIGHTS), "is no readable safetensors file"),
    "huge header": (write(WEIGHTS, b"\xff" * 64), "is no readable safetensors file"),
    "flipped bit": (lambda: flip_bit(WEIGHTS), "is damaged: its checksum does not match"),
    "NaN": (nan_weights, "hold NaN or infinity"),
    "foreign target": (rename_target({"_target_": "os.system"}), "names 'os.system'"),
    "a discriminator": (
        rename_target({"_target_": "facegan.networks.dcgan.DCGANDiscriminator"}),
        "is no Generator",
    ),
    "huge width": (rename_target({"width": 2**40}), "do not fit the network"),
    "another width": (rename_target({"width": 16}), "size mismatch"),
    "unknown argument": (rename_target({"colour": 1}), "do not fit the network"),
    "no config": (lambda: save_file(load_file(WEIGHTS), WEIGHTS), "no facegan config"),
}


@pytest.mark.parametrize("case", WEIGHT_FILES)
def test_broken_weights(case: str, cli: Cli, home: Path) -> None:
    change, words = WEIGHT_FILES[case]
    change()
    assert words in refused(cli, home, SAMPLE)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "Read-only file system; remount the disk"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "your quota is used up"),
        (errno.EACCES, "that you may use"),
        (errno.EIO, "the disk reports an error"),
    ],
)
def test_a_disk_that_refuses(
    number: int, words: str, cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr("os.replace", refuse)
    message = refused(cli, home, RESUME)
    assert words in message
    assert f"then go on with the run by resume={RUN.resolve()}" in message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_within_a_file(
    number: int, cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a write, other than that of an open, has no path."""

    def refuse(path: Path, data: bytes) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    result = cli(*RESUME, "trainer.max_epochs=3")
    assert (result.code, "Traceback" in result.err) == (2, False)
    assert f"go on with the run by resume={RUN.resolve()}" in result.err


@pytest.mark.parametrize("text", [b"\n\n", b"no JSON\n", b"\xff\xfe\n", b""])
def test_metrics_that_were_damaged_do_not_stop_a_run(text: bytes, cli: Cli, home: Path) -> None:
    path = RUN / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + text)
    assert cli(*RESUME, "trainer.max_epochs=3").code == 0


def test_a_zip_that_is_cut(cli: Cli, home: Path) -> None:
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for path in Path("photos").iterdir():
            archive.write(path)
    cut(Path("photos.zip"))
    assert "photos.zip" in refused(cli, home, (*TRAIN, "data.root=photos.zip"))


def test_a_full_disk_names_the_file(cli: Cli, home: Path) -> None:
    (RUN / ".owner").symlink_to("/dev/full")
    message = refused(cli, home, RESUME)
    assert f"the disk is full ({RUN.resolve()}/.owner): free some space; then go on" in message


def test_a_resumed_run_needs_no_other_folder(cli: Cli, home: Path) -> None:
    """The current folder may be read-only."""
    shutil.rmtree("outputs", ignore_errors=True)
    Path("outputs").touch()  # so that nothing can be made there
    result = cli(*RESUME, "trainer.max_epochs=3")
    assert (result.code, result.err) == (0, "")
    assert "outputs/latest could not be pointed at" in result.out


def test_checkpoints_that_are_all_damaged(cli: Cli, home: Path) -> None:
    every_checkpoint(flip_bit)()
    result = cli(*RESUME)
    assert result.code == 2
    assert "the one before it is used" not in result.out
    for path in (RUN / "checkpoints").iterdir():
        assert result.err.count(f"{path.resolve()} is damaged") == 1


def test_a_damaged_checkpoint_is_skipped(cli: Cli, home: Path) -> None:
    flip_bit(LAST)
    result = cli(*RESUME)
    assert result.code == 0
    assert "its checksum does not match its content; the one before it is used" in result.out
