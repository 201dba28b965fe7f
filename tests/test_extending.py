"""The examples of docs/extending.md, applied to a copy of the package."""

import json
import re
import shutil
from pathlib import Path
from textwrap import indent

import pytest
from conftest import REPOSITORY, python

TEXT = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
METRICS_FILE = "src/facegan/evaluation/metrics.py"

pytestmark = pytest.mark.slow


def block(introduction: str) -> str:
    """The code block that follows the line `introduction`."""
    match = re.search(rf"^{re.escape(introduction)}\n\n```\w*\n(.*?)^```", TEXT, re.M | re.S)
    assert match, introduction
    return match[1]


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A copy of src/ and conf/ with all examples in it."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("src", "conf"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=ignored)
    networks = [f"conf/model/{kind}/mlp.yaml" for kind in ("generator", "discriminator")]
    for name in ("src/facegan/networks/mlp.py", *networks):
        assert not (REPOSITORY / name).exists(), "the example must add a file"
        write(tmp_path / name, block(f"Create `{name}`:"))
    function = block(f"Insert before `METRICS` in `{METRICS_FILE}`:")
    code = block("Add to the tuple `METRICS`, as its first entry:")
    entry = indent(f"{code.rstrip()},\n", " " * 4)
    metrics = (tmp_path / METRICS_FILE).read_text(encoding="utf-8")
    assert metrics.count("\nMETRICS = (\n") == 1
    start = f"\n{function}\n\nMETRICS = (\n{entry}"
    write(tmp_path / METRICS_FILE, metrics.replace("\nMETRICS = (\n", start))
    return tmp_path


def run(folder: Path, command: str, *arguments: str) -> str:
    words = ("-m", f"facegan.{command}", *arguments)
    done = python(folder, *words, PYTHONPATH=str(folder / "src"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_train_and_are_evaluated(extended: Path) -> None:
    run(
        extended,
        "train",
        *("model=lite", "model/generator=mlp", "model/discriminator=mlp"),
        *("data=generated", "data.count=1000"),
        *("trainer.accelerator=cpu", "trainer.max_epochs=1", "hydra.run.dir=run"),
    )
    curve = (extended / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert any(json.loads(line).get("variance_ratio", 0) > 0 for line in curve)
    table = run(extended, "evaluate", "weights=run", "evaluation.faces=100")
    assert "variance ratio" in table
    assert "variance ratio" in (extended / "run/evaluation.html").read_text(encoding="utf-8")


def test_parts_outside_of_the_package_train_and_are_evaluated(extended: Path) -> None:
    (extended / "conf-of-mine/model/loss").mkdir(parents=True)
    for name in ("my_parts.py", "conf-of-mine/model/loss/margin_hinge.yaml"):
        write(extended / name, block(f"Create `{name}`:"))
    data = ("data=generated", "data.count=1000", "trainer.accelerator=cpu")
    tiny = ("++trainer.limit_train_batches=1", "trainer.max_epochs=1", "evaluate_every=0")
    for line in block("Use it, alone, then in a sweep:").splitlines():
        _, _, module, *arguments = line.split()
        more = () if "resume" in line else ("evaluation.faces=50",)
        more = (*data, *tiny) if "--config-dir" in line else more
        run(extended, module.removeprefix("facegan."), *arguments, *more)
    assert len(list(extended.glob("outputs/**/evaluation.json"))) == 1


def test_the_examples_are_formatted(extended: Path) -> None:
    shutil.copy(REPOSITORY / "pyproject.toml", extended)
    names = (METRICS_FILE, "src/facegan/networks/mlp.py", "my_parts.py")
    files = [extended / name for name in names]
    write(files[-1], block("Create `my_parts.py`:"))
    for check in (["check"], ["format", "--check"]):
        done = python(extended, "-m", "ruff", *check, *map(str, files))
        assert done.returncode == 0, done.stdout
