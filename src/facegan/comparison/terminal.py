"""The comparison in a terminal, or as plain lines in a file."""

import sys
from collections.abc import Iterator, Sequence

from facegan.comparison.differences import NONE
from facegan.comparison.output import difference_cells, group_cells, run_cells
from facegan.comparison.table import SORTED_BY, Table

Cells = tuple[Sequence[str], Sequence[Sequence[str]]]  # a header, and rows below it
LONGEST_CELL = 24  # characters; longer texts are folded
BORDER = 3  # characters that each column adds


def print_table(table: Table) -> None:
    """Tables that fit the terminal's width, plain lines elsewhere; then what differs."""
    show = _print_rich if sys.stdout.isatty() else _print_plain
    show("runs", run_cells(table))
    if len(table.runs) > 1:
        show("configs, over their seeds", group_cells(table))
    for number, cell in enumerate(difference_cells(table)[1:], start=2):
        print(f"{SORTED_BY.label}, config {number} less config 1: {cell}")
    print(f"values: {table.source}")


def _print_rich(title: str, cells: Cells) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console()
    for header, rows in split_columns(_numbered(cells), console.width):
        shown = RichTable(title=title, title_justify="left")
        for name in header:
            shown.add_column(name, overflow="fold")
        for row in rows:
            shown.add_row(*row)
        console.print(shown, markup=False)


def _print_plain(title: str, cells: Cells) -> None:
    header, rows = _numbered(cells)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"{title}:")
    for row in (header, *rows):
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join(padded).rstrip())


def _numbered(cells: Cells) -> Cells:
    """The columns in which any row has a value, after the rows' numbers."""
    header, rows = cells
    used = [n for n in range(len(header)) if any(row[n] not in ("", NONE) for row in rows)]
    header, rows = _select(used, cells)
    return ["#", *header], [[str(n), *row] for n, row in enumerate(rows, start=1)]


def split_columns(cells: Cells, width: int) -> Iterator[Cells]:
    """Tables of at most `width` characters, each with the first column and some of the others."""
    header, rows = cells
    first, *others = [
        min(LONGEST_CELL, max(map(len, column))) + BORDER
        for column in zip(header, *rows, strict=True)
    ]
    block: list[int] = []
    used = first + 1
    for number, size in enumerate(others, start=1):
        if block and used + size > width:
            yield _select([0, *block], cells)
            block, used = [], first + 1
        block.append(number)
        used += size
    yield _select([0, *block], cells)


def _select(columns: Sequence[int], cells: Cells) -> Cells:
    header, rows = cells
    return [header[n] for n in columns], [[row[n] for n in columns] for row in rows]
