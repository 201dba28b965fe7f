"""Runs side by side: reading, differences, errors of differences, the page."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Cli
from PIL import Image

from facegan.comparison import output
from facegan.comparison.differences import describe, distinguishing_keys
from facegan.comparison.output import charts, html_page
from facegan.comparison.runs import find_runs, read_run
from facegan.comparison.significance import Summary, difference, format_number, round_to_error
from facegan.comparison.table import Table, build_table
from facegan.core import run_files, tables
from facegan.core.tables import latex_table, markdown_table, table_text

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


def table_of(folder: Path) -> Table:
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


def test_a_folder_without_runs_is_an_error(cli: Cli) -> None:
    message = cli.refusal("compare", "runs=nowhere")
    assert message.startswith("facegan.compare: runs=nowhere names no run folder")


def test_an_unfinished_run_is_noted_and_kept(sweep: Path) -> None:
    with (sweep / "0" / "metrics.jsonl").open("a") as file:
        file.write('{"images": 3000, "frechet_dist')
    (sweep / "0" / "run.json").write_text('{"finished": false}')
    run = read_run(sweep / "0")
    assert run.notes == ["1 damaged lines in metrics.jsonl are left out", "unfinished"]
    assert run.values("frechet_distance") == [9.0, 3.0]


def test_a_run_without_readable_files_is_noted_and_last(sweep: Path) -> None:
    (sweep / "0" / "config.yaml").write_text("a: [")
    (sweep / "0" / "metrics.jsonl").write_text('{"images": 1000, "D_loss": NaN}\n')
    (sweep / "0" / "evaluation.json").write_text('{"measures": 3}')
    (sweep / "1" / "config.yaml").unlink()
    table = table_of(sweep)
    (last,) = table.runs[-1].runs
    assert last.folder.name == "0"
    assert last.notes == ["config.yaml cannot be read", "evaluation.json cannot be read"]
    assert read_run(sweep / "1").notes == ["config.yaml is missing"]
    assert "config.yaml cannot be read" in html_page(table)


def test_a_recipe_controls_neither_terminal_nor_spreadsheet(cli: Cli, workdir: Path) -> None:
    make_run(workdir / "runs" / "0", "=HYPERLINK(1)\x1b[2J", 1, [9.0])
    result = cli("compare", "runs=runs", "out=out")
    assert "=HYPERLINK(1)?[2J" in result.out
    assert ",'=HYPERLINK(1)" in (workdir / "out" / "comparison.csv").read_text()


def test_settings_leave_out_paths_and_what_the_run_writes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", "lite", 1, [1.0], loss={"_target_": LOSS + "Hinge", "a": None})
    written = {"data": {"root": "x", "image_size": 28}, "logger": {"_target_": "y"}, "trust": None}
    kept = {"trainer": {"max_epochs": 3}, "evaluate_every": 2}
    (run / "config.yaml").write_text(yaml.safe_dump(read_run(run).config | written | kept))
    model = {"model.seed": "1", "model.loss": "Hinge", "model.loss.a": "null"}
    assert read_run(run).settings == {
        "recipe": "lite",
        "seed": "1",
        "data.image_size": "28",
        "trainer.max_epochs": "3",
        "evaluate_every": "2",
        **model,
    }


def test_seeds_and_the_keys_of_recipes_and_classes_do_not_distinguish_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "lite", 1, [1.0], loss={"_target_": LOSS + "Hinge", "argument": 1})
    make_run(tmp_path / "b", "lite", 2, [1.0], loss={"_target_": LOSS + "Minimax"})
    make_run(tmp_path / "c", "dcgan", 2, [1.0], loss={"_target_": LOSS + "Minimax"}, width=64)
    runs = [read_run(path) for path in find_runs(str(tmp_path))]
    keys = distinguishing_keys(runs)
    assert keys == ["model.loss"]
    assert describe(runs[0], keys) == "model.loss=Hinge"
    assert describe(runs[0], keys * 6).endswith(", and 2 more")


@pytest.mark.parametrize(
    ("a", "b", "margin"),
    [
        # variances 0.5 and 0: one degree of freedom, whose quantile is tan(0.475 π)
        ((1.0, 2.0), (5.0, 5.0), math.tan(0.475 * math.pi) * 0.5),
        # equal variances of 2: two degrees of freedom, whose quantile is 0.95 (2 / (1 - 0.95²))^½
        ((1.0, 3.0), (5.0, 7.0), 0.95 * math.sqrt(2 / (1 - 0.95**2)) * math.sqrt(2)),
        # equal variances of 1: four degrees of freedom, from a table
        ((3.0, 5.0, 4.0), (1.0, 2.0, 3.0), 2.776445 * math.sqrt(2 / 3)),
        # variances of 2 and 8: 25/17 degrees of freedom, not rounded
        ((1.0, 3.0), (2.0, 6.0), 6.1881 * math.sqrt(5)),
    ],
)
def test_a_difference_over_seeds_has_the_margin_of_welchs_test(
    a: tuple[float, ...], b: tuple[float, ...], margin: float
) -> None:
    found = difference(Summary(a), Summary(b))
    assert found.value == pytest.approx(sum(a) / len(a) - sum(b) / len(b))
    assert found.margin == pytest.approx(margin, rel=1e-4)
    assert found.is_larger_than_its_error == (abs(found.value) > margin)


@pytest.mark.parametrize(
    ("a", "b", "margin", "text"),
    [
        (Summary((5.0,), 0.3), Summary((4.0,), 0.4), 0.5, r"\+1.0 ± 0.5: larger.*one seed each"),
        (Summary((5.0,)), Summary((4.0, 4.1)), None, "error unknown"),
        (Summary((5.0, 5.0)), Summary((4.0, 4.0)), 0.0, "larger"),
    ],
)
def test_the_margin_with_single_or_equal_seeds(
    a: Summary, b: Summary, margin: float | None, text: str
) -> None:
    found = difference(a, b)
    assert found.margin == (margin if margin is None else pytest.approx(margin))
    assert re.search(text, str(found))


def test_groups_are_sorted_and_compared_with_the_first(sweep: Path) -> None:
    table = table_of(sweep)
    assert [row.runs[0].recipe for row in table.groups] == ["lite", "dcgan"]
    assert table.groups[0].measures["frechet_distance"].mean == pytest.approx(3.1)
    gap = table.difference(table.groups[1])
    assert gap is not None
    assert (gap.value, gap.over) == (pytest.approx(5.0), "over seeds")
    assert table.difference(table.groups[0]) is None


def test_a_repeated_seed_counts_once(sweep: Path) -> None:
    make_run(sweep / "replay", "lite", 1, [9.0, 5.0])
    lite = table_of(sweep).groups[0]
    assert (len(lite.runs), lite.seeds) == (3, 2)
    assert sorted(lite.measures["frechet_distance"].values) == [3.2, pytest.approx(4.0)]


def test_an_evaluation_of_other_weights_is_noted(sweep: Path) -> None:
    content = {"facts": {"images seen": "1000"}, "measures": {}}
    (sweep / "0" / "evaluation.json").write_text(json.dumps(content))
    assert read_run(sweep / "0").notes == ["evaluated after 1,000 of 2,000 images"]


def test_classes_of_other_packages_keep_their_names(sweep: Path) -> None:
    run = make_run(sweep / "4", "lite", 1, [1.0], loss={"_target_": "mine.losses.Hinge"})
    assert read_run(run).settings["model.loss"] == "mine.losses.Hinge"


def test_differences_are_to_the_baseline(sweep: Path, cli: Cli) -> None:
    cli.ok("compare", f"runs={sweep}", f"baseline={sweep}/3", f"out={sweep}/out")
    best, _ = json.loads((sweep / "out/comparison.json").read_text())["groups"]
    assert best["difference"]["value"] == pytest.approx(-5.0)
    assert "not one of the runs" in cli.refusal("compare", f"runs={sweep}/0", f"baseline={sweep}/3")


def test_runs_of_other_photographs_are_named(sweep: Path) -> None:
    for number, data in enumerate(("celeba", "celeba", "celeba", "folder")):
        record = {"finished": True, "data": {"path": f"data/packed/{data}-28"}}
        (sweep / f"{number}" / "run.json").write_text(json.dumps(record))
    assert "of other photographs" in table_of(sweep).source


def test_evaluations_are_used_if_all_runs_have_the_same(sweep: Path) -> None:
    for run in find_runs(str(sweep)):
        assert "the last measurement during each training" in table_of(sweep).source
        add_evaluation(run, 2.0, 0.1)
    make_run(sweep / "4", "lite", 3, [1.0], generator={"_target_": "mine.nets.Net"})
    assert table_of(sweep).source.endswith("/4\"]' 'trust=[mine.nets]'")
    add_evaluation(sweep / "4", 2.0, 0.1)
    table = table_of(sweep)
    how = "by facegan.evaluate, 1000 of 28x28 generated, against 500"
    assert table.source == f"{how}; trainings of 1,000 to 2,000 images"
    assert table.runs[0].measures["frechet_distance"] == Summary((2.0,), pytest.approx(0.1))
    add_evaluation(sweep / "0", 1.0, 0.1, faces="500 of 28x28")
    assert "differ in what they compare" in table_of(sweep).source


def test_long_curves_are_thinned_and_keep_the_last_point(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "a", "lite", 1, [float(n) for n in range(1, 1001)]))
    (curve,) = next(c["curves"] for c in charts([run]) if c["title"] == "Fréchet distance")
    assert len(curve) == 334
    assert curve[-1] == [1_000_000, 2000.0, 1000.0]


def test_many_lines_are_thinned_as_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_files, "MAX_ENTRIES", 20)
    run = read_run(make_run(tmp_path / "a", "lite", 1, [float(n) for n in range(1, 1001)]))
    distances = run.values("frechet_distance")
    assert distances[:1] + distances[-1:] == [1.0, 1000.0]
    assert 10 <= len(distances) <= 21
    assert len(run.entries) <= 42


def test_the_page_of_many_runs_is_bounded(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_GRIDS", 3)
    monkeypatch.setattr(output, "ALL_POINTS", 1)
    page = html_page(table_of(sweep))
    assert page.count("data:image/png;base64,") == 3
    assert "grid of the first 3 runs" in page
    curves = [curve for chart in charts([read_run(sweep / "0")]) for curve in chart["curves"]]
    assert [len(curve) for curve in curves] == [1] * len(curves)


def test_the_command_writes_page_csv_and_json_and_prints_plain_lines(sweep: Path, cli: Cli) -> None:
    result = cli("compare", f"runs={sweep}")
    assert (result.code, result.err) == (0, "")
    header, first = result.out.splitlines()[1:3]
    assert header.split()[:4] == ["#", "run", "recipe", "seed"]
    assert first.split()[:4] == ["1", "0", "lite", "1"]
    assert "notes" not in header  # of which there are none
    assert re.search(r"2 +dcgan .*\+5.0 ± 0.6: larger than its error \(over seeds\)", result.out)
    page = (sweep / "comparison.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert re.search(r"""(src|href)=["']?https?:""", page) is None  # loads nothing
    assert len((sweep / "comparison.csv").read_text().splitlines()) == 5
    for name in ("comparison.md", "comparison.tex"):
        text = (sweep / name).read_text()
        assert "8.10 (sd 0.14)" in text
        assert "values: the last measurement" in text
    content = json.loads((sweep / "comparison.json").read_text())
    assert content["groups"][1]["difference"]["larger_than_its_error"] is True
    assert content["differences"]["recipe"] == ["lite", "lite", "dcgan", "dcgan"]


@pytest.mark.parametrize(("columns", "count"), [(30, 3), (40, 3), (60, 2), (160, 1)])
def test_numbers_are_not_broken_in_a_narrow_terminal(
    columns: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    header = ["#", "recipe", "distance", "precision", "notes"]
    row = ["1", "lite", "3.1 (sd 0.141)", "0.5 (sd 0.0123)", "a/long/path" * 9]
    text = table_text(header, [row])
    lines = [re.sub("\x1b.*?m", "", line).rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= columns
    assert all(word in text for word in ("3.1 (sd 0.141)", "0.5 (sd 0.0123)", "precision"))
    assert sum(line.startswith("#") for line in lines) == count
    assert columns > tables.LONGEST_CELL


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (342.4, "342"), (1234.5, "1,234"), (-1e4, "-10,000")]
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (115.0, 0.0253, ("115.00", "0.03")),
        (3.1, 0.1414, ("3.10", "0.14")),
        (0.000767, 0.00003, ("0.00077", "0.00003")),
        (1234.5, 57.0, ("1,234", "57")),
        (3.07, 0.0, ("3.07", "0")),
        (3.07, math.nan, ("3.07", "nan")),
    ],
)
def test_numbers_are_rounded_to_their_error(
    value: float, error: float, text: tuple[str, str]
) -> None:
    assert round_to_error(value, error) == text


def test_tables_for_papers_escape_their_cells() -> None:
    header, rows = ["key", "empty", "share"], [["a_b|c", "–", "5% ± 1"]]
    table = markdown_table(header, rows, "runs")
    assert table.endswith("| key | share |\n| --- | --- |\n| a_b\\|c | 5% ± 1 |\n")
    assert r"a\_b\textbar{}c & 5\% $\pm$ 1 \\" in latex_table(header, rows, "runs")
    rows = [["a", "3.10 (sd 0.14)", "+1,234 ± 5", "lite"], ["b", "–", "-0.1", "9 seeds"]]
    assert r"\begin{tabular}{lrrl}" in latex_table([*"abcd"], rows, "runs")
