"""Arguments that are taken literally from the shell: paths, weights, lists of seeds.

Hydra parses the value of `key=value` by its own grammar, in which spaces, commas, brackets, quotes
and `=` have a meaning. The values of the keys in LITERAL_KEYS are quoted first.
"""

import os
import re
from enum import Enum, auto
from pathlib import Path

from facegan.core.errors import FaceganError
from facegan.core.paths import BUNDLED


class ArgumentKind(Enum):
    """The kind of a literal argument, which decides how it becomes absolute."""

    PATH = auto()
    FOLDER = auto()  # to which a command writes its results
    WEIGHTS = auto()  # a bundled name, a path, or a URL
    FILE_OR_TEXT = auto()  # a path if such a file exists
    TEXT = auto()
    HYDRA = auto()  # Hydra's own folders: ${now:…} keeps its meaning


_KEYS = {
    ArgumentKind.PATH: "data.root data.packed_dir photos images image latent resume replay "
    "evaluation.inception_weights",
    ArgumentKind.FOLDER: "out",
    ArgumentKind.WEIGHTS: "weights init data.weights",
    ArgumentKind.FILE_OR_TEXT: "data.labels",
    ArgumentKind.TEXT: "data.name data.background name title runs baseline seeds exclude "
    "interpolate attributes edit sweep",
    ArgumentKind.HYDRA: "hydra.run.dir hydra.sweep.dir",
}
LITERAL_KEYS = {key: kind for kind, keys in _KEYS.items() for key in keys.split()}
MAX_FOLDER_NAME = 100  # characters


def is_sweep(arguments: list[str]) -> bool:
    """Whether the arguments start one run for each combination of values."""
    return not {"-m", "--multirun"}.isdisjoint(arguments)


def quote_literals(arguments: list[str]) -> list[str]:
    """`arguments` with the values of literal keys quoted for Hydra's grammar.

    In a sweep, a value in brackets lists the values: data.root=[a,b].
    """
    return [_quote_argument(argument, is_sweep(arguments)) for argument in arguments]


def absolute(value: str, kind: ArgumentKind) -> str:
    """The absolute path for `value`, or `value` itself if it is not a path."""
    path = os.path.abspath(Path(value).expanduser())  # not resolve(), which follows outputs/latest
    is_path = {
        ArgumentKind.TEXT: False,
        ArgumentKind.WEIGHTS: os.path.exists(path)
        and not (BUNDLED / f"{value}.safetensors").is_file(),
        ArgumentKind.FILE_OR_TEXT: os.path.isfile(path),
    }
    return path if is_path.get(kind, True) else value


def escape(text: str) -> str:
    """`text` with every ${ escaped, so that OmegaConf does not interpolate it."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def split_list(text: str) -> list[str]:
    """The values of a list, split at the commas outside of quotes."""
    parts = re.findall(r"""\s*("[^"]*"|'[^']*'|[^,]+)\s*(?:,|$)""", text)
    return [part[1:-1] if _has_quotes(part) else part.strip() for part in parts]


def sweep_folder(number: int, overrides: str) -> str:
    """The folder name of a sweep's run, in characters that every disk takes: 0-model=lite,seed=1.

    Of a path, the last part is used.
    """
    items = [item.partition("=") for item in re.sub("['\"]", "", overrides).split(",")]
    names = [f"{key}{equals}{os.path.basename(value.rstrip('/'))}" for key, equals, value in items]
    name = re.sub(r"[^\w.=,+-]+", "-", ",".join(names))
    return f"{number}-{name}"[:MAX_FOLDER_NAME].rstrip("-.,")


def _quote_argument(argument: str, sweep: bool) -> str:
    key, equals, value = argument.partition("=")
    kind = LITERAL_KEYS.get(key.lstrip("+"))
    # Lightning starts the other processes of a training with arguments that are quoted already
    if kind is None or not equals or value == "null" or _has_quotes(value):
        return argument
    if not value:
        raise FaceganError(f"{key}= has no value; give one, or leave {key} out")
    listed = sweep and value.startswith("[") and value.endswith("]")
    values = split_list(value[1:-1]) if listed else [value]
    return f"{key}={','.join(quote(value, kind) for value in values)}"


def _has_quotes(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def quote(value: str, kind: ArgumentKind) -> str:
    value = os.path.expanduser(value) if kind is ArgumentKind.HYDRA else escape(value)
    # in Hydra's quotes, a backslash is escaped only before a quote
    quoted = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{quoted}'"
