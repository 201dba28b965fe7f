"""The documents: links exist, and no former name is an identifier."""

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
from conftest import REPOSITORY

from facegan.core.paths import CONFIG_PATH

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "src/facegan/weights/*.md")
    for path in REPOSITORY.glob(pattern)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# recipes.md has commands of earlier commits, whose keys are not those of today
CURRENT = [path for path in DOCUMENTS if path.name not in ("recipes.md", "CHANGELOG.md")]

FORMER = (
    "update_average SettleNorms settle_norms OneVerdict verdict _verdict readout "
    "MinibatchDeviation minibatch_deviation heard pyramid halving_widths _kept_variance "
    "decay_to peak_rates QUINTIC LEAK stations leg spherical_walk Curves told say _tell tell "
    "Estimate HowToGoOn JsonLines WholeCheckpoints _quieten SET_HERE OWN_KEYS verb typed "
    "_in_words _MENDABLE replacing stream_seed Archive resident PACKING TOLERATED ruler "
    "spoilt overdone judge Suspects suspects copied originality LEAST_FACES MEANINGS "
    "portraits walk film averaged spent goal archives in_words dropped Batches"
)
FORMER_NAMES = set(FORMER.split())


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def links(text: str) -> list[str]:
    """The relative targets of Markdown links, without fragments."""
    targets = [target.split("#")[0] for target in LINK.findall(text)]
    return [target for target in targets if target and "://" not in target]


def identifiers(source: str) -> set[str]:
    """The names that a Python file defines or uses, other than attributes of other objects."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            continue
        values = [getattr(node, field, None) for field in ("id", "attr", "name", "arg", "asname")]
        found |= {value for value in values if isinstance(value, str)}
    return found


def yaml_keys(source: str) -> set[str]:
    return set(re.findall(r"^\s*([\w.]+):", source, re.M))


def code_words(document: str) -> set[str]:
    """The names in a document's code: `spans` and fenced blocks, without comments."""
    blocks = re.findall(r"```\w*\n(.*?)```", document, re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", document, flags=re.S))
    code = "\n".join([*(re.sub(r"#.*", "", block) for block in blocks), *spans])
    return set(re.findall(r"[A-Za-z_]\w*", code))


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", *patterns], cwd=REPOSITORY, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [REPOSITORY / name for name in listing.stdout.splitlines()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_links_lead_to_files(path: Path) -> None:
    missing = [target for target in links(path.read_text("utf-8")) if not exists(path, target)]
    assert missing == []


def exists(document: Path, target: str) -> bool:
    return (document.parent / target).exists()


@pytest.mark.parametrize("pattern", ["src/*.py", "tests/*.py", "benchmarks/*.py"])
def test_no_former_name_is_an_identifier(pattern: str) -> None:
    for path in tracked(pattern):
        found = identifiers(path.read_text("utf-8")) & FORMER_NAMES
        assert not found, f"{relative(path)}: {sorted(found)}"


def test_no_former_name_is_a_key() -> None:
    for path in tracked("conf/*.yaml"):
        found = yaml_keys(path.read_text("utf-8")) & FORMER_NAMES
        assert not found, f"{relative(path)}: {sorted(found)}"


@pytest.mark.parametrize("path", CURRENT, ids=relative)
def test_no_former_name_is_in_the_code_of_a_document(path: Path) -> None:
    assert code_words(path.read_text("utf-8")) & FORMER_NAMES == set()


def test_former_names_are_caught() -> None:
    assert identifiers("def f(verb):\n    x.told = LEAK") & FORMER_NAMES == {"verb", "told", "LEAK"}
    assert yaml_keys("a: 1\n  decay_to: 3") & FORMER_NAMES == {"decay_to"}
    assert code_words("`film=mp4` and a film") & FORMER_NAMES == {"film"}


def comments_and_docstrings(source: str) -> str:
    """All prose of a Python file."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join(
        token.string
        for token in tokens
        if token.type == tokenize.COMMENT or token.string.startswith('"""')
    )


ODD_TURNS = re.compile(
    r"\b(faces of nobody|anew|afresh|whereby|mend(ed|able)?|spoilt|judged?|ruler|verb|hears?)\b",
    re.I,
)


@pytest.mark.parametrize("path", [*CURRENT, CONFIG_PATH], ids=lambda path: path.name)
def test_documents_avoid_odd_turns(path: Path) -> None:
    files = path.rglob("*.yaml") if path.is_dir() else [path]
    found = {m[0] for file in files for m in ODD_TURNS.finditer(file.read_text("utf-8"))}
    assert found == set()


@pytest.mark.parametrize(
    "folder", ["gan", "networks", "sampling", "training", "evaluation", "data"]
)
def test_docstrings_avoid_odd_turns(folder: str) -> None:
    for path in tracked(f"src/facegan/{folder}/*.py"):
        prose = comments_and_docstrings(path.read_text("utf-8"))
        found = [match[0] for match in ODD_TURNS.finditer(prose)]
        assert not found, f"{relative(path)}: {found}"


def test_the_site_builds_and_its_links_hold(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    done = build_site(REPOSITORY / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "evaluation.html").read_text("utf-8")
    assert 'href="src/facegan/weights/attributes-28.html"' in page


def test_a_broken_link_fails_the_site(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    for name in ("mkdocs.yml", "docs/site_links.py", "docs/index.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    done = build_site(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert "contains a link 'app.md'" in done.stderr


def build_site(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", site]
    return subprocess.run(command, capture_output=True, text=True)
