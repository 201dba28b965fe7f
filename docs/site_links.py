"""A hook of MkDocs that keeps links as they are on a Git host: paths within the repository.

Pages of the site lie where docs/ has them. A file outside of docs/ that the navigation or a page
names, such as a model card, is added to the site under its path in the repository.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()(?![\w+]+:|#)[^)\s#]+")  # [text](path#heading), without the heading


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files outside of docs/ that the navigation names, and all that they link to."""
    named = [uri for uri in _targets(config.nav) if files.get_file_from_path(uri) is None]
    pending = [(REPOSITORY / uri).as_posix() for uri in named]
    for page in files.documentation_pages():
        pending += _links(Path(str(page.abs_src_path)))
    while pending:
        path = Path(pending.pop())
        uri = _uri(path.relative_to(REPOSITORY).as_posix())
        if path.is_file() and files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
            pending += _links(path)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository become links of the site."""
    source = _repository_path(page.file)
    folder = posixpath.dirname(page.file.src_uri)

    def replace(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[0]))
        return posixpath.relpath(_uri(target), folder or ".")

    return LINK.sub(replace, markdown)


def _targets(nav: Any) -> Iterator[str]:
    """The paths in a navigation, which nests lists and mappings of one title."""
    if isinstance(nav, str):
        yield nav
    elif nav:
        for child in nav.values() if isinstance(nav, dict) else nav:
            yield from _targets(child)


def _links(path: Path) -> list[str]:
    """The absolute paths that a Markdown file links to."""
    if path.suffix != ".md":
        return []
    found = LINK.findall(path.read_text(encoding="utf-8"))
    return [posixpath.normpath((path.parent / target).as_posix()) for target in found]


def _repository_path(file: File) -> str:
    return Path(str(file.abs_src_path)).relative_to(REPOSITORY).as_posix()


def _uri(path: str) -> str:
    """The place in the site of a path in the repository."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
