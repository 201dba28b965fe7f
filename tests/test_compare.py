"""Runs side by side: reading, differences, errors of differences, the page."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from facegan.comparison import output, terminal
from facegan.comparison.differences import describe, distinguishing_keys, group
from facegan.comparison.runs import find_runs, read_run
from facegan.comparison.significance import Summary, Value, difference, format_number, t_quantile
from facegan.comparison.table import build_table
from facegan.comparison.terminal import split_columns
from facegan.core.errors import FaceganError

LOSS = "facegan.gan.losses."


def make_run(folder: Path, recipe: str, seed: int, distances: list[float], **config: Any) -> Path:
    """A run folder as facegan.train leaves it."""
    (folder / "samples").mkdir(parents=True)
    values = {"recipe": recipe, "seed": seed, "model": {"seed": seed, **config}}
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    lines = []
    for number, distance in enumerate(distances, start=1):
        at = {"images": 1000 * number, "seconds": 2.0 * number}
        lines.append({**at, "D_loss": 1 / number, "images_per_second": 500.0})
        lines.append({**at, "frechet_distance": distance, "precision": 0.5})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "run.json").write_text('{"finished": true}')
    Image.new("RGB", (16, 16), (10 * seed, 0, 0)).save(folder / "samples" / "epoch-001.png")
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two recipes with two seeds each."""
    folder = tmp_path / "sweep"
    make_run(folder / "0", "lite", 1, [9.0, 3.0])
    make_run(folder / "1", "lite", 2, [9.0, 3.2])
    make_run(folder / "2", "dcgan", 1, [20.0, 8.0], width=64)
    make_run(folder / "3", "dcgan", 2, [20.0, 8.2], width=64)
    (folder / "multirun.yaml").touch()
    return folder


def table_of(folder: Path):
    return build_table([read_run(path) for path in find_runs(str(folder))])


def add_evaluation(run: Path, value: float, half: float, faces: str = "1000 of 28x28") -> None:
    facts = {"faces": faces, "against": "500", "dataset": "x", "features": "y"}
    measure = {"value": value, "low": value - half, "high": value + half}
    content = {"facts": facts, "measures": {"frechet_distance": measure}}
    (run / "evaluation.json").write_text(json.dumps(content))


def test_runs_are_found_by_folder_glob_list_and_sweep(sweep: Path) -> None:
    assert len(find_runs(str(sweep))) == 4
    assert len(find_runs(str(sweep.parent))) == 4
    assert [p.name for p in find_runs(f"{sweep}/2,{sweep}/0")] == ["2", "0"]
    assert [p.name for p in find_runs(f"{sweep}/[01]")] == ["0", "1"]
    link = sweep.parent / "latest"
    link.symlink_to(sweep / "3", target_is_directory=True)
    assert len(find_runs(f"{sweep},{link}")) == 4


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FaceganError, match="names no run folder"):
        find_runs(str(tmp_path))


def test_an_unfinished_run_is_noted_and_kept(sweep: Path) -> None:
    with (sweep / "0" / "metrics.jsonl").open("a") as file:
        file.write('{"images": 3000, "frechet_dist')
    (sweep / "0" / "run.json").write_text('{"finished": false}')
    run = read_run(sweep / "0")
    assert run.notes == ["1 damaged lines in metrics.jsonl are left out", "unfinished"]
    assert run.last("frechet_distance") == 3.0


def test_a_run_without_anything_readable_is_noted_and_last(sweep: Path) -> None:
    (sweep / "0" / "config.yaml").write_text("a: [")
    (sweep / "0" / "metrics.jsonl").write_text('{"images": 1000, "D_loss": NaN}\n')
    (sweep / "0" / "evaluation.json").write_text('{"measures": 3}')
    row = table_of(sweep).runs[-1]
    assert row.run.folder.name == "0"
    assert row.run.notes == ["config.yaml cannot be read", "evaluation.json cannot be read"]
    assert "config.yaml cannot be read" in output.html_page(table_of(sweep))


def test_what_differs_is_named_without_seeds_and_the_recipes_own_keys(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "lite", 1, [1.0], loss={"_target_": LOSS + "Hinge"})
    make_run(tmp_path / "b", "lite", 2, [1.0], loss={"_target_": LOSS + "Minimax"})
    make_run(tmp_path / "c", "dcgan", 2, [1.0], loss={"_target_": LOSS + "Minimax"}, width=64)
    runs = [read_run(path) for path in find_runs(str(tmp_path))]
    keys = distinguishing_keys(runs)
    assert keys == ["model.loss"]
    assert describe(runs[0], keys) == "model.loss=Hinge"


def test_runs_that_differ_in_seeds_alone_are_one_group(sweep: Path) -> None:
    groups = group([read_run(path) for path in find_runs(str(sweep))])
    assert [[run.folder.name for run in members] for members in groups] == [["0", "1"], ["2", "3"]]


def test_a_difference_over_seeds_has_the_margin_of_welchs_test() -> None:
    a = Summary((Value(3.0), Value(5.0), Value(4.0)))  # variance 1
    b = Summary((Value(1.0), Value(2.0), Value(3.0)))  # variance 1
    found = difference(a, b)
    assert found.value == pytest.approx(2.0)
    assert found.margin == pytest.approx(2.776 * (2 / 3) ** 0.5)  # four degrees of freedom
    assert found.is_larger_than_its_error is False


def test_a_difference_of_single_seeds_has_the_margin_of_the_faces() -> None:
    found = difference(Summary((Value(5.0, 0.3),)), Summary((Value(4.0, 0.4),)))
    assert (found.value, found.margin) == (1.0, pytest.approx(0.5))
    assert found.is_larger_than_its_error is True
    assert "one seed each" in str(found)


def test_without_intervals_and_seeds_the_error_is_unknown() -> None:
    found = difference(Summary((Value(5.0),)), Summary((Value(4.0), Value(4.1))))
    assert found.is_larger_than_its_error is None
    assert "error unknown" in str(found)


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (1.9, 12.706), (11, 2.228)])
def test_the_t_quantile_is_rounded_upwards(freedom: float, expected: float) -> None:
    assert t_quantile(freedom) == expected


def test_groups_are_sorted_and_compared_with_the_first(sweep: Path) -> None:
    table = table_of(sweep)
    assert [group.rows[0].run.recipe for group in table.groups] == ["lite", "dcgan"]
    assert table.groups[0].measures["frechet_distance"].mean == pytest.approx(3.1)
    gap = table.groups[1].difference
    assert gap is not None
    assert gap.value == pytest.approx(5.0)
    assert gap.over == "over seeds"


def test_evaluations_are_used_where_all_runs_have_the_same(sweep: Path) -> None:
    for run in find_runs(str(sweep)):
        assert "the last measurement during each training" in table_of(sweep).source
        add_evaluation(run, 2.0, 0.1)
    table = table_of(sweep)
    assert table.source == "by facegan.evaluate, 1000 of 28x28 generated, against 500"
    assert table.runs[0].measures["frechet_distance"] == Value(2.0, pytest.approx(0.1))
    add_evaluation(sweep / "0", 1.0, 0.1, faces="500 of 28x28")
    assert "differ in what they compare" in table_of(sweep).source


def test_the_command_writes_page_csv_and_json_and_prints_plain_lines(sweep: Path, cli) -> None:
    result = cli("compare", f"runs={sweep}")
    assert (result.code, result.err) == (0, "")
    header, *rows = (line for line in result.out.splitlines() if line.startswith("  "))
    assert header.split()[:4] == ["#", "run", "recipe", "seed"]
    assert rows[0].split()[:4] == ["1", "0", "lite", "1"]
    assert "config 2 less config 1: +5 ±" in result.out
    page = (sweep / "comparison.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert len((sweep / "comparison.csv").read_text().splitlines()) == 5
    content = json.loads((sweep / "comparison.json").read_text())
    assert content["groups"][1]["difference"]["larger_than_its_error"] is True
    assert content["differences"]["recipe"] == ["lite", "lite", "dcgan", "dcgan"]


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_numbers_are_never_broken_by_a_narrow_terminal(
    columns: int, sweep: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(terminal, "_print_plain", terminal._print_rich)
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal.print_table(table_of(sweep))
    out = capsys.readouterr().out
    assert all(text in out for text in ("dcgan", " 500 ", " 8.2 ", " 3.1 (sd 0.141) "))


def test_columns_are_split_over_tables_that_fit() -> None:
    cells = ["#", "a", "b", "c"], [["1", "x" * 10, "y" * 10, "z" * 10]]
    tables = list(split_columns(cells, width=32))
    assert [header for header, _ in tables] == [["#", "a", "b"], ["#", "c"]]
    assert tables[1][1] == [["1", "z" * 10]]


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (342.4, "342"), (1234.5, "1,234"), (-1e4, "-10,000")]
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert format_number(value) == text


def test_no_runs_is_one_message(cli, workdir: Path) -> None:
    result = cli("compare", "runs=nowhere")
    assert result.code == 2
    assert result.err.startswith("facegan.compare: runs=nowhere names no run folder")
