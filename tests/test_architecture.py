"""Imports run downwards only, and heavy packages are imported at their first use.

Every check is a function from a map of modules to violations, so that it can also be run on a
map with a planted violation.
"""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import python

import facegan

PACKAGE = Path(facegan.__file__).parent
Imports = dict[str, set[str]]  # module -> the modules it imports

# from the top floor down; a room imports from its own modules and from lower floors only
FLOORS = [
    rooms.split()
    for rooms in (
        "app quickstart testing",
        "train prepare sample evaluate compare export verify project __main__",
        "web training comparison",
        "gan evaluation deployment",
        "data latent",
        "networks cli",
        "core",
    )
]
FLOOR = {f"facegan.{room}": level for level, rooms in enumerate(FLOORS) for room in rooms}
COMMANDS = tuple(f"facegan.{room}" for room in FLOORS[0] + FLOORS[1])
HYDRA = ("facegan.cli", "facegan.training.run", "facegan.evaluation.run", *COMMANDS)
LIGHTNING = ("facegan.gan.module", "facegan.training", "facegan.data.datamodule")
MAX_ARROWS = 70  # between rooms


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


def targets(name: str, text: str) -> set[str]:
    """What a module imports: modules of the package exactly, others by their top package."""
    found = {resolve(raw) for raw in imported(ast.parse(text))}
    return found - {"facegan", name}  # the package itself imports nothing


def resolve(raw: str) -> str:
    if not raw.startswith("facegan"):
        return raw.split(".")[0]
    while raw not in FILES:
        raw = raw.rpartition(".")[0]
    return raw


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


FILES = source_files()
IMPORTS = {name: targets(name, text) for name, text in FILES.items() if name != "facegan"}


def edges(imports: Imports) -> list[tuple[str, str]]:
    """Every import of a module of the package by another."""
    return [
        (module, target)
        for module, found in imports.items()
        for target in sorted(found)
        if target.startswith("facegan.")
    ]


def upward_imports(imports: Imports) -> list[str]:
    return [
        f"{module} -> {target}"
        for module, target in edges(imports)
        if room(module) != room(target) and FLOOR[room(target)] <= FLOOR[room(module)]
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


def planted(module: str, statement: str) -> Imports:
    """The imports of the package with one more statement in `module`."""
    return {**IMPORTS, module: targets(module, f"{FILES[module]}\n{statement}\n")}


@pytest.mark.parametrize("check", [upward_imports, cycles, hydra_users, lightning_users])
def test_the_package_passes(check) -> None:
    assert check(IMPORTS) == []


def test_every_module_has_a_floor() -> None:
    assert {FLOOR[room(module)] for module in IMPORTS} == {*range(len(FLOORS))}


def test_rooms_have_few_arrows() -> None:
    arrows = {(room(a), room(b)) for a, b in edges(IMPORTS)} - {(r, r) for r in FLOOR}
    assert len(arrows) <= MAX_ARROWS


@pytest.mark.parametrize(
    ("check", "module", "statement"),
    [
        (cycles, "networks.base", "def f():\n    from facegan.networks import dcgan"),
        (upward_imports, "core.errors", "def f():\n    from facegan import train"),
        (upward_imports, "gan.losses", "from facegan.evaluation import metrics"),  # a neighbour
        (hydra_users, "networks.base", "def f():\n    import hydra"),
        (lightning_users, "gan.losses", "import pytorch_lightning as pl"),
    ],
)
def test_a_planted_violation_is_caught(check, module: str, statement: str) -> None:
    assert check(planted(f"facegan.{module}", statement))


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("train, facegan.sample, facegan.compare", "torch torchvision pytorch_lightning PIL"),
        ("data.pack, facegan.data.photos", "torch pytorch_lightning"),  # by each packing worker
    ],
)
def test_importing_is_light(modules: str, heavy: str) -> None:
    code = f"import sys, facegan.{modules}; print({set(heavy.split())} & sys.modules.keys())"
    result = python(Path(), "-c", code)
    assert (result.stdout.strip(), result.stderr) == ("set()", "")


@pytest.mark.parametrize("name", facegan.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert name in dir(facegan)
    getattr(facegan, name)
