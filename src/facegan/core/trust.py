"""Which classes a file may name: a run folder or a weights file cannot choose what code runs.

A config that the user composes on the command line may name any class. The config.yaml of a run
folder and the config inside a safetensors file came with a file. From these only classes of this
package, torch's optimizers and the classes in KNOWN are built, and what the user trusts by name.
"""

import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from facegan.core.errors import FaceganError

OWN = ("gan", "networks", "data", "evaluation.features")
KNOWN = (  # those of conf/trainer, conf/logger, conf/callbacks and conf/experiment
    "facegan.training.evaluation.EarlyStopping",
    "facegan.training.metrics.RunTensorBoard",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.ModelSummary",
    "pytorch_lightning.loggers.CSVLogger",
    "pytorch_lightning.loggers.MLFlowLogger",
    "pytorch_lightning.loggers.WandbLogger",
    "pytorch_lightning.profilers.SimpleProfiler",
)
_trusted: list[str] = []  # modules that the user has typed on this command line


def trust(modules: Any) -> None:
    """Trusts exactly these modules of the user's and what lies below them: a name, or a list.

    Raises FaceganError for what is no module's name.
    """
    several = isinstance(modules, Sequence) and not isinstance(modules, str)
    names = list(modules) if several else [] if modules is None else [modules]
    for name in names:
        text = isinstance(name, str)
        if not (text and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name)):
            raise FaceganError(
                f"trust={name} is no module's name; give one such as mypackage.networks"
            )
    _trusted[:] = names


def is_trusted(target: str) -> bool:
    """Whether the class `target` lies in a module that the user trusts."""
    return any(target.startswith(f"{module}.") for module in _trusted)


def check_targets(node: Any, source: Path) -> None:
    """Raises FaceganError if the nested dicts and lists of `node`, which `source` holds, name a
    class that a file may not name.
    """
    for target in _targets(node):
        if not (isinstance(target, str) and (is_trusted(target) or _is_known(target))):
            raise refusal(source, target)


def refusal(source: Path, target: object) -> FaceganError:
    """The error for a file that names a class it may not name."""
    module = str(target).rpartition(".")[0] or "MODULE"
    return FaceganError(
        f"{source} names {target!r}, which is not run because a file names it; if the file is your "
        f"own, or you know what that module does, add trust={module}"
    )


def _targets(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for child in node.values():
            yield from _targets(child)
    if isinstance(node, list):
        for child in node:
            yield from _targets(child)


def _is_known(target: str) -> bool:
    module, _, name = target.rpartition(".")
    if target in KNOWN:
        return True
    if module == "torch.optim":
        return _is_class(module, name, "torch.optim")
    own = any(f"{module}.".startswith(f"facegan.{part}.") for part in OWN)
    return own and _is_class(module, name, module)


def _is_class(module: str, name: str, defined_in: str) -> bool:
    """Whether `module` has a class `name` of its own, not one that it merely imports."""
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__.startswith(defined_in)
