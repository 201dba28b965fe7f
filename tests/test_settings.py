"""docs/settings.md has every key of a training's config, with its default."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conftest import REPOSITORY
from omegaconf import OmegaConf

from facegan.cli.config import shown
from facegan.core.paths import CONFIG_PATH

PAGE = (REPOSITORY / "docs" / "settings.md").read_text("utf-8")
OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer", "optimizer")
SHARED = ("image_size", "channels", "blocks", "dropout", "norm")  # keys of both networks
ROW = re.compile(r"^\| `([a-z_.0-9*]+)` \| (?:([^|]+) \| )?[^|]+ \|$", re.M)  # key, default


def leaves(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """The keys and values in nested dicts, as they are typed."""
    if isinstance(node, dict):
        for name, child in node.items():
            if name not in ("defaults", "hydra", "_target_", "_partial_"):
                yield from leaves(child, f"{key}.{name}".lstrip("."))
    else:
        yield key, shown(node)


def settings(path: Path, key: str) -> list[tuple[str, str]]:
    return list(leaves(OmegaConf.to_container(OmegaConf.load(path), resolve=False), key))


def model_settings() -> Iterator[tuple[str, str]]:
    for path in (CONFIG_PATH / "model").rglob("*.yaml"):
        group = path.parent.relative_to(CONFIG_PATH / "model").name
        for key, value in settings(path, f"model.{group}".rstrip(".")):
            # one row for both optimizers, and for what both networks have
            key = re.sub(rf"^model\.({'|'.join(OPTIMIZERS)})\.", "model.*_optimizer.", key)
            yield re.sub(rf"^model\.\w+\.({'|'.join(SHARED)})$", r"model.*.\1", key), value


def expected() -> dict[str, str]:
    """Key -> default, or that it depends on the option of a group."""
    found: dict[str, set[str]] = {}
    every = [*settings(CONFIG_PATH / "train.yaml", "")]
    every += settings(CONFIG_PATH / "trainer/default.yaml", "trainer")
    every += (s for s in settings(CONFIG_PATH / "evaluate.yaml", "") if "evaluation." in s[0])
    every += model_settings()
    for path in (CONFIG_PATH / "data").glob("*.yaml"):
        every += settings(path, "data")
    for key, value in every:
        found.setdefault(key, set()).add(value)
    return {key: describe(key, values) for key, values in found.items()}


def describe(key: str, values: set[str]) -> str:
    *_, group, _ = ["", *key.split(".")]
    if key.startswith("model.") and group not in ("model", "loss", "penalty", "augment"):
        return "by recipe"  # networks and optimizers
    if len(values) > 1:
        return "by recipe" if key.startswith("model.") else "by data set"
    value = values.pop()
    return "required" if value == "???" else f"`{value}`"


def test_the_page_has_every_setting_once_with_its_default() -> None:
    rows = sorted((key, default or "by recipe") for key, default in ROW.findall(PAGE))
    assert rows == sorted(expected().items())
