"""The label table, and how labels are read from tables of every kind."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from facegan.core.errors import FaceganError
from facegan.data.labels import attributes_of
from facegan.networks.labels import MAX_COMBINATIONS, LabelTable, has

NAMES = ("Smiling", "Male", "Hat")
TABLE = LabelTable(NAMES, {"++-": 60, "--+": 25, "-+-": 10, "+?-": 5})
PHOTOS = [f"{number}.png" for number in range(4)]


def test_a_table_counts_the_combinations() -> None:
    table = LabelTable.of(NAMES, np.array([[1, 1, -1]] * 2 + [[0, -1, 1]], dtype=np.int8))
    assert table.config == {"names": [*NAMES], "counts": {"++-": 2, "?-+": 1}}
    assert LabelTable(**table.config).config == table.config
    assert torch.equal(table.combinations, torch.tensor([[1.0, 1, -1], [0, -1, 1]]))
    many = np.sign(np.random.default_rng(0).standard_normal((10_000, 20))).astype(np.int8)
    assert len(LabelTable.of([str(n) for n in range(20)], many).counts) == MAX_COMBINATIONS


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        *[((), {"": 1}), (NAMES, {}), (NAMES, {"+-": 1}), (NAMES, {"+-x": 1})],
        *[(NAMES, {"+-?": number}) for number in (0, -1, 1.5, 10**400)],
    ],
)
def test_an_impossible_table(names: tuple[str, ...], counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        LabelTable(names, counts)


def test_labels_are_drawn_in_proportion_to_the_counts() -> None:
    drawn = TABLE.draw(range(4000))
    same = (drawn[:, None] == TABLE.combinations).all(dim=2).float().mean(dim=0)
    assert torch.allclose(same, TABLE.counts / 100, atol=0.02)
    assert torch.equal(TABLE.draw([7, 3999]), drawn[[7, 3999]])


def test_the_labels_without_an_order_follow_the_ordered_ones() -> None:
    drawn = TABLE.draw(range(4000), {"Smiling": 1, "Hat": 0})
    assert drawn[:, [0, 2]].unique(dim=0).tolist() == [[1, -1]]
    share = (drawn[:, 1] == 1).float().mean().item()
    assert share == pytest.approx(60 / 65, abs=0.02)


def test_a_combination_that_the_data_lacks() -> None:
    assert TABLE.draw(range(9), {"Hat": 1, "Male": 1})[:, 1:].unique(dim=0).tolist() == [[1, 1]]
    assert TABLE.share({"Hat": 1, "Male": 1}) == 0
    assert TABLE.share({"Smiling": True}) == pytest.approx(0.65)
    assert TABLE.share({"Smiling": 0.5}) == 1


@pytest.mark.parametrize("share", [0.5, 1 / 3, 0.9])
def test_shares_of_consecutive_seeds(share: float) -> None:
    drawn = TABLE.draw(range(100, 140), {"Male": share, "Hat": 0.5}) > 0
    assert abs(int(drawn[:, 1].sum()) - 40 * share) < 2
    assert abs(int((drawn[:, 1] & drawn[:, 2]).sum()) - 20 * share) < 4
    assert torch.equal(drawn[7:8], TABLE.draw([107], {"Hat": 0.5, "Male": share}) > 0)


def test_a_share_of_all_or_none() -> None:
    assert all(has(1, seed, 0) and not has(0, seed, 0) for seed in range(1000))


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("name,kind\n0.png,cat\n1.png,dog\n2.png,cat\n", ["cat", "dog"], "+- -+ +- ??"),
        ("0.png,cat\n1.png,dog\n", ["cat", "dog"], "+- -+ ?? ??"),
        ("name,smiles\n0.png,1\n1.png,0\n3.png,yes\n", ["smiles"], "+ - ? +"),
        ("name,a,b\n0.png,1.0,nan\n1.png,0.0,NA\n2.png,NaN,1\n", ["a", "b"], "+? -? ?+ ??"),
        (
            "name;a;b;hair\n0.png;1;;red\n1.png;-1;true;\n2.png;0;No;red\n3.png;;;black\n",
            ["a", "b", "hair_black", "hair_red"],
            "+?-+ -+?? ---+ ??+-",
        ),
    ],
)
def test_a_table_of_labels(tmp_path: Path, text: str, names: list[str], expected: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    attributes, found = attributes_of(PHOTOS, str(path))
    assert found == names
    assert " ".join("".join("?+-"[v] for v in row) for row in attributes) == expected


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ([["0.png", 6], ["a/1.png", 2]], ["2", "6"], [[-1, 1], [1, -1]]),
        ([["0.png", [0, 1]], ["a/1.png", [1, 1]]], ["0", "1"], [[-1, 1], [1, 1]]),
        ([["0.png", [0, math.nan]], ["a/1.png", [1, 1]]], ["0", "1"], [[-1, 0], [1, 1]]),
    ],
)
def test_a_dataset_json(
    tmp_path: Path, labels: list[object], names: list[str], expected: list[list[int]]
) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"labels": labels}))
    attributes, found = attributes_of(["0.png", "a/1.png"], str(path))
    assert (found, attributes.tolist()) == (names, expected)


@pytest.mark.parametrize(
    "text",
    [
        *["[]", '{"labels": 3}', '{"labels": [["a"]]}', "{", "[" * 9999],
        '{"labels": [["a", 1%s]]}' % ("0" * 400),
    ],
)
def test_a_broken_dataset_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(FaceganError, match=r"dataset\.json must be an object"):
        attributes_of(PHOTOS, str(tmp_path / "dataset.json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.png,a\rb\r1.png,c", "is not a readable CSV: new-line"),
        (f"0.png,{'a' * 200_000}", "is not a readable CSV: field larger"),
        ("name,a,b,a\n0.png,1,1,0\n", "has several labels named a;"),
        ("name,hair,hair_black\n0.png,black,1\n1.png,red,0\n", "labels named hair_black;"),
        ("name,a\n0.png,1\n0.png,0\n", "has different labels for 0.png;"),
    ],
)
def test_a_refused_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_bytes(text.encode())
    with pytest.raises(FaceganError, match=message):
        attributes_of(PHOTOS, str(tmp_path / "labels.csv"))
