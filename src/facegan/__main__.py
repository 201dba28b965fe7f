"""`facegan COMMAND …` is `python -m facegan.COMMAND …`."""

import ast
import difflib
import importlib
import os
import sys
from importlib.metadata import version

from facegan.core.console import keep_printing, print_error
from facegan.core.paths import CONFIG_PATH, PACKAGE

COMPLETION = ("-sc", "--shell-completion")  # Hydra's
HELP = """\
facegan COMMAND [KEY=VALUE …]      the same as python -m facegan.COMMAND

{commands}

facegan COMMAND --help lists a command's keys. facegan --version: the version."""


def main() -> None:
    keep_printing()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in COMPLETION:
        _complete(arguments)
    elif name in ("--help", "-h"):
        print(help_text())
    elif name in ("--version", "-V"):
        print(f"facegan {version('facegan')}")
    elif name in commands():
        run(name, arguments)
    else:
        close = difflib.get_close_matches(name, commands(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"commands: {', '.join(commands())}"
        print_error(f"facegan: {name} is not a command; {hint}")
        sys.exit(2)


def commands() -> list[str]:
    """Every module of the package that has a config."""
    names = sorted(path.stem for path in CONFIG_PATH.glob("*.yaml"))
    return [name for name in names if (PACKAGE / f"{name}.py").is_file()]


def run(name: str, arguments: list[str]) -> None:
    sys.argv[1:] = arguments
    importlib.import_module(f"facegan.{name}").main()


def help_text() -> str:
    """The commands, each with the first line of its docstring."""
    width = max(map(len, commands()))
    return HELP.format(commands="\n".join(f"  {n:{width}}  {_summary(n)}" for n in commands()))


def _summary(name: str) -> str:
    source = (PACKAGE / f"{name}.py").read_text(encoding="utf-8")  # an import takes long
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _complete(arguments: list[str]) -> None:
    """Completes the command's name, or lets the command's own completion by Hydra answer."""
    program, *words = os.environ.get("COMP_LINE", "").split(" ")
    if len(words) > 1 and words[0] in commands():
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
        run(words[0], [COMPLETION[0], *arguments])
    elif any(argument.startswith("query=") for argument in arguments):
        print(" ".join(commands()))
    else:
        run("train", [COMPLETION[0], *arguments])  # every command prints the same script


if __name__ == "__main__":
    main()
