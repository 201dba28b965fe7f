"""Imports point one way, and nothing heavy is imported before it is needed."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import facegan

PACKAGE = Path(facegan.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
HYDRA = {
    "config.py",
    "training.py",
    "evaluating.py",
    "train.py",
    "prepare.py",
    "sample.py",
    "evaluate.py",
}
LIGHTNING = {"budget.py", "gan.py", "callbacks.py", "curves.py", "training.py", "attributes.py"}
# what a person reads to learn about GANs knows nothing of how they are trained
CORE = (
    "networks/",
    "losses.py",
    "penalties.py",
    "optimizers.py",
    "images.py",
    "sampling.py",
    "pretrained.py",
)
ABOVE = ("gan", "budget", "callbacks", "curves", "training", "config", "data", "evaluation")


def imported(node: ast.AST) -> Iterator[str]:
    """Every module named by an import under `node`, but for type checkers alone."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


IMPORTS = {name: set(imported(ast.parse(path.read_text()))) for name, path in FILES.items()}


def users(*packages: str) -> set[str]:
    """The files that import one of `packages`."""
    return {
        name for name, found in IMPORTS.items() if {m.split(".")[0] for m in found} & {*packages}
    }


def test_hydra_stays_in_the_config_and_the_verbs() -> None:
    assert users("hydra", "omegaconf") <= HYDRA


def test_lightning_stays_where_training_is() -> None:
    assert users("pytorch_lightning", "lightning") <= {*LIGHTNING, "data/datamodule.py"}


def test_the_core_knows_nothing_above_it() -> None:
    above = tuple(f"facegan.{name}." for name in ABOVE)
    found = {n: {m for m in IMPORTS[n] if m.startswith(above)} for n in FILES if n.startswith(CORE)}
    assert not {name: modules for name, modules in found.items() if modules}


def test_no_module_imports_itself_through_others() -> None:
    modules = {name: "facegan." + name[:-3].replace("/", ".") + "." for name in FILES}
    graph = {
        name: {other for other, module in modules.items() if f"{found}.".startswith(module)}
        for name, imports in IMPORTS.items()
        for found in imports
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_importing_a_verb_imports_neither_torch_nor_lightning() -> None:
    heavy = "{'torch', 'torchvision', 'pytorch_lightning', 'lightning', 'PIL'} & sys.modules.keys()"
    code = f"import sys, facegan.train, facegan.sample, facegan.prepare; print({heavy} or 'none')"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (told.stdout.strip(), told.stderr) == ("none", "")
