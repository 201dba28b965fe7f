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
CELLS = json.loads(NOTEBOOK.read_text())["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_the_notebook_has_stored_outputs() -> None:
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    kinds = [{output["output_type"] for output in cell["outputs"]} for cell in CODE]
    assert all(found and "error" not in found for found in kinds)
    assert NOTEBOOK.stat().st_size < 400_000


def test_the_cells_compute_what_the_text_says(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for cell in CODE:
        exec("".join(cell["source"]), names)  # without a Jupyter kernel, which is not a dependency
    generator, faces, rows = (names[name] for name in ("generator", "faces", "rows"))
    assert (faces.shape, faces.dtype) == ((64, 3, 28, 28), torch.uint8)
    assert to_pil(grid(faces), 4).size == ((8 * 29 - 1) * 4,) * 2
    assert float(rows[0][0].double().std()) < 25  # a brown tile, of 255 levels
    spreads = [float(row.double().std(dim=0).mean()) for row in rows]
    assert spreads[0] == 0
    assert spreads == sorted(set(spreads))  # images differ more with the truncation
    assert torch.equal(names["frames"][[0, 15, 30]], generator.draw(names["keyframes"])[:3])
    with Image.open(workdir / "interpolation.gif") as video:
        assert (video.n_frames, video.size, video.info["loop"]) == (60, (168, 168), 0)
    assert len(names["frequencies"]) == 40
    assert capsys.readouterr().out.count("%") == 12
    assert names["nearest"][0] == 0
    assert names["copy"].config == generator.config
    assert torch.equal(names["copy"].sample(n=3), generator.sample(n=3))
