"""From the names of runs to a comparison: tables, comparison.html, .json and .csv."""

from pathlib import Path

from facegan.comparison.output import html_page, to_csv, to_json
from facegan.comparison.runs import find_runs, read_run
from facegan.comparison.table import build_table
from facegan.comparison.terminal import print_table
from facegan.core.files import atomic_path, write_json


def compare(runs: str, out: Path | None) -> None:
    """Compares the runs that `runs` names (see `find_runs`), and writes the results to `out`.

    `out` defaults to the folder that all runs lie in, such as a sweep's, else to
    outputs/comparison. Raises FaceganError where no run is found.
    """
    folders = find_runs(runs)
    table = build_table([read_run(folder) for folder in folders])
    out = out or _common_folder(folders)
    _write(out / "comparison.html", html_page(table))
    _write(out / "comparison.csv", to_csv(table))
    write_json(out / "comparison.json", to_json(table))
    print_table(table)
    print(f"{out / 'comparison.html'} shows curves, grids and the configs' differences")


def _common_folder(folders: list[Path]) -> Path:
    parents = {folder.absolute().parent for folder in folders}
    is_a_sweep = len(parents) == 1 and (next(iter(parents)) / "multirun.yaml").is_file()
    return next(iter(parents)) if is_a_sweep else Path("outputs/comparison")


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
