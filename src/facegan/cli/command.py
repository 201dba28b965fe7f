"""The command line: from arguments to a validated config, from exceptions to messages."""

import functools
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from facegan.cli.arguments import LITERAL_KEYS, ArgumentKind, is_sweep, quote_literals
from facegan.cli.config import ConfigError, resolve_paths, unknown_key, validate
from facegan.cli.help import help_text
from facegan.core.console import (
    keep_printing,
    print_error,
    print_in_signal_handler,
    signals_handled_by,
)
from facegan.core.errors import FaceganError, out_of_memory
from facegan.core.paths import CONFIG_PATH
from facegan.core.trust import trust

USER_ERRORS = (FaceganError, HydraException, OmegaConfBaseException, OSError)
Main = Callable[[DictConfig], Any]
Complete = Callable[[list[str]], list[str]]


def command(
    name: str, schema: type, complete: Complete = list
) -> Callable[[Main], Callable[[], None]]:
    """Makes `main(cfg)` a command: conf/<name>.yaml composed, and validated by `schema`.

    `complete` adds arguments that follow from the given ones. An error that the user can correct
    is printed as one message, with exit code 2; any other exception is a bug and shows its
    traceback.
    """
    return lambda main: _as_command(main, name, schema, complete)


def _as_command(main: Main, name: str, schema: type, complete: Complete) -> Callable[[], None]:
    process = os.getpid()  # that the user started; a launcher runs the task in others
    errors: list[Exception] = []

    def report(error: Exception) -> None:
        print_error(f"facegan.{name}: {format_error(error)}")
        errors.append(error)

    @functools.wraps(main)
    def task(cfg: DictConfig) -> Any:
        try:
            return _run(main, cfg, schema)
        except USER_ERRORS as error:
            # Hydra carries the error to the user's process, or to Optuna, whose trial has failed
            if os.getpid() != process or (isinstance(error, ConfigError) and needs_results()):
                raise FaceganError(format_error(error)) from None
            return report(error)  # Hydra would print a second line, and end a sweep

    run = hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name=name)(task)

    def run_command() -> None:
        keep_printing()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of Hydra's printer
        errors.clear()
        try:
            if {"--help", "-h"} & set(sys.argv[1:]):
                usage = sys.modules[main.__module__].__doc__ or ""
                print(help_text(name, usage, sys.argv[1:]))
            else:
                check_dots(sys.argv[1:])
                sys.argv[1:] = _with_sweep_names(quote_literals(complete(sys.argv[1:])))
                with ending_signals(name):
                    run()
            print(end="", flush=True)  # an error of the last output is raised here
        except USER_ERRORS as error:
            report(error)
        if errors:
            sys.exit(2)

    return run_command


def needs_results() -> bool:
    """Whether this is a run of a sweep whose next runs depend on its result, as Optuna's do."""
    cfg = HydraConfig.get()
    return cfg.mode == RunMode.MULTIRUN and not cfg.sweeper._target_.endswith(".BasicSweeper")


def _run(main: Main, cfg: DictConfig, schema: type) -> Any:
    """Calls `main` with a validated config; removes the command's folders if they stay empty."""
    folders = [Path(HydraConfig.get().runtime.output_dir)]
    os.chdir(HydraConfig.get().runtime.cwd)  # paths are those of the user's shell
    try:
        cfg = validate(cfg, schema)
        trust(cfg.get("trust"))
        resolve_paths(cfg)
        for key, kind in LITERAL_KEYS.items():
            if kind is ArgumentKind.FOLDER and cfg.get(key) is not None:
                folders.append(Path(cfg[key]))
                folders[-1].mkdir(parents=True, exist_ok=True)  # fails before the work is done
        return main(cfg)
    except (MemoryError, RuntimeError) as error:
        if (refusal := out_of_memory(error)) is None:
            raise
        raise refusal from error
    finally:
        for folder in folders:
            if folder.is_dir() and not any(folder.iterdir()) and folder != Path.cwd():
                folder.rmdir()


def ending_signals(name: str) -> AbstractContextManager[None]:
    """Within the block, SIGINT, SIGTERM and SIGHUP raise SystemExit, which removes temporary files.

    Lightning ends with exit code 1 on a KeyboardInterrupt.
    """

    def end(signum: int, frame: Any) -> None:
        print_in_signal_handler(f"facegan.{name}: ended by {signal.Signals(signum).name}")
        raise SystemExit(128 + signum)

    return signals_handled_by(end)


def format_error(error: Exception) -> str:
    """One message for an error between the command line and the end of the command."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} must be set: {cause.full_key}=…"
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} cannot be read as KEY=VALUE; put quotes around a value with spaces "
            "or other special characters"
        )
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        return unknown_key(cause.full_key, list(map(str, cause.parent_node or ())))
    if isinstance(cause, OmegaConfBaseException):
        message = str(cause).partition("\n")[0]
        return f"{cause.full_key}: {message}" if cause.full_key else message
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def check_dots(arguments: list[str]) -> None:
    """Raises ConfigError for the name of a component after a dot, which sets a value."""
    for key, _, value in (argument.partition("=") for argument in arguments):
        group = key.replace(".", "/")
        if "." in key and (CONFIG_PATH / group / f"{value.split(',')[0]}.yaml").is_file():
            raise ConfigError(f"{key}={value} sets a value; a slash chooses one: {group}={value}")


def _with_sweep_names(arguments: list[str]) -> list[str]:
    """`arguments`; in a sweep, with the keys of one value, which do not name its folders."""
    if not is_sweep(arguments):
        return arguments
    # the others are options and their values, such as --config-dir DIR
    texts = [text for text in arguments if re.match(r"[^-].*=|~", text)]
    overrides = OverridesParser.create().parse_overrides(texts)
    fixed = [override.key_or_group for override in overrides if not override.is_sweep_override()]
    names = ",".join(f"'{name}'" for name in fixed)
    return [*arguments, f"hydra.job.config.override_dirname.exclude_keys=[{names}]"]
