"""What a run folder or a weights file may name, and what only the user may."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Cli
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file

from facegan.cli.config import load_config
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.paths import CONFIG_PATH
from facegan.core.trust import check_stored, trust

MODULE = """
from pathlib import Path
from facegan.networks.dcgan import DCGANGenerator

Path("ran").touch()

class Mine(DCGANGenerator):
    pass

def go(**arguments):
    Path("ran").touch()
"""
HOSTILE = (
    "os.system",
    "builtins.eval",
    "torch.hub.load",
    "torch.optim.os.system",
    "torch.optim.lr_scheduler.partial",
    "facegan.data.dataset.shutil.rmtree",
    "facegan.data.pack.ThreadPoolExecutor",
    "facegan.data.dataset.open_dataset",
    "facegan.cli.command.command",
    "pytorch_lightning.Trainer.fit",
    "payload.go",
    "",
    7,
    None,
    ["os.system"],
)


@pytest.fixture(autouse=True)
def nothing_is_trusted() -> Any:
    trust(None)
    yield
    trust(None)


@pytest.fixture
def payload(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the current folder that leaves the file `ran` when it is imported."""
    (workdir / "payload.py").write_text(MODULE)
    monkeypatch.syspath_prepend(workdir)
    yield workdir / "ran"
    sys.modules.pop("payload", None)


@pytest.mark.parametrize("target", HOSTILE)
@pytest.mark.parametrize("nested", [False, True])
def test_a_file_may_not_name(target: Any, nested: bool) -> None:
    node = {"_target_": target, "x": 1}
    with pytest.raises(FaceganError, match=r"is not run because a file names it.*trust="):
        check_stored({"data": [{"deep": node}] if nested else node}, Path("config.yaml"))


def test_every_shipped_target_may_be_named() -> None:
    texts = [path.read_text() for path in CONFIG_PATH.rglob("*.yaml")]
    targets = {name for text in texts for name in re.findall(r"_target_: (\S+)", text)}
    for target in targets - {"facegan.compare.CompareSweep"}:  # no run stores Hydra's own part
        check_stored({"_target_": target}, Path("config.yaml"))


def test_trust_covers_one_module_and_its_submodules() -> None:
    trust("mine.networks")
    check_stored({"_target_": "mine.networks.Net"}, Path("x"))
    for other in ("mine.networks_too.Net", "mine.Net"):
        with pytest.raises(FaceganError, match=f"trust={other.rpartition('.')[0]}"):
            check_stored({"_target_": other}, Path("x"))
    with pytest.raises(FaceganError, match="is not a module's name"):
        trust("rm -rf")


BILLIONS = "a0: &a0 [x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data:\n  root: ${oc.env:HOME}\n", "is an interpolation"),
        ("list:\n- ${x}\nx: 1\n", "is an interpolation"),
        (BILLIONS, "a YAML alias"),
        ("a: &a\n  b: *a\n", "a YAML alias"),
        ("a: " + "[" * 50_000, "1,000 brackets"),
        ("a: " + "x" * 100_000, "more than 100,000 characters"),
        ("data:\n  weights: http://127.0.0.1/x.safetensors\n", "is not requested"),
        ("data:\n  weights: hf:some/one/x.safetensors\n", "is not requested"),
        ("logger:\n  csv:\n    save_dir: /tmp\n", "save_dir=/tmp is outside of the run folder"),
        ("trainer:\n  profiler:\n    dirpath: ..\n", r"dirpath=\.\. is outside"),
        ("trainer:\n  profiler:\n    filename: ../x\n", r"filename=\.\./x is outside"),
    ],
)
def test_a_stored_config_is_small_and_names_nothing_outside(
    text: str, message: str, workdir: Path
) -> None:
    Path("config.yaml").write_text(text)
    with pytest.raises(FaceganError, match=message):
        load_config(Path("config.yaml"))
    Path("config.yaml").write_text(f"trainer:\n  dirpath: {workdir}\n  filename: profile\n")
    load_config(Path("config.yaml"))


def test_compare_reads_no_aliases(cli: Cli) -> None:
    Path("run").mkdir()
    Path("run/config.yaml").write_text(BILLIONS)
    result = cli("compare", "runs=run")
    assert "config.yaml cannot be read" in result.out


@pytest.mark.parametrize(
    ("name", "command", "code"),
    [
        ("run/metrics.jsonl", ("train", "resume=run", "trainer.max_epochs=3"), 2),
        ("run/metrics.jsonl", ("compare", "runs=run"), 0),
        ("run/run.json", ("compare", "runs=run"), 0),
        ("run/evaluation.json", ("compare", "runs=run"), 0),
        ("run/samples/epoch-003.png", ("compare", "runs=run"), 0),
        ("run/config.yaml", ("train", "resume=run"), 2),
        ("run/generator.safetensors", ("sample", "weights=run"), 2),
        ("run/generator-best.safetensors", ("sample", "weights=run/generator-best.safetensors"), 2),
        ("photos", ("prepare", "data=folder", "data.root=photos"), 2),
        ("photos", ("verify", "files=photos"), 2),
    ],
)
def test_only_regular_files_are_read(
    name: str, command: tuple[str, ...], code: int, cli: Cli, home: Path
) -> None:
    path = home / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert cli(*command).code == code


@pytest.mark.parametrize(
    "command", [("train", "resume=run"), ("evaluate", "weights=run/generator.safetensors")]
)
def test_a_planted_target_does_not_run(
    command: tuple[str, ...], cli: Cli, home: Path, payload: Path
) -> None:
    stored = OmegaConf.load("run/config.yaml")
    stored.data = {"_target_": "payload.go"}
    OmegaConf.save(stored, "run/config.yaml")
    result = cli(*command)
    assert (result.code, payload.exists()) == (2, False)
    assert "names 'payload.go'" in result.err


def test_planted_weights_do_not_run(cli: Cli, payload: Path) -> None:
    with safe_open(pretrained.find("lite-28"), "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = {**json.loads(header["config"]), "_target_": "payload.Mine"}
    save_file(tensors, "w.safetensors", {"config": json.dumps(config)})
    result = cli("sample", "weights=w.safetensors", "n=1")
    assert (result.code, payload.exists()) == (2, False)
    assert "trust=payload" in result.err


def test_a_trusted_network_is_used_like_any_other(
    cli: Cli, small_photos: tuple[str, ...], payload: Path
) -> None:
    mine = ("model.batch_size=8", "model.generator._target_=payload.Mine", "hydra.run.dir=run")
    cli.ok("train", *TINY, *small_photos, *mine, "trainer.max_epochs=1")
    resume, sample = ("train", "resume=run", "trainer.max_epochs=2"), ("sample", "weights=run")
    for command in (resume, sample):
        assert cli(*command).code == 2
        result = cli(*command, "trust=payload")
        assert (result.code, result.err) == (0, "")
    assert cli(*sample).code == 2
