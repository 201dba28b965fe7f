"""What a run folder or a weights file may name, and what only the user may."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file

from facegan import Generator
from facegan.cli.config import load_config
from facegan.core.errors import FaceganError
from facegan.core.paths import CONFIG_PATH
from facegan.core.trust import check_targets, trust

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
        check_targets({"data": [{"deep": node}] if nested else node}, Path("config.yaml"))


def test_every_shipped_target_may_be_named() -> None:
    for path in CONFIG_PATH.rglob("*.yaml"):
        node = OmegaConf.to_container(OmegaConf.load(path))
        node.pop("hydra", None)  # no run stores Hydra's own part
        check_targets(node, path)


def test_trust_is_of_one_module() -> None:
    trust("mine.networks")
    check_targets({"_target_": "mine.networks.Net"}, Path("x"))
    for other in ("mine.networks_too.Net", "mine.Net"):
        with pytest.raises(FaceganError, match=f"trust={other.rpartition('.')[0]}"):
            check_targets({"_target_": other}, Path("x"))
    with pytest.raises(FaceganError, match="is no module's name"):
        trust("rm -rf")


@pytest.mark.parametrize("text", ["data:\n  root: ${oc.env:HOME}\n", "list:\n- ${x}\nx: 1\n"])
def test_interpolations_are_refused(text: str, workdir: Path) -> None:
    Path("config.yaml").write_text(text)
    with pytest.raises(FaceganError, match="is an interpolation"):
        load_config(Path("config.yaml"))


@pytest.fixture
def small(small_photos: tuple[str, ...]) -> tuple[str, ...]:
    return (
        *("model=lite", *small_photos, "model.batch_size=8", "trainer.accelerator=cpu"),
        *("model.generator.width=8", "model.discriminator.width=8", "hydra.run.dir=run"),
        "trainer.max_epochs=1",
    )


@pytest.mark.parametrize(
    "command", [("train", "resume=run"), ("evaluate", "weights=run/generator.safetensors")]
)
def test_a_planted_target_does_not_run(
    command: tuple[str, ...], cli: Cli, small: tuple[str, ...], payload: Path
) -> None:
    assert cli("train", *small).code == 0
    stored = OmegaConf.load("run/config.yaml")
    stored.data = {"_target_": "payload.go"}
    OmegaConf.save(stored, "run/config.yaml")
    result = cli(*command)
    assert (result.code, payload.exists()) == (2, False)
    assert "names 'payload.go'" in result.err


def test_planted_weights_do_not_run(cli: Cli, payload: Path) -> None:
    Generator.from_pretrained("lite-28").save_pretrained("w.safetensors")
    with safe_open("w.safetensors", "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = {**json.loads(header["config"]), "_target_": "payload.Mine"}
    save_file(tensors, "w.safetensors", {"config": json.dumps(config)})
    result = cli("sample", "weights=w.safetensors", "n=1")
    assert (result.code, payload.exists()) == (2, False)
    assert "trust=payload" in result.err


def test_a_network_of_ones_own_is_used_like_any_other(
    cli: Cli, small: tuple[str, ...], payload: Path
) -> None:
    assert cli("train", *small, "model.generator._target_=payload.Mine").code == 0
    assert cli("sample", "weights=run", "n=1").code == 2
    assert cli("train", "resume=run", "trainer.max_epochs=2").code == 2
    assert cli("train", "resume=run", "trainer.max_epochs=2", "trust=payload").code == 0
    result = cli("sample", "weights=run", "n=1", "trust=payload")
    assert (result.code, result.err) == (0, "")
    assert cli("sample", "weights=run", "n=1").code == 2
