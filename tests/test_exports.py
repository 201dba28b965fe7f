"""The public names of the subpackages, which are imported when they are used."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = ("data", "deployment", "evaluation", "gan", "networks", "sampling", "training")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_can_be_imported(name: str) -> None:
    package = importlib.import_module(f"facegan.{name}")
    assert package.__all__
    assert set(package.__all__) <= set(dir(package))
    for public in package.__all__:
        getattr(package, public)


def test_importing_the_subpackages_imports_nothing_heavy() -> None:
    imports = ", ".join(f"facegan.{name}" for name in PACKAGES)
    heavy = "{'torch', 'torchvision', 'pytorch_lightning', 'PIL', 'numpy'} & sys.modules.keys()"
    code = f"import sys, {imports}; print({heavy} or 'none')"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "none"


def test_packing_workers_import_neither_torch_nor_lightning() -> None:
    code = (
        "import sys, facegan.data.pack, facegan.data.photos;"
        "print({'torch', 'pytorch_lightning'} & sys.modules.keys() or 'none')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "none"
