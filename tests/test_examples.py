"""The example notebook runs from its first cell to its last."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from facegan.images import grid, to_pil

NOTEBOOK = REPOSITORY / "examples" / "faces.ipynb"


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    return json.loads(NOTEBOOK.read_text())


def code_cells(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_whole_and_carries_no_outputs(notebook: dict[str, Any]) -> None:
    assert notebook["nbformat"] == 4
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_notebook_does_what_it_says(
    notebook: dict[str, Any], workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for number, source in enumerate(code_cells(notebook)):
        # a Jupyter kernel is no dependency
        exec(compile(source, f"{NOTEBOOK.name}, code cell {number}", "exec"), names)
    generator, faces = names["generator"], names["faces"]
    assert (faces.shape, faces.dtype) == ((64, 3, 28, 28), torch.uint8)
    assert to_pil(grid(faces), 4).size == ((8 * 29 - 1) * 4,) * 2
    check_truncations(names["rows"])
    assert torch.equal(names["walk"][[0, 15, 30]], generator.draw(names["stations"])[:3])
    with Image.open(workdir / "walk.gif") as video:
        assert (video.n_frames, video.size, video.info["loop"]) == (60, (168, 168), 0)
    assert len(names["shares"]) == 40
    assert capsys.readouterr().out.count("%") == 12
    assert names["nearest"][0] == 0
    assert names["twin"].config == generator.config
    assert torch.equal(names["twin"].sample(n=3), generator.sample(n=3))


def check_truncations(rows: list[torch.Tensor]) -> None:
    """The farther from 0, the more the faces differ; at 0 they are one."""
    spreads = [float(row.double().std(dim=0).mean()) for row in rows]
    assert spreads[0] == 0
    assert spreads == sorted(spreads)
    assert len(set(spreads)) == len(spreads)
