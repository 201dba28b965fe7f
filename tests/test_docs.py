"""The documents: links and paths exist, the site builds, and the prose avoids odd turns."""

import re
from pathlib import Path

import pytest
from conftest import REPOSITORY, python
from documented import documents

from facegan.core.paths import CONFIG_PATH

CURRENT = documents()  # the others have commands and names of earlier code
DOCUMENTS = [*CURRENT, REPOSITORY / "CHANGELOG.md", *REPOSITORY.glob("benchmarks/*.md")]
SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))
LINK = re.compile(r"\]\(([^)\s#]+)[^)\s]*\)")
PATH = re.compile(r"`((?:src|tests|conf|benchmarks|docs|examples)/[a-z0-9_./-]+)`")
PROSE = re.compile(r'#[^\n]*|"""(?:.|\n)*?"""')  # of a Python file
ODD_TURNS = re.compile(
    r"\b(faces of nobody|anew|afresh|whereby|mend(ed|able)?|spoilt|judged?|ruler|verb|hears?)\b",
    re.I,
)
ODD_IN_DOCUMENTS = re.compile(
    r"\b(lies|holds?|goes on|beside|of its own|but for|by heart|told|knows|is no)\b"
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    targets = [target for target in LINK.findall(path.read_text("utf-8")) if "://" not in target]
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", CURRENT, ids=lambda path: path.name)
def test_paths_in_the_text_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    created = re.findall(r"^Create `(.+)`:$", text, re.M)
    named = {name for name in PATH.findall(text) if name not in created}
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []


@pytest.mark.parametrize("path", CURRENT, ids=lambda path: path.name)
def test_documents_avoid_odd_turns(path: Path) -> None:
    text = path.read_text("utf-8")
    assert [m[0] for turns in (ODD_TURNS, ODD_IN_DOCUMENTS) for m in turns.finditer(text)] == []


def test_docstrings_and_configs_avoid_odd_turns() -> None:
    prose = {path: "\n".join(PROSE.findall(path.read_text("utf-8"))) for path in SOURCES}
    prose |= {path: path.read_text("utf-8") for path in CONFIG_PATH.rglob("*.yaml")}
    assert [path.name for path, text in prose.items() if ODD_TURNS.search(text)] == []


def test_the_site_builds_and_only_planted_broken_links_fail_it(tmp_path: Path) -> None:
    for package in ("material", "mkdocstrings"):
        pytest.importorskip(package, reason="the extra docs is not installed")
    hooks = [str(REPOSITORY / "docs/site_links.py"), str(tmp_path / "plant.py")]
    (tmp_path / "plant.py").write_text(
        "def on_page_markdown(markdown, page, **_):\n"
        "    planted = '\\n\\n[a](nowhere.md) [b](gan.md#nothing)'\n"
        "    return markdown + planted * (page.url == 'index.html')\n"
    )
    (tmp_path / "mkdocs.yml").write_text(
        f"INHERIT: {REPOSITORY}/mkdocs.yml\ndocs_dir: {REPOSITORY}/docs\nhooks: {hooks}\n"
    )
    done = python(tmp_path, "-m", "mkdocs", "build", "--strict", NO_MKDOCS_2_WARNING="1")
    first, second = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert "'nowhere.md'" in first
    assert "'gan.md#nothing'" in second
    assert done.returncode == 1
    page = (tmp_path / "site/evaluation.html").read_text("utf-8")
    assert 'href="src/facegan/weights/attributes-28.html"' in page
    reference = (tmp_path / "site/python.html").read_text("utf-8")
    assert 'id="facegan.Generator.draw"' in reference
