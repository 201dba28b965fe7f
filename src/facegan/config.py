"""Hydra, and nothing but Hydra: the config path, the verbs' wrapper, `build`, `ConfigError`."""

import dataclasses
import difflib
import errno
import functools
import inspect
import os
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    UnsupportedValueType,
)

from facegan.errors import FaceganError

_PACKAGE = Path(__file__).resolve().parent
# a wheel carries conf/ inside the package; a checkout has it at the top
CONFIG_PATH = next(p for p in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if p.is_dir())


_MENDABLE = (FaceganError, HydraException, OmegaConfBaseException, OSError)


class ConfigError(FaceganError):
    """A config that cannot be built: the message names the key, the value, the rule, the remedy."""


def verb(
    name: str, schema: type, texts: tuple[str, ...] = ()
) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Makes `main(cfg)` a command: conf/<name>.yaml composed, typed by `schema`, errors in words.

    `texts` are keys whose commas belong to the value, where Hydra would see a sweep.

    What the user can mend is printed as one message, with exit code 2; any other exception is a
    bug and shows its traceback.
    """

    def decorate(main: Callable[[DictConfig], None]) -> Callable[[], None]:
        failures: list[Exception] = []

        @functools.wraps(main)
        def task(cfg: DictConfig) -> None:
            try:
                main(typed(cfg, schema))
            except _MENDABLE as error:  # Hydra adds a line of its own to what leaves this function
                failures.append(error)
                _tell(name, error)
            finally:
                _remove_if_empty(Path(HydraConfig.get().runtime.output_dir))

        run = hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name=name)(task)

        def command() -> None:
            if {"--help", "-h"} & set(sys.argv[1:]):
                print(help_text(name, sys.modules[main.__module__].__doc__ or ""))
                return
            sys.argv[1:] = [_quoted(argument, texts) for argument in sys.argv[1:]]
            os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of Hydra's printer
            failures.clear()
            try:
                run()
            except _MENDABLE as error:
                failures.append(error)
                _tell(name, error)
            except KeyboardInterrupt:
                print(f"facegan.{name}: interrupted", file=sys.stderr)
                sys.exit(130)
            if failures:
                sys.exit(2)

        return command

    return decorate


def _tell(name: str, error: Exception) -> None:
    print(f"facegan.{name}: {_in_words(error)}", file=sys.stderr)


def help_text(name: str, usage: str) -> str:
    """What `--help` prints: the verb's docstring, the groups with their options, the keys.

    Hydra's own help composes the config first, which takes longer than importing it.
    """
    groups = {
        str(folder.relative_to(CONFIG_PATH)): sorted(file.stem for file in folder.glob("*.yaml"))
        for folder in sorted(CONFIG_PATH.rglob("*"))
        if folder.is_dir()
    }
    text = (CONFIG_PATH / f"{name}.yaml").read_text(encoding="utf-8")
    used = {
        group: options for group, options in groups.items() if f"{group.split('/')[0]}:" in text
    }
    width = max(map(len, used), default=0)
    lines = [f"  {group:{width}} = {', '.join(options)}" for group, options in used.items()]
    keys = text.split("\n\n", 1)[1].rstrip()
    return "\n".join(
        [
            usage.strip(),
            "\nGroups and their options:",
            *lines,
            f"\nKeys and their defaults (conf/{name}.yaml):\n",
            keys,
            f"\n`python -m facegan.{name} --cfg job` prints all keys with the groups' own.",
        ]
    )


def typed(cfg: DictConfig, schema: type) -> DictConfig:
    """`cfg` with the types of the dataclass `schema`: an ill-typed value raises, with its key."""
    return typing.cast(DictConfig, OmegaConf.merge(OmegaConf.structured(schema), cfg))


def build(node: DictConfig, kind: str, **extra: Any) -> Any:
    """Builds the object that `node` describes by its `_target_`, and whatever is nested in it.

    `kind` is the key that the user knows it by. Every argument is checked against the signature of
    its target first. `extra` arguments are objects that no YAML can hold. Raises ConfigError.
    """
    for key, part in _targets(node, kind):
        _check_arguments(key, part, extra if part is node else {})
    try:
        return hydra.utils.instantiate(node, _convert_="all", **extra)
    except HydraException as error:
        cause = error.__cause__
        if isinstance(cause, FaceganError):
            raise cause from None
        if isinstance(cause, ValueError | TypeError):
            raise ConfigError(f"{kind}: {cause}") from error
        raise


def _targets(node: Any, key: str) -> Iterator[tuple[str, DictConfig]]:
    """Every node with a `_target_` in `node`, itself included, with its full key."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield key, node
        for name in node:
            yield from _targets(node[name], f"{key}.{name!s}")


def _check_arguments(key: str, node: DictConfig, extra: dict[str, Any]) -> None:
    target = hydra.utils.get_object(node._target_)
    call = target.__init__ if inspect.isclass(target) else target
    hints = typing.get_type_hints(call)
    parameters = inspect.signature(target).parameters
    given = {name: node[name] for name in map(str, node) if not name.startswith("_")}
    for name, value in given.items():
        if name not in parameters:
            raise ConfigError(_unknown_key(f"{key}.{name}", list(parameters)))
        _check_type(f"{key}.{name}", value, hints.get(name, Any))
    for name, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if required and name not in {*given, *extra} and not node.get("_partial_"):
            raise ConfigError(f"{key}.{name} has no default and must be set")


def _check_type(key: str, value: Any, hint: Any) -> None:
    """Lets OmegaConf say whether `value` may stand where `hint` is asked for, as in a schema."""
    try:
        schema = OmegaConf.structured(dataclasses.make_dataclass("Argument", [("value", hint)]))
    except (UnsupportedValueType, OmegaConfBaseException):
        return  # the hint is a class of ours, and the value a node, which build() checks itself
    try:
        schema.value = value
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}={value}: {_first_line(error)}") from error


def _in_words(error: Exception) -> str:
    """One message for whatever went wrong on the way from the command line to the verb."""
    if isinstance(error, FaceganError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return _os_error_in_words(error)
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} has no default and must be set"
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        return _unknown_key(cause.full_key, list(map(str, cause.parent_node or ())))
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {_first_line(cause)}"
    return str(error)


def _os_error_in_words(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"the disk is full ({error.filename or 'while writing'}): free some space; a training "
            "goes on from its last checkpoint with resume=RUN_FOLDER"
        )
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
        return f"{error.filename}: {error.strerror}; choose a folder that you may write to"
    raise error


def _quoted(argument: str, texts: tuple[str, ...]) -> str:
    key, _, value = argument.partition("=")
    return f"{key}='{value}'" if key in texts and value[:1] not in ("'", '"', "") else argument


def _unknown_key(full_key: str, known: list[str]) -> str:
    *_, name = full_key.split(".")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(sorted(known))}"
    return f"{full_key} is no key of this config; {hint}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _remove_if_empty(folder: Path) -> None:
    """Takes back the run folder that Hydra made, if the verb failed before it wrote anything."""
    if folder.is_dir() and not any(folder.iterdir()) and folder != Path.cwd():
        folder.rmdir()
