"""What `--help` prints, read from the YAML files, whose comments explain the keys."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from facegan.core.paths import CONFIG_PATH

LITERAL = """\
Paths, weights and lists (data.root, weights, seeds, …) are taken literally: spaces, commas,
brackets, quotes, = and # need no escape for Hydra, only the shell's quotes. A sweep (-m) over such
a key lists its values in brackets: 'data.root=[a,b]'; quote a value with a comma there."""
ALL_KEYS = "`python -m facegan.{name} --cfg job` prints all keys, also those of the groups."
OPTION_HINT = "\n`python -m facegan.{name} data=folder --help` explains those of data=folder."


def help_text(name: str, usage: str, arguments: Sequence[str] = ()) -> str:
    """What `--help` prints: the command's docstring, the groups with their options, the keys.

    `arguments` such as data=folder add the keys of these options. Hydra's own help composes the
    config first, which takes longer than importing it.
    """
    text = (CONFIG_PATH / f"{name}.yaml").read_text(encoding="utf-8")
    keys = re.split(r"^hydra:", text.split("\n\n", 2)[2], maxsplit=1, flags=re.M)[0].strip()
    sections = [
        usage.strip(),
        _group_help(text),
        f"Keys and their defaults (conf/{name}.yaml):\n\n{keys}" if keys else "",
        *_option_help(arguments),
        LITERAL,
        (ALL_KEYS + (OPTION_HINT if "- data:" in text else "")).format(name=name),
    ]
    return "\n\n".join(section for section in sections if section)


def _group_help(text: str) -> str:
    """The config groups that a command's YAML uses, with their options."""
    options: dict[str, list[str]] = {}
    for file in sorted(CONFIG_PATH.rglob("*/[!_]*.yaml")):
        group = file.parent.relative_to(CONFIG_PATH)
        if "@package _global_" in file.read_text(encoding="utf-8"):
            group = Path(group.parts[0])  # experiment=debug/profile
        option = file.relative_to(CONFIG_PATH / group).with_suffix("")
        options.setdefault(group.as_posix(), []).append(option.as_posix())
    used = {name: options[name] for name in sorted(options) if f"- {name.split('/')[0]}:" in text}
    width = max(map(len, used), default=0)
    lines = [f"  {name:{width}} = {', '.join(files)}" for name, files in used.items()]
    return "\n".join(["Groups and their options:", *lines]) if used else ""


def _option_help(arguments: Sequence[str]) -> Iterator[str]:
    """The keys of the chosen options of config groups, such as data=folder."""
    for argument in arguments:
        group, _, option = argument.partition("=")
        file = CONFIG_PATH / group / f"{option}.yaml"
        if option and "." not in group and file.is_file():
            text = file.read_text(encoding="utf-8").strip()
            node = group.replace("/", ".")
            yield f"Keys of {argument} ({node}.…):\n\n{text}"
