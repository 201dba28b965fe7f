"""The command line: from arguments to a validated config, from exceptions to messages."""

import errno
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from facegan.cli.arguments import LITERAL_KEYS, ArgumentKind, quote_literals
from facegan.cli.config import first_line, resolve_paths, unknown_key, validate
from facegan.cli.help import help_text
from facegan.core.console import (
    BROKEN_PIPE,
    flush_output,
    is_output_error,
    never_fail_to_print,
    print_error,
    print_in_signal_handler,
)
from facegan.core.errors import FaceganError, is_out_of_memory, out_of_memory
from facegan.core.paths import CONFIG_PATH
from facegan.core.signals import heeded_signals
from facegan.core.trust import trust

REMEDIES = {
    errno.EROFS: "choose another folder by hydra.run.dir=… for a training, data.packed_dir=… for "
    "its data, or out=…; or remount the disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EDQUOT: "free some space: your quota is used up",
    errno.EIO: "the disk reports an error: check it, or use another one",
    errno.EFBIG: "the disk, or a limit (ulimit -f), does not allow larger files",
    errno.EMFILE: "close other programs, or raise the limit of open files (ulimit -n)",
    errno.EPIPE: "the program that reads it has ended",
}
WRONG_KINDS = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
USER_ERRORS = (FaceganError, HydraException, OmegaConfBaseException, OSError)


def command(
    name: str, schema: type, complete: Callable[[list[str]], list[str]] = list
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Makes `main(cfg)` a command: conf/<name>.yaml composed, and validated by `schema`.

    `complete` returns the arguments with those that follow from them.
    An error that the user can repair is printed as one message, with exit code 2; any other
    exception is a bug and shows its traceback.
    """

    return lambda main: _as_command(main, name, schema, complete)


def _as_command(
    main: Callable[[DictConfig], Any],
    name: str,
    schema: type,
    complete: Callable[[list[str]], list[str]],
) -> Callable[[], None]:
    exit_codes: list[int] = []  # of errors
    process: list[int] = []  # that the user started; a launcher runs the task in others

    @functools.wraps(main)
    def task(cfg: DictConfig) -> Any:
        try:
            return _run_in_folders(main, validate(cfg, schema))
        except USER_ERRORS as error:  # Hydra would add a line of its own
            if process != [os.getpid()]:  # Hydra carries it to that process
                raise FaceganError(format_error(error)) from None
            exit_codes.append(_report(name, error))
            return None
        finally:
            _remove_if_empty(Path(HydraConfig.get().runtime.output_dir))

    run = hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name=name)(task)

    def run_command() -> None:
        never_fail_to_print()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of Hydra's printer
        exit_codes.clear()
        process[:] = [os.getpid()]
        try:
            if {"--help", "-h"} & set(sys.argv[1:]):
                usage = sys.modules[main.__module__].__doc__ or ""
                print(help_text(name, usage, sys.argv[1:]))
            else:
                sys.argv[1:] = _with_sweep_names(quote_literals(complete(sys.argv[1:])))
                with ending_signals(name):
                    run()
            flush_output()
        except USER_ERRORS as error:
            exit_codes.append(_report(name, error))
        if exit_codes:
            sys.exit(exit_codes[0])

    return run_command


def _run_in_folders(main: Callable[[DictConfig], Any], cfg: DictConfig) -> Any:
    """Calls `main` with absolute paths; folders made for it are removed if they stay empty."""
    trust(cfg.get("trust"))
    resolve_paths(cfg)
    folders = _make_folders(cfg)
    try:
        return _run(main, cfg)
    finally:
        for folder in folders:
            _remove_if_empty(folder)


@contextmanager
def ending_signals(name: str) -> Iterator[None]:
    """Within the block, SIGINT, SIGTERM and SIGHUP raise SystemExit, so that temporary files go.

    A KeyboardInterrupt would not do: Lightning ends with exit code 1 by it.
    """

    def end(signum: int, frame: Any) -> None:
        print_in_signal_handler(f"facegan.{name}: ended by {signal.Signals(signum).name}")
        raise SystemExit(128 + signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, end) for signum in heeded_signals()}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _run(main: Callable[[DictConfig], Any], cfg: DictConfig) -> Any:
    """`main(cfg)`, where memory that runs out is an error of the user's."""
    try:
        return main(cfg)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(error) from error


def _report(name: str, error: Exception) -> int:
    """Prints `error`; returns the exit code. `… | head` ends a command without a message."""
    code = 2
    if isinstance(error, OSError) and is_output_error(error):
        error.filename = "the output"
        if isinstance(error, BrokenPipeError):
            code = BROKEN_PIPE
            if not hasattr(error, "__notes__"):
                return code
    print_error(f"facegan.{name}: {format_error(error)}")
    return code


def format_error(error: Exception) -> str:
    """One message for an error between the command line and the end of the command."""
    return "; ".join([_format_error(error), *getattr(error, "__notes__", [])])


def _format_error(error: Exception) -> str:
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
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    if error.errno == errno.ENOSPC:
        return f"the disk is full ({path or 'while writing'}): free some space"
    if path is not None and error.errno in WRONG_KINDS:
        return _format_wrong_kind(path, error)
    remedy = REMEDIES.get(error.errno or 0)
    if path is None:
        if remedy is None:
            raise error
        return f"{error.strerror}; {remedy}"
    remedy = remedy or "give a path that exists and that you may use"
    return f"{path}: {error.strerror}; {remedy}"


def _format_wrong_kind(path: Path, error: OSError) -> str:
    """The message where a file stands in the place of a folder, or a folder in that of a file."""
    if error.errno == errno.EISDIR:
        return f"{path} is a folder, and a file is needed; move it away, or give another path"
    for part in (path, *path.parents):
        where = "" if part == path else f"{path} cannot be made: "
        if part.is_symlink() and not part.exists():
            target = os.readlink(part)
            return f"{where}{part} is a link to {target}, which does not exist; give another path"
        if part.exists() and not part.is_dir():
            return (
                f"{where}{part} is a file, and a folder is needed; give another path, or move the "
                "file away"
            )
    return f"{path}: {error.strerror}; give another path"


def _with_sweep_names(arguments: list[str]) -> list[str]:
    """`arguments`, and which of a sweep's keys its folders are not named by: those of one value."""
    if {"-m", "--multirun"}.isdisjoint(arguments):
        return arguments
    words = [argument for argument in arguments if not argument.startswith("-")]
    overrides = OverridesParser.create().parse_overrides(words)
    fixed = [override.key_or_group for override in overrides if not override.is_sweep_override()]
    names = ",".join(f"'{name}'" for name in fixed)
    return [*arguments, f"hydra.job.config.override_dirname.exclude_keys=[{names}]"]


def _make_folders(cfg: DictConfig) -> list[Path]:
    """Makes the folders that the command will write to, before its work is done."""
    keys = [key for key, kind in LITERAL_KEYS.items() if kind is ArgumentKind.FOLDER]
    folders = [Path(cfg[key]) for key in keys if cfg.get(key) is not None]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def _remove_if_empty(folder: Path) -> None:
    """Removes a folder that was made for the command, if the command failed before it wrote."""
    if folder.is_dir() and not any(folder.iterdir()) and folder != Path.cwd():
        with suppress(OSError):  # the disk has become read-only, as the command's own error says
            folder.rmdir()
