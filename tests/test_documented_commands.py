"""Every command and every setting in README and docs exists, and its config composes."""

import pytest
from documented import (
    COMMANDS,
    ERRORS,
    check,
    created_options,
    documented_commands,
    documented_settings,
    documents,
    is_setting,
)

TEXTS = {path.stem: path.read_text("utf-8") for path in documents()}
CREATED = {option for text in TEXTS.values() for option in created_options(text)}
# Python, or with a placeholder for the key
NO_SETTINGS = {"key=value", "model.loss.NAME=VALUE", "weights_only=True", "during_training=True"}


def found(find) -> dict[str, str]:
    """What `find` finds in the documents, once each, with the first document that has it."""
    return {text: name for name in reversed(TEXTS) for text in find(TEXTS[name])}


FOUND_COMMANDS = found(documented_commands)
SETTINGS = sorted({*found(documented_settings)} - NO_SETTINGS)


def skip_without_plugins(text: str) -> None:
    if "hydra/launcher=ray" in text:
        pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="the extra ray")
    elif "hydra/" in text:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra sweeps")


@pytest.mark.parametrize("line", FOUND_COMMANDS)
def test_a_command_exists_and_composes(line: str) -> None:
    skip_without_plugins(line)
    check(line, CREATED)


@pytest.mark.parametrize("text", SETTINGS)
def test_a_setting_belongs_to_a_command(text: str) -> None:
    skip_without_plugins(text)
    assert is_setting(text)


def test_most_documents_have_commands() -> None:
    assert len({*FOUND_COMMANDS.values()}) > 12
    for name in COMMANDS:
        assert any(f"facegan.{name}" in line for line in FOUND_COMMANDS), name


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
        ("cd somewhere", "unknown program cd"),
    ],
)
def test_a_wrong_command_is_caught(line: str, message: str) -> None:
    with pytest.raises(ERRORS, match=message):
        check(line, created=set())


def test_a_wrong_setting_is_caught() -> None:
    assert documented_settings("`trainer.max_epoks=6` and `a = b`") == ["trainer.max_epoks=6"]
    assert not is_setting("trainer.max_epoks=6")
    assert not is_setting("model=lyte")
