"""The command line: from arguments to a validated config, from exceptions to messages."""

import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from facegan.config import CONFIG_PATH, first_line, unknown_key, validate
from facegan.errors import FaceganError

USER_ERRORS = (FaceganError, HydraException, OmegaConfBaseException, OSError)


def command(
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
                main(validate(cfg, schema))
            except (
                USER_ERRORS
            ) as error:  # Hydra adds a line of its own to what leaves this function
                failures.append(error)
                _print_error(name, error)
            finally:
                _remove_if_empty(Path(HydraConfig.get().runtime.output_dir))

        run = hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name=name)(task)

        def run_command() -> None:
            if {"--help", "-h"} & set(sys.argv[1:]):
                print(help_text(name, sys.modules[main.__module__].__doc__ or ""))
                return
            sys.argv[1:] = [_quoted(argument, texts) for argument in sys.argv[1:]]
            os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of Hydra's printer
            failures.clear()
            try:
                run()
            except USER_ERRORS as error:
                failures.append(error)
                _print_error(name, error)
            except KeyboardInterrupt:
                print(f"facegan.{name}: interrupted", file=sys.stderr)
                sys.exit(130)
            if failures:
                sys.exit(2)

        return run_command

    return decorate


def _print_error(name: str, error: Exception) -> None:
    print(f"facegan.{name}: {format_error(error)}", file=sys.stderr)


def help_text(name: str, usage: str) -> str:
    """What `--help` prints: the verb's docstring, the groups with their options, the keys.

    Hydra's own help composes the config first, which takes longer than importing it.
    """
    groups = {
        str(folder.relative_to(CONFIG_PATH)): sorted(
            file.stem for file in folder.glob("[!_]*.yaml")
        )
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


def format_error(error: Exception) -> str:
    """One message for whatever went wrong on the way from the command line to the verb."""
    if isinstance(error, FaceganError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return _format_os_error(error)
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} has no default and must be set"
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        return unknown_key(cause.full_key, list(map(str, cause.parent_node or ())))
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {first_line(cause)}"
    return str(error)


def _format_os_error(error: OSError) -> str:
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


def _remove_if_empty(folder: Path) -> None:
    """Takes back the run folder that Hydra made, if the verb failed before it wrote anything."""
    if folder.is_dir() and not any(folder.iterdir()) and folder != Path.cwd():
        folder.rmdir()
