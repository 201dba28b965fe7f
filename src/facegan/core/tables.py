"""Tables of text: as wide as the terminal, or one line per row in a file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

LONGEST_CELL = 24  # characters in a terminal; longer texts are folded
UNLIMITED = 10**5  # characters
CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "?")  # of a terminal
EMPTY = ("", "–")

Columns = Sequence[Sequence[str]]  # each with its header first


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> str:
    """A table by rich, without the columns that are empty in all rows.

    In a terminal that is too narrow, it is split into several, which all have the first column.
    """
    from rich.console import Console  # which --help does not need

    console = Console(markup=False, emoji=False, highlight=False)
    longest = LONGEST_CELL if console.is_terminal else UNLIMITED
    console.width = console.width if console.is_terminal else UNLIMITED
    all_columns = zip(*([c.translate(CONTROLS) for c in r] for r in (header, *rows)), strict=True)
    first, *columns = (c for c in all_columns if any(cell not in EMPTY for cell in c[1:]))
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


def _table(columns: Columns, longest: int, title: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        short = max(map(len, column)) <= longest
        table.add_column(column[0], overflow="fold", no_wrap=short, max_width=longest)
    for row in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*row)
    return table
