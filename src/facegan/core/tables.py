"""Tables of text: as wide as the terminal, or one line per row in a file."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

LONGEST_CELL = 24  # characters in a terminal; longer texts are folded
UNLIMITED = 10**5  # characters
CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "?")  # of a terminal
EMPTY = ("", "–")
NUMBER = re.compile(r"|–|[+-]?[\d.,]+(e[+-]?\d+)?( (±|\(sd) [\d.,e+-]+\)?)?")  # or empty
LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", "–": "--", "|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"}
)

Columns = Sequence[Sequence[str]]  # each with its header first


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> str:
    """A table by rich, without the columns that are empty in all rows.

    In a terminal that is too narrow, it is split into several, which all have the first column.
    """
    from rich.console import Console  # which --help does not need

    console = Console(markup=False, emoji=False, highlight=False)
    longest = LONGEST_CELL if console.is_terminal else UNLIMITED
    console.width = console.width if console.is_terminal else UNLIMITED
    first, *columns = _filled_columns(header, rows)
    unlimited = console.options.update(width=UNLIMITED)
    with console.capture() as captured:
        while columns:
            count = len(columns)
            table = _table([first, *columns], longest, title)
            while count > 1 and console.measure(table, options=unlimited).maximum > console.width:
                count -= 1
                table = _table([first, *columns[:count]], longest, title)
            console.print(table)
            columns = columns[count:]
    return captured.get()


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> str:
    """A table for Markdown, without the columns that are empty in all rows."""
    lines = list(zip(*_filled_columns(header, rows), strict=True))
    lines.insert(1, ("---",) * len(lines[0]))
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return f"## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> str:
    """A tabular for LaTeX's booktabs, without the columns that are empty in all rows."""
    columns = _filled_columns(header, rows)
    lines = zip(*columns, strict=True)
    first, *rest = (" & ".join(cell.translate(LATEX) for cell in line) for line in lines)
    body = "".join(f"{line} \\\\\n" for line in rest)
    places = "".join("r" if all(map(NUMBER.fullmatch, c[1:])) else "l" for c in columns)
    top = f"% {title}: \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{places}}}\n\\toprule\n"
    return f"{top}{first} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"


def _filled_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The columns that are not empty in every row, each with its header first."""
    lines = ([cell.translate(CONTROLS) for cell in line] for line in (header, *rows))
    columns = zip(*lines, strict=True)
    return [c for c in columns if any(cell not in EMPTY for cell in c[1:])]


def _table(columns: Columns, longest: int, title: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        short = max(map(len, column)) <= longest
        table.add_column(column[0], overflow="fold", no_wrap=short, max_width=longest)
    for row in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*row)
    return table
