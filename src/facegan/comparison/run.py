"""From the names of runs to a comparison: tables, and comparison.html, .md, .tex, .json, .csv."""

from pathlib import Path

from facegan.comparison.output import group_cells, html_page, run_cells, to_csv, to_json
from facegan.comparison.runs import find_runs, read_run
from facegan.comparison.table import build_table
from facegan.core.errors import FaceganError
from facegan.core.files import write_bytes, write_json
from facegan.core.tables import latex_table, markdown_table, table_text


def compare(runs: str, out: Path | None, baseline: str | None = None) -> None:
    """Compares the runs that `runs` names (see `find_runs`), and writes the results to `out`.

    `out` defaults to the sweep's folder if all runs are of one sweep, else to outputs/comparison.
    `baseline`: the run to whose config the others are compared. Raises FaceganError if no run is
    found, and for a baseline that is not one of the runs.
    """
    folders = find_runs(runs)
    base = None if baseline is None else find_runs(baseline)[0].resolve()
    chosen = next((folder for folder in folders if folder.resolve() == base), None)
    if base is not None and chosen is None:
        raise FaceganError(f"baseline={baseline} is not one of the runs; give one of {runs}")
    table = build_table([read_run(folder) for folder in folders], chosen)
    parent, *others = {folder.absolute().parent for folder in folders}
    is_a_sweep = not others and (parent / "multirun.yaml").is_file()
    out = out or (parent if is_a_sweep else Path("outputs/comparison"))
    write_bytes(out / "comparison.html", html_page(table).encode())
    write_bytes(out / "comparison.csv", to_csv(table).encode())
    write_json(out / "comparison.json", to_json(table))
    tables = {"runs": run_cells(table)}
    if len(table.runs) > 1:
        tables["configs, over their seeds"] = group_cells(table)
    for suffix, convert, note in (("md", markdown_table, ""), ("tex", latex_table, "% ")):
        texts = [convert(*cells, title) for title, cells in tables.items()]
        text = "\n".join([*texts, f"{note}values: {table.source}\n"])
        write_bytes(out / f"comparison.{suffix}", text.encode())
    for title, (header, rows) in tables.items():
        numbered = [[str(number), *row] for number, row in enumerate(rows, start=1)]
        print(table_text(["#", *header], numbered, title), end="")
    print(f"values: {table.source}")
    print(f"{out / 'comparison.html'} shows curves, grids and the configs' differences")
    print(f"{out}/comparison.md and .tex have the tables for a paper")
