"""Finds the commands and settings in the documents, and checks that what they name exists.

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

from conftest import REPOSITORY, compose_config
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from facegan import quickstart
from facegan.cli.arguments import LITERAL_KEYS, quote_literals
from facegan.cli.config import validate
from facegan.core.errors import FaceganError
from facegan.core.paths import CONFIG_PATH

COMMANDS = sorted((path.stem for path in CONFIG_PATH.glob("*.yaml")), reverse=True)  # train first
SHELL = ("", "bash", "console", "sh")  # languages of fenced blocks that contain commands
OTHER_PROGRAMS = {"source", "eval", "pre-commit", "exiftool"}  # whose arguments are not checked
PLACEHOLDERS = ("…", "<", "COMMAND")  # a word with one of them stands for something else
SETTING = re.compile(r"(?:'?\+?[a-z][\w./]*=[^\s=(][^\s(]*(?: |$))+")
OPTIONS = {"--help", "--version", "-sc"}  # of `facegan` without a command
FOLDER = ("data=folder", "data.root=photos")


class DocumentedError(Exception):
    """A command in a document that cannot work."""


ERRORS = (DocumentedError, FaceganError, HydraException, OmegaConfBaseException)


def documents() -> list[Path]:
    """README, docs/ and the model cards, but not the history in CHANGELOG.md."""
    patterns = ("*.md", "docs/*.md", "src/facegan/weights/*.md")
    found = sorted(path for pattern in patterns for path in REPOSITORY.glob(pattern))
    return [path for path in found if path.name != "CHANGELOG.md"]


def documented_commands(text: str) -> list[str]:
    """The commands of a document, each on one line: fenced blocks, then inline code."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)
    shell = [block for language, block in blocks if language in SHELL]
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
    written = [line for line in lines if line.strip() and not line.startswith("#")]
    inline = [span for span in _spans(text) if re.split(r"[ .]", span)[0] in CHECKS and " " in span]
    return written + inline


def documented_settings(text: str) -> list[str]:
    """Inline code that is nothing but `key=value`, of one key or several."""
    return [span for span in _spans(text) if SETTING.fullmatch(span)]


def _spans(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def created_options(text: str) -> set[str]:
    """The overrides that choose a config which the document itself creates."""
    files = re.findall(r"^Create `conf[\w-]*/(\S+)/(\w+)\.yaml`", text, re.M)
    return {f"{group}={option}" for group, option in files}


def check(line: str, created: set[str]) -> None:
    """Raises if `line` cannot work; `created` are overrides of configs that do not exist yet."""
    words = shlex.split(line.split(" | ")[0], comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if not words or words[0] in OTHER_PROGRAMS:
        return
    program, _, command = words[0].partition(".")  # facegan.train
    if program not in CHECKS:
        raise DocumentedError(f"unknown program {program}; is the block's language ```text?")
    CHECKS[program]([word for word in [command, *words[1:]] if word and word not in created])


def check_facegan(words: list[str]) -> None:
    name, *arguments = words
    if name in COMMANDS:
        compose_all(name, arguments)
    elif name not in OPTIONS and not _is_placeholder(name):
        raise DocumentedError(f"facegan has no command {name}")


def check_python(words: list[str]) -> None:
    """Of torchrun and srun, whose options are not checked, too."""
    words = words[words.index("-m") :] if "-m" in words else words
    if words[:2] == ["-m", "pytest"]:
        check_pytest(words[2:])
    elif words[0] != "-m":
        _check_file(words[0])
    elif words[1].startswith("facegan."):
        check_facegan([words[1].removeprefix("facegan."), *words[2:]])
    elif importlib.util.find_spec(words[1]) is None:
        raise DocumentedError(f"there is no module {words[1]}")


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.M)
    for word in words:
        if "=" not in word and word not in targets:
            raise DocumentedError(f"the Makefile has no target {word}")


def check_pytest(words: list[str]) -> None:
    files = [_check_file(word) for word in words if word.endswith(".py")]
    sources = files or REPOSITORY.glob("tests/test_*.py")
    text = "\n".join(file.read_text("utf-8") for file in sources)
    if "-k" in words and not re.search(rf"def test_\w*{words[words.index('-k') + 1]}", text):
        raise DocumentedError(f"no test is called {words[words.index('-k') + 1]}")


def check_pip(words: list[str]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    for extra in re.findall(r"[\w-]+(?=[\w,-]*\])", " ".join(words)):
        if extra not in project["optional-dependencies"]:
            raise DocumentedError(f"pyproject.toml has no extra {extra}")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "facegan": check_facegan,
    "make": check_make,
    "pip": check_pip,
    "pytest": check_pytest,
    **dict.fromkeys(("python", "srun", "torchrun"), check_python),
}


def _check_file(name: str) -> Path:
    if not (REPOSITORY / name).is_file():
        raise DocumentedError(f"{name} does not exist")
    return REPOSITORY / name


def is_setting(text: str) -> bool:
    """Whether a command has the keys of `text` and accepts their values.

    `trainer.` may be left out, and keys of photographs may need `data=folder`.
    """
    words = text.replace("'", "").split()
    names = commands_by_key().get(re.split(r"[./@=]", words[0].lstrip("+"))[0], [])
    if not names:
        names, words = ["train"], [f"trainer.{word}" for word in words]
    return any(_composes(name, [*more, *words]) for more in ((), FOLDER) for name in names)


@cache
def commands_by_key() -> dict[str, list[str]]:
    """The commands that have each key or config group."""
    found: dict[str, list[str]] = {"hydra": ["train"]}
    for name in COMMANDS:
        config = OmegaConf.load(CONFIG_PATH / f"{name}.yaml")
        groups = {key for entry in config.defaults if entry != "_self_" for key in entry}
        for key in {*config, *groups} - {"hydra", "defaults"}:
            found.setdefault(str(key), []).append(name)
    return found


def _composes(name: str, words: list[str]) -> bool:
    try:
        compose_all(name, words)
    except ERRORS:
        return False
    return True


def compose_all(name: str, arguments: list[str]) -> None:
    """Composes and validates the config of a command, for every value of a sweep."""
    arguments = [word for word in arguments if "=" not in word or not _is_placeholder(word)]
    if name == "quickstart":  # the keys of facegan.train come after it, too
        own = [word for word in arguments if word.partition("=")[0] in quickstart.OWN]
        compose_all("train", [*FOLDER, *(word for word in arguments if word not in own)])
        arguments = own
    overrides = [word for word in quote_literals(arguments) if "=" in word]
    for choice in _sweep(overrides):
        compose(name, tuple(choice))


@cache
def compose(name: str, overrides: tuple[str, ...]) -> None:
    command = importlib.import_module(f"facegan.{name}")
    validate(compose_config(name, *overrides), getattr(command, f"{name.capitalize()}Config"))


def _sweep(overrides: list[str]) -> Iterator[list[str]]:
    """Overrides without sweeps that together have every value of every sweep."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    values = [_values(*pair) for pair in zip(overrides, parsed, strict=True)]
    for place in range(max(map(len, values), default=1)):
        yield [choices[min(place, len(choices) - 1)] for choices in values]


def _values(text: str, override: Override) -> list[str]:
    key = override.get_key_element()
    if override.is_interval_sweep():
        return [f"{key}={override.value().start}"]  # type: ignore[union-attr]
    if override.is_sweep_override():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [text]


def _is_placeholder(word: str) -> bool:
    if word.partition("=")[0] in LITERAL_KEYS:  # any text is a path
        return False
    return any(placeholder in word for placeholder in PLACEHOLDERS)
