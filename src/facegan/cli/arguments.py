"""Arguments that are taken literally from the shell: paths, weights, lists of seeds.

Hydra parses the value of `key=value` by a grammar of its own, in which spaces, commas, brackets,
quotes and `=` mean something. For the keys in LITERAL_KEYS the value is quoted first.
"""

import os
import re
from enum import Enum, auto
from pathlib import Path
from urllib.parse import quote, unquote

from facegan.core.errors import FaceganError
from facegan.core.paths import BUNDLED


class ArgumentKind(Enum):
    """What a literal argument is, which decides how it is made absolute."""

    PATH = auto()
    FOLDER = auto()  # that a command writes its results to
    WEIGHTS = auto()  # the name of bundled weights, a path, or a link
    FILE_OR_TEXT = auto()  # a path where there is such a file
    TEXT = auto()
    HYDRA = auto()  # Hydra's own folders: ${now:…} keeps its meaning


LITERAL_KEYS = {
    "data.root": ArgumentKind.PATH,
    "data.packed_dir": ArgumentKind.PATH,
    "data.labels": ArgumentKind.FILE_OR_TEXT,
    "data.weights": ArgumentKind.WEIGHTS,
    "data.name": ArgumentKind.TEXT,
    "weights": ArgumentKind.WEIGHTS,
    "init": ArgumentKind.WEIGHTS,
    "images": ArgumentKind.PATH,
    "resume": ArgumentKind.PATH,
    "out": ArgumentKind.FOLDER,
    "evaluation.inception_weights": ArgumentKind.PATH,
    "runs": ArgumentKind.TEXT,
    "seeds": ArgumentKind.TEXT,
    "interpolate": ArgumentKind.TEXT,
    "attributes": ArgumentKind.TEXT,
    "edit": ArgumentKind.TEXT,
    "sweep": ArgumentKind.TEXT,
    "hydra.run.dir": ArgumentKind.HYDRA,
    "hydra.sweep.dir": ArgumentKind.HYDRA,
}
ENCODED = "%%"  # begins a value that is percent-encoded
MAX_FOLDER_NAME = 100  # characters
HELP = (
    "{keys} and hydra.run.dir are taken literally: spaces, commas, brackets, quotes, = and # need "
    "no escape for Hydra, only the shell's quotes. ~ and relative paths are those of the shell. A "
    "sweep (-m) over such a key lists its values in brackets: '{example}=[a,b]'; a value that "
    "holds a comma stands in quotes there."
)


def quote_literals(arguments: list[str]) -> list[str]:
    """`arguments` with the values of literal keys quoted for Hydra's grammar."""
    sweep = not {"-m", "--multirun"}.isdisjoint(arguments)
    return [_quote_argument(argument, sweep) for argument in arguments]


def absolute(value: str, kind: ArgumentKind) -> str:
    """The absolute path that `value` means, or `value` itself where it means no path.

    `value` may come from a sweep, which encodes it.
    """
    value = decode(value)
    if kind is ArgumentKind.TEXT:
        return value
    path = os.path.abspath(Path(value).expanduser())  # not resolve(), which follows outputs/latest
    if kind is ArgumentKind.WEIGHTS and (_is_bundled(value) or not os.path.exists(path)):
        return value
    if kind is ArgumentKind.FILE_OR_TEXT and not os.path.isfile(path):
        return value
    return path


def escape(text: str) -> str:
    """`text` as OmegaConf must hold it, so that ${ in it is no interpolation."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def has_interpolation(text: str) -> bool:
    """Whether OmegaConf would replace a part of `text`: a ${ that is not escaped."""
    return re.search(r"(?<!\\)(?:\\\\)*\$\{", text) is not None


def _is_bundled(name: str) -> bool:
    return (BUNDLED / f"{name}.safetensors").is_file()


def _quote_argument(argument: str, sweep: bool) -> str:
    key, equals, value = argument.partition("=")
    kind = LITERAL_KEYS.get(key.lstrip("+"))
    # what has quotes already was written for Hydra, such as the arguments of Lightning's processes
    if kind is None or not equals or value == "null" or _has_quotes(value):
        return argument
    if not value:
        raise FaceganError(f"{key}= has no value; give one, or leave {key} out")
    if sweep and value.startswith("[") and value.endswith("]"):
        return f"{key}={','.join(map(_encode, split_list(value[1:-1])))}"
    return f"{key}={_quote(value, kind)}"


def _has_quotes(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def _quote(value: str, kind: ArgumentKind) -> str:
    value = os.path.expanduser(value) if kind is ArgumentKind.HYDRA else escape(value)
    # in Hydra's quotes, a backslash is escaped only before a quote
    quoted = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{quoted}'"


def _encode(value: str) -> str:
    """`value` in characters that need no quotes, which Hydra removes from the values of a sweep."""
    encoded = quote(value, safe="/+", errors="surrogateescape").replace("~", "%7E")
    return f"{ENCODED}{encoded}"


def decode(value: str) -> str:
    """The value that `_encode` has encoded; any other as it is."""
    if not value.startswith(ENCODED):
        return value
    return unquote(value.removeprefix(ENCODED), errors="surrogateescape")


def sweep_folder(number: int, overrides: str) -> str:
    """The folder of a sweep's run: "0-model=lite,seed=1", of characters that every disk takes."""
    names = [_short(item) for item in overrides.split(",") if item]
    name = re.sub(r"[^\w.=,+-]+", "-", ",".join(names))
    return f"{number}-{name}"[:MAX_FOLDER_NAME].rstrip("-.,")


def _short(item: str) -> str:
    """`key=value` of Hydra's overrides, with the last part of a path alone."""
    key, equals, value = item.partition("=")
    return f"{key}{equals}{os.path.basename(decode(value).rstrip('/'))}"


def split_list(text: str) -> list[str]:
    """The values of a list, at the commas outside of quotes."""
    parts = re.findall(r"""\s*("[^"]*"|'[^']*'|[^,]+)\s*(?:,|$)""", text)
    return [part[1:-1] if _has_quotes(part) else part.strip() for part in parts]
