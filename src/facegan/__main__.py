"""`facegan COMMAND …` is `python -m facegan.COMMAND …`."""

import ast
import difflib
import importlib
import os
import sys
from importlib.metadata import version

from facegan.core.console import (
    BROKEN_PIPE,
    flush_output,
    is_output_error,
    never_fail_to_print,
    print_error,
)
from facegan.core.paths import CONFIG_PATH, PACKAGE

COMPLETION = ("-sc", "--shell-completion")  # Hydra's


def main() -> None:
    never_fail_to_print()
    try:
        _main()
        flush_output()
    except OSError as error:
        if not is_output_error(error):
            raise
        if isinstance(error, BrokenPipeError):  # facegan --help | head
            sys.exit(BROKEN_PIPE)
        print_error(f"facegan: the output: {error.strerror}")
        sys.exit(2)


def _main() -> None:
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
        print(f"facegan: {_unknown(name)}", file=sys.stderr)
        sys.exit(2)


def commands() -> list[str]:
    """Every module of the package that has a config beside it."""
    names = sorted(path.stem for path in CONFIG_PATH.glob("*.yaml"))
    return [name for name in names if (PACKAGE / f"{name}.py").is_file()]


def run(name: str, arguments: list[str]) -> None:
    sys.argv[1:] = arguments
    importlib.import_module(f"facegan.{name}").main()


def help_text() -> str:
    """The commands, each with the first line of its docstring."""
    width = max(map(len, commands()))
    lines = [f"  {name:{width}}  {_summary(name)}" for name in commands()]
    return "\n".join(
        [
            "facegan COMMAND [KEY=VALUE …]      the same as python -m facegan.COMMAND\n",
            *lines,
            "\nfacegan COMMAND --help lists a command's keys. facegan --version: the version.",
        ]
    )


def _summary(name: str) -> str:
    source = (PACKAGE / f"{name}.py").read_text(encoding="utf-8")  # not imported, which takes long
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, commands(), n=1)
    hint = f"did you mean {close[0]}?" if close else f"commands: {', '.join(commands())}"
    return f"{name} is no command; {hint}"


def _complete(arguments: list[str]) -> None:
    """Hydra's shell completion: of the command's name here, of its arguments by the command."""
    program, *words = os.environ.get("COMP_LINE", "").split(" ")
    if len(words) > 1 and words[0] in commands():
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
        run(words[0], [COMPLETION[0], *arguments])
    elif any(argument.startswith("query=") for argument in arguments):
        print(" ".join(commands()))
    else:
        run("train", [COMPLETION[0], *arguments])  # the script is the same for each


if __name__ == "__main__":
    main()
