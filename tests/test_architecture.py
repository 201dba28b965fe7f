"""Imports run downwards only, and heavy packages are imported where they are used.

Every check is a function from a map of modules to violations, so that it can also be run on a
map with a planted violation.
"""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import facegan

PACKAGE = Path(facegan.__file__).parent
Imports = dict[str, set[str]]  # module -> the modules it imports

# from the top floor down; a module imports from its own floor and from those below
FLOORS = [
    ["train", "prepare", "sample", "evaluate", "compare", "export", "app", "__main__"],
    ["training", "web"],
    ["comparison"],
    ["gan", "evaluation", "deployment"],
    ["data"],
    ["networks"],
    ["pretrained", "sampling", "images"],
    [
        "cli",
        "config",
        "arguments",
        "errors",
        "limits",
        "_console",
        "_files",
        "_help",
        "_signals",
        "_paths",
        "trust",
        "_seeds",
        "_size_rules",
    ],
]
FLOOR = {f"facegan.{room}": level for level, rooms in enumerate(FLOORS) for room in rooms}
HYDRA = (
    "facegan.cli",
    "facegan.config",
    "facegan.training.build",
    "facegan.training.run",
    "facegan.training.start",
    "facegan.evaluation.run",
    *(f"facegan.{room}" for room in FLOORS[0]),
)
LIGHTNING = ("facegan.gan.module", "facegan.training", "facegan.data.datamodule")
ROOMS = (
    "gan",
    "networks",
    "data",
    "training",
    "evaluation",
    "comparison",
    "web",
    "sampling",
    "deployment",
)


def source_files() -> dict[str, str]:
    """The source text of every module, by the module's name."""
    return {module_name(path): path.read_text() for path in PACKAGE.rglob("*.py")}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.AST) -> Iterator[str]:
    """Every name that an import statement under `node` may load; type checkers' alone are not."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports are not used"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield str(node.module)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


def imports_of(files: dict[str, str]) -> Imports:
    """What each module imports: modules of the package exactly, others by their top package."""
    return {name: targets(name, text) for name, text in files.items()}


def targets(name: str, text: str) -> set[str]:
    found = {resolve(raw) for raw in imported(ast.parse(text))}
    # "from facegan import gan" also loads the package itself, which imports nothing
    return found - {"facegan", name}


def resolve(raw: str) -> str:
    if not raw.startswith("facegan"):
        return raw.split(".")[0]
    while raw not in FILES:
        raw = raw.rpartition(".")[0]
    return raw


FILES = source_files()
IMPORTS = imports_of(FILES)


def floor(module: str) -> int:
    return FLOOR[".".join(module.split(".")[:2])]


def upward_imports(imports: Imports) -> list[str]:
    return [
        f"{module} -> {target}"
        for module, found in imports.items()
        for target in found
        if module != "facegan" and target.startswith("facegan.") and floor(target) < floor(module)
    ]


def crossings(imports: Imports) -> list[str]:
    """The method knows neither the evaluation nor the other way round."""
    pairs = [("facegan.gan", "facegan.evaluation"), ("facegan.evaluation", "facegan.gan")]
    return [
        f"{module} -> {target}"
        for module, found in imports.items()
        for target in found
        for upper, lower in pairs
        if module.startswith(upper) and target.startswith(lower)
    ]


def package_users(imports: Imports) -> list[str]:
    """Names that a subpackage exports are imported from their own modules within the package.

    Otherwise a module's dependencies would not show in its import statements.
    """
    rooms = {f"facegan.{room}" for room in ROOMS}
    return [
        f"{module} -> {target}" for module, found in imports.items() for target in found & rooms
    ]


def cycles(imports: Imports) -> list[str]:
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def users(imports: Imports, packages: set[str], allowed: tuple[str, ...]) -> list[str]:
    """The modules outside of `allowed` that import one of `packages`."""
    return [
        module
        for module, found in imports.items()
        if found & packages and not any(module == a or module.startswith(f"{a}.") for a in allowed)
    ]


def hydra_users(imports: Imports) -> list[str]:
    return users(imports, {"hydra", "omegaconf"}, HYDRA)


def lightning_users(imports: Imports) -> list[str]:
    return users(imports, {"pytorch_lightning", "lightning"}, LIGHTNING)


CHECKS = [upward_imports, crossings, package_users, cycles, hydra_users, lightning_users]


def planted(module: str, statement: str) -> Imports:
    """The imports of the package with one more statement in `module`."""
    return {**IMPORTS, module: targets(module, f"{FILES[module]}\n{statement}\n")}


@pytest.mark.parametrize("check", CHECKS)
def test_the_package_passes(check) -> None:
    assert check(IMPORTS) == []


def test_every_module_has_a_floor() -> None:
    assert {floor(module) for module in FILES if module != "facegan"} == {*range(8)}


def downward_edges() -> list[tuple[str, str]]:
    return [
        (module, target)
        for module, found in IMPORTS.items()
        for target in sorted(found)
        if module != "facegan" and target.startswith("facegan.")
    ]


def test_a_planted_cycle_is_caught_at_every_edge() -> None:
    edges = downward_edges()
    assert len(edges) > 100
    for module, target in edges:
        for statement in (f"import {module}", f"def f():\n    from {module} import x"):
            assert cycles(planted(target, statement)), (module, target)


@pytest.mark.parametrize("room", ROOMS)
def test_planted_violations_are_caught_in_every_room(room: str) -> None:
    names = [name for name in FILES if name.startswith(f"facegan.{room}")]
    free_of_hydra = [name for name in names if name not in HYDRA]
    for name in names:
        for statement in ("from facegan import train", "import facegan.train"):
            assert upward_imports(planted(name, statement)), name
    for name in free_of_hydra:
        assert hydra_users(planted(name, "from omegaconf import OmegaConf")), name
        assert hydra_users(planted(name, "def f():\n    import hydra")), name


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("facegan.gan.losses", "from facegan.training import run"),
        ("facegan.gan.losses", "from facegan.evaluation.metrics import Measure"),
        ("facegan.data.generated", "from facegan import evaluation"),
        ("facegan.networks.base", "from facegan import gan"),
        ("facegan.evaluation.features", "import facegan.gan.losses"),
    ],
)
def test_planted_imports_between_rooms_are_caught(module: str, statement: str) -> None:
    imports = planted(module, statement)
    assert upward_imports(imports) + crossings(imports)


@pytest.mark.parametrize(
    "module", ["facegan.gan.losses", "facegan.networks.base", "facegan.images"]
)
def test_a_planted_lightning_import_is_caught(module: str) -> None:
    assert lightning_users(planted(module, "import pytorch_lightning as pl")) == [module]


def test_importing_a_command_imports_neither_torch_nor_lightning() -> None:
    heavy = "{'torch', 'torchvision', 'pytorch_lightning', 'lightning', 'PIL'} & sys.modules.keys()"
    code = f"import sys, facegan.train, facegan.sample, facegan.compare; print({heavy} or 'none')"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert (result.stdout.strip(), result.stderr) == ("none", "")


def test_a_planted_import_of_an_exported_name_is_caught() -> None:
    assert package_users(planted("facegan.gan.ema", "from facegan.networks import Generator"))
