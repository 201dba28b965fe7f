"""The commands in the documents: where they stand, and whether what they name exists.

`check` raises for a command that cannot work: an unknown command, key, value, target, file or
extra. Nothing is run: Hydra composes the config, and the command's types and ranges validate it.
"""

import importlib
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import hydra
from conftest import REPOSITORY
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from facegan.cli.arguments import LITERAL_KEYS, quote_literals
from facegan.cli.config import validate
from facegan.core.paths import CONFIG_PATH

SHELL = ("", "bash", "console", "sh")  # languages of fenced blocks that hold commands
OTHER_PROGRAMS = {"source", "eval", "pre-commit"}  # of which nothing is checked
PLACEHOLDERS = ("…", "<", "COMMAND")  # a word with one of them stands for something else
ENVIRONMENT = re.compile(r"[A-Z_]+=\S*")
OPTIONS = {"--help", "--version", "-sc"}  # of `facegan` without a command


class DocumentedError(Exception):
    """A command in a document that cannot work."""


def documented_commands(text: str) -> list[str]:
    """The commands of a document, each on one line: fenced blocks, then inline code."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)
    shell = [block for language, block in blocks if language in SHELL]
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    known = (*CHECKS, "facegan")
    inline = [span for span in spans if span.split(" ")[0].split(".")[0] in known and " " in span]
    written = [line for line in lines if line.strip() and not line.startswith("#")]
    return list(dict.fromkeys(written + inline))


def documented_settings(text: str) -> list[str]:
    """Inline code that is nothing but `key=value`, of one key or several."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    setting = re.compile(r"(?:'?\+?[a-z][\w./]*=[^\s=(][^\s(]*(?: |$))+")
    return [span for span in dict.fromkeys(spans) if setting.fullmatch(span)]


def created_options(text: str) -> set[str]:
    """The overrides that choose a config which the document itself creates."""
    files = re.findall(r"^Create `conf/(\S+)/(\w+)\.yaml`", text, re.M)
    return {f"{group}={option}" for group, option in files}


def check(line: str, created: set[str]) -> None:
    """Raises where `line` cannot work; `created` are overrides of configs that do not exist yet."""
    words = shlex.split(line.split(" | ")[0], comments=True)
    while words and ENVIRONMENT.fullmatch(words[0]):
        words = words[1:]
    if not words or words[0] in OTHER_PROGRAMS:
        return
    program, arguments = words[0], [word for word in words[1:] if word not in created]
    if program.startswith("facegan."):
        check_facegan([program.removeprefix("facegan."), *arguments])
    elif program in CHECKS:
        CHECKS[program](arguments)
    else:
        raise DocumentedError(
            f"{program} is no program that the tests know; if it is no command, "
            "name the block's language: ```text"
        )


def check_facegan(words: list[str]) -> None:
    name, arguments = words[0], words[1:]
    if name in OPTIONS or _is_placeholder(name):
        return
    if not (CONFIG_PATH / f"{name}.yaml").is_file():
        raise DocumentedError(f"facegan has no command {name}")
    compose_all(name, arguments)


def check_python(words: list[str]) -> None:
    if words[0] == "-m" and words[1].startswith("facegan."):
        check_facegan([words[1].removeprefix("facegan."), *words[2:]])
    elif words[:2] == ["-m", "pytest"]:
        check_pytest(words[2:])
    elif words[0] == "-m":
        if importlib.util.find_spec(words[1]) is None:
            raise DocumentedError(f"there is no module {words[1]}")
    elif not (REPOSITORY / words[0]).is_file():
        raise DocumentedError(f"{words[0]} does not exist")


def check_launcher(words: list[str]) -> None:
    """torchrun and srun, whose own options are not checked."""
    check_python(words[words.index("-m") :])


def check_make(words: list[str]) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
    unknown = [word for word in words if "=" not in word and word not in targets]
    if unknown:
        raise DocumentedError(f"the Makefile has no target {unknown[0]}")


def check_pytest(words: list[str]) -> None:
    files = [REPOSITORY / word for word in words if word.endswith(".py")]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise DocumentedError(f"{missing[0]} does not exist")
    text = "\n".join(
        file.read_text("utf-8") for file in files or REPOSITORY.glob("tests/test_*.py")
    )
    if "-k" in words and not re.search(rf"def test_\w*{words[words.index('-k') + 1]}", text):
        raise DocumentedError(f"no test is called {words[words.index('-k') + 1]}")


def check_pip(words: list[str]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    named = [extra for word in words for extra in re.findall(r"\[(.*)\]", word)]
    for extra in ",".join(named).split(",") if named else ():
        if extra not in project["optional-dependencies"]:
            raise DocumentedError(f"pyproject.toml has no extra {extra}")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "facegan": check_facegan,
    "make": check_make,
    "pip": check_pip,
    "pytest": check_pytest,
    "python": check_python,
    "srun": check_launcher,
    "torchrun": check_launcher,
}


def compose_all(name: str, arguments: list[str]) -> None:
    """Composes and validates the config of a command, for every value of a sweep."""
    arguments = [word for word in arguments if "=" not in word or not _is_placeholder(word)]
    overrides = [word for word in quote_literals(arguments) if "=" in word]
    for choice in _sweep(overrides):
        compose(name, tuple(choice))


@cache
def compose(name: str, overrides: tuple[str, ...]) -> DictConfig:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        cfg = hydra.compose(name, list(overrides))
    return validate(cfg, schema(importlib.import_module(f"facegan.{name}")))


def schema(command: ModuleType) -> type:
    """The dataclass of a command's config."""
    return getattr(command, f"{command.__name__.rpartition('.')[2].capitalize()}Config")


def _sweep(overrides: list[str]) -> Iterator[list[str]]:
    """The overrides with the first value of every sweep, then with each of the other values."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    values = []
    for text, override in zip(overrides, parsed, strict=True):
        key = override.get_key_element()
        if override.is_interval_sweep():
            values.append([f"{key}={override.value().start}"])  # type: ignore[union-attr]
        elif override.is_sweep_override():
            values.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            values.append([text])
    first = [choices[0] for choices in values]
    yield first
    for place, choices in enumerate(values):
        for other in choices[1:]:
            yield [*first[:place], other, *first[place + 1 :]]


def _is_placeholder(word: str) -> bool:
    if word.partition("=")[0] in LITERAL_KEYS:  # any text is a path
        return False
    return any(placeholder in word for placeholder in PLACEHOLDERS)


def documents() -> list[Path]:
    """README, docs/ and the model cards, but not the history in CHANGELOG.md and recipes.md."""
    patterns = ("*.md", "docs/*.md", "src/facegan/weights/*.md")
    found = sorted(path for pattern in patterns for path in REPOSITORY.glob(pattern))
    return [path for path in found if path.name != "CHANGELOG.md"]
