"""The example notebook runs, and its outputs are stored."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from facegan.core.images import grid, to_pil

NOTEBOOK = REPOSITORY / "examples" / "faces.ipynb"


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    return json.loads(NOTEBOOK.read_text())


def code_cells(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_valid_and_has_stored_outputs(notebook: dict[str, Any]) -> None:
    assert notebook["nbformat"] == 4
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    codes = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in codes] == list(range(1, len(codes) + 1))
    for cell in codes:
        assert cell["outputs"]
        assert not any(output["output_type"] == "error" for output in cell["outputs"])
    assert NOTEBOOK.stat().st_size < 400_000


def test_the_cells_compute_what_the_text_says(
    notebook: dict[str, Any], workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for number, source in enumerate(code_cells(notebook)):
        # without a Jupyter kernel, which is not a dependency
        exec(compile(source, f"{NOTEBOOK.name}, code cell {number}", "exec"), names)
    generator, faces = names["generator"], names["faces"]
    assert (faces.shape, faces.dtype) == ((64, 3, 28, 28), torch.uint8)
    assert to_pil(grid(faces), 4).size == ((8 * 29 - 1) * 4,) * 2
    check_truncations(names["rows"])
    assert torch.equal(names["frames"][[0, 15, 30]], generator.draw(names["keyframes"])[:3])
    with Image.open(workdir / "interpolation.gif") as video:
        assert (video.n_frames, video.size, video.info["loop"]) == (60, (168, 168), 0)
    assert len(names["frequencies"]) == 40
    assert capsys.readouterr().out.count("%") == 12
    assert names["nearest"][0] == 0
    assert names["copy"].config == generator.config
    assert torch.equal(names["copy"].sample(n=3), generator.sample(n=3))


def check_truncations(rows: list[torch.Tensor]) -> None:
    """At 0 all images are the same and nearly uniform; they differ more with the truncation."""
    assert float(rows[0][0].double().std()) < 25  # a brown tile, of 255 levels
    spreads = [float(row.double().std(dim=0).mean()) for row in rows]
    assert spreads[0] == 0
    assert spreads == sorted(spreads)
    assert len(set(spreads)) == len(spreads)
