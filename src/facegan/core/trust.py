"""What a file may name: a run folder or a weights file cannot choose what code runs.

A config that the user composes on the command line may name any class. The config.yaml of a run
folder and the config inside a safetensors file came with a file. Only classes of this package,
torch's optimizers, the classes in KNOWN and those that the user trusts are built from them.
"""

import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from facegan.core.errors import FaceganError

# modules whose own classes a file may name
OWN = re.compile(r"torch\.optim|facegan\.(gan|networks|data|evaluation\.features)(\..+)?")
KNOWN = (  # those of conf/trainer, conf/logger, conf/callbacks and conf/experiment
    "facegan.training.evaluation.EarlyStopping",
    "facegan.training.metrics.RunCSV",
    "facegan.training.metrics.RunTensorBoard",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.ModelSummary",
    "pytorch_lightning.loggers.MLFlowLogger",
    "pytorch_lightning.loggers.WandbLogger",
    "pytorch_lightning.profilers.SimpleProfiler",
)
# arguments of Lightning's loggers and profilers: paths to which they write
WRITTEN = ("dir", "dirpath", "filename", "log_dir", "root_dir", "save_dir")
INTERPOLATION = re.compile(r"(?<!\\)(?:\\\\)*\$\{")  # a ${ that is not escaped
_trusted: list[str] = []  # modules that the user named on this command line


def trust(modules: Any) -> None:
    """Trusts exactly these modules of the user's and their submodules: a name, or a list.

    Raises FaceganError for what is not the name of a module.
    """
    several = isinstance(modules, Sequence) and not isinstance(modules, str)
    names = list(modules) if several else [] if modules is None else [modules]
    for name in names:
        if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name)):
            raise FaceganError(
                f"trust={name} is not a module's name; give one such as mypackage.networks"
            )
    _trusted[:] = names


def is_trusted(target: str) -> bool:
    """Whether the class `target` is in a module that the user trusts."""
    return any(target.startswith(f"{module}.") for module in _trusted)


def check_stored(values: Any, source: Path) -> None:
    """Raises FaceganError for what the file `source` with the nested dicts and lists `values` may
    not name: other classes, the environment by an interpolation, addresses of weights, and paths
    outside of its folder to which a logger or a profiler writes.
    """
    folder = source.parent.resolve()
    for key, value in _items(values):
        if key == "_target_" and not (is_trusted(str(value)) or _is_known(str(value))):
            raise refusal(source, value)
        if key == "weights" and str(value).startswith(("http:", "https:", "hf:")):
            raise FaceganError(f"{source}: {value} is not requested because a file names it")
        if key in WRITTEN and not (folder / str(value or "")).resolve().is_relative_to(folder):
            raise FaceganError(
                f"{source}: {key}={value} is outside of the run folder, and nothing is written "
                "there because a file names it: remove that line, or start a new run"
            )
        if isinstance(value, str) and INTERPOLATION.search(value):
            raise FaceganError(
                f"{source}: {value} is an interpolation, which no run stores: restore the file, "
                "or start a new run"
            )


def refusal(source: Path, target: object) -> FaceganError:
    """The error for a file that names a class it may not name."""
    module = str(target).rpartition(".")[0] or "MODULE"
    return FaceganError(
        f"{source} names {target!r}, which is not run because a file names it; if the file is your "
        f"own, or you trust that module, add trust={module}"
    )


def _items(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every key and value in nested dicts and lists."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in pairs:
        yield key, value
        if isinstance(value, dict | list):
            yield from _items(value)


def _is_known(target: str) -> bool:
    """Whether `target` is in KNOWN, or a class that a module of OWN defines, not merely imports."""
    module, _, name = target.rpartition(".")
    if target in KNOWN or not OWN.fullmatch(module):
        return target in KNOWN
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__.startswith(module)
