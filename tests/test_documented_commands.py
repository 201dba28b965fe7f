"""Every command and every setting in README and docs exists, and its config composes."""

from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import REPOSITORY
from documented import (
    DocumentedError,
    check,
    compose_all,
    created_options,
    documented_commands,
    documented_settings,
    documents,
)
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from facegan.core.errors import FaceganError
from facegan.core.paths import CONFIG_PATH

COMMANDS = sorted((path.stem for path in CONFIG_PATH.glob("*.yaml")), reverse=True)  # train first
ERRORS = (DocumentedError, FaceganError, HydraException, OmegaConfBaseException)
# Python, or with a placeholder for the key
NO_SETTINGS = {"key=value", "model.loss.NAME=VALUE", "weights_only=True", "during_training=True"}


class Case(NamedTuple):
    document: Path
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(REPOSITORY)}: {self.text}"


def cases(find) -> list[Case]:
    return [Case(path, text) for path in documents() for text in find(path.read_text("utf-8"))]


def skip_without_plugins(text: str) -> None:
    if "hydra/launcher=ray" in text:
        pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="the extra ray")
    elif "hydra/" in text:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra sweeps")


@pytest.mark.parametrize("case", cases(documented_commands), ids=str)
def test_a_command_exists_and_composes(case: Case) -> None:
    skip_without_plugins(case.text)
    check(case.text, created_options(case.document.read_text("utf-8")))


@pytest.mark.parametrize("case", cases(documented_settings), ids=str)
def test_a_setting_belongs_to_a_command(case: Case) -> None:
    if case.text in NO_SETTINGS:
        return
    skip_without_plugins(case.text)
    settings = case.text.replace("'", "").split()
    of_trainer = [f"trainer.{setting}" for setting in settings]  # in README's table
    of_folder = ["data=folder", "data.root=photos", *settings]  # in the guide to own photographs
    assert any(composes("train", words) for words in (of_trainer, of_folder)) or any(
        composes(name, settings) for name in COMMANDS
    )


def composes(name: str, words: list[str]) -> bool:
    try:
        compose_all(name, words)
    except ERRORS:
        return False
    return True


def test_most_documents_have_commands() -> None:
    commands = cases(documented_commands)
    assert len(commands) > 80
    assert len({case.document for case in commands}) > 12
    for name in COMMANDS:
        assert any(f"facegan.{name}" in case.text for case in commands), name


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("facegan trian model=lite", "no command trian"),
        ("python -m facegan.train model.discriminator.widht=3", "widht"),
        ("python -m facegan.train -m model=lite,lyte", "lyte"),
        ("python -m facegan.train seed=abc", "seed"),
        ("python -m facegan.sample truncation=-1", "truncation"),
        ("torchrun --nproc-per-node 2 -m facegan.train trainer.devises=2", "devises"),
        ("make bord", "no target bord"),
        ("pip install -e '.[vidio]'", "no extra vidio"),
        ("python benchmarks/quolity.py run", "quolity.py does not exist"),
        ("python -m pytest -k bit_for_bite", "bit_for_bite"),
        ("cd somewhere", "cd is no program"),
    ],
)
def test_a_wrong_command_is_caught(line: str, message: str) -> None:
    with pytest.raises(ERRORS, match=message):
        check(line, created=set())


def test_a_wrong_setting_is_caught() -> None:
    assert documented_settings("`trainer.max_epoks=6` and `a = b`") == ["trainer.max_epoks=6"]
    assert not any(composes(name, ["trainer.max_epoks=6"]) for name in COMMANDS)


def test_an_option_that_the_document_creates() -> None:
    assert created_options("Create `conf/model/loss/mine.yaml`:") == {"model/loss=mine"}
