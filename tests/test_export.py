"""The ONNX model, and the web page in a real browser: the same faces as in Python."""

import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import edited_faces
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from facegan import Generator
from facegan.core.errors import FaceganError
from facegan.deployment import onnx_model, page
from facegan.latent.interpolation import slerp
from facegan.networks.dcgan import DCGANGenerator
from facegan.networks.latents import latents
from facegan.networks.residual import ResidualGenerator

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
NODE = shutil.which("node")
SEEDS = [0, 7, 100_000, 2**31, 2**32 - 1]


def in_node(code: str) -> Any:
    """The value of a JavaScript expression, by Node.js, with the page's latents.js loaded."""
    if NODE is None:
        pytest.skip("needs node (apt-get install nodejs)")
    source = (page.STATIC / "latents.js").read_text() + f"\nconsole.log(JSON.stringify({code}));"
    result = subprocess.run([NODE, "-e", source], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


@pytest.mark.parametrize("size", [1, 5, 15, 16, 17, 64, 100])
def test_latents_in_javascript_are_those_of_torch(size: int) -> None:
    seeds = [*range(1000), *SEEDS]
    drawn = in_node(f"{seeds}.map((seed) => [...latentOfSeed(seed, {size})])")
    torch.testing.assert_close(torch.tensor(drawn), latents(seeds, size), rtol=0, atol=1e-6)


def test_walks_in_javascript_are_those_of_python() -> None:
    start, end = latents([3, 7], 64)
    code = "[0, 0.3, 1].map((t) => [...slerp(latentOfSeed(3, 64), latentOfSeed(7, 64), t)])"
    expected = slerp(start.expand(3, -1), end.expand(3, -1), torch.tensor([[0], [0.3], [1]]))
    torch.testing.assert_close(torch.tensor(in_node(code)), expected, rtol=0, atol=2e-6)
    zeros = in_node("[...slerp(new Float32Array(4), new Float32Array(4), 0.5)]")
    assert zeros == [0, 0, 0, 0]


def test_the_runtime_is_that_of_npm() -> None:
    readme = (page.RUNTIME / "README.md").read_text()
    digests = dict(re.findall(r"`([\w.-]+)`.*?\| `([0-9a-f]{64})`", readme))
    wasm = gzip.decompress((page.RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes())
    files = {"ort-wasm-simd-threaded.wasm": wasm}
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs"):
        files[name] = (page.RUNTIME / name).read_bytes()
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == digests
    assert f'"{page.RUNTIME_VERSION}"'.encode() in files["ort.wasm.min.js"]


def test_the_runtime_loads_without_modules() -> None:
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs"):
        script = page._classic_script(page.RUNTIME / name)
        assert "import.meta" not in script
        assert "export default" not in script
        assert "</script" not in script
    assert script.startswith("async function ortWasmThreaded(")


def tiny(**arguments: Any) -> Generator:
    torch.manual_seed(0)
    return DCGANGenerator(latent_dim=20, width=8, image_size=8, **arguments).eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    "generator",
    [
        tiny(channels=1),
        tiny(norm="none", modulated=True),
        ResidualGenerator(20, width=16, blocks=1, image_size=8).eval(),
    ],
    ids=["grey", "modulated", "residual"],
)
def test_onnx_models_draw_what_torch_draws(generator: Generator) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = onnx_model.to_onnx(generator, {"name": "tiny", "license": "none"})
    assert onnx_model.largest_difference(model.SerializeToString(), generator) <= 1
    assert {prop.key: prop.value for prop in model.metadata_props}["name"] == "tiny"
    assert str(Path.home()) not in str(model)
    other = tiny(channels=generator.channels, dropout=0.5)
    torch.nn.init.normal_(other.layers[0].weight)
    with pytest.raises(FaceganError, match="the ONNX model and torch differ by"):
        onnx_model.largest_difference(model.SerializeToString(), other)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, cli) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = cli("export")
    assert result.code == 2
    assert "facegan.export needs onnx: pip install -e '.[export]'" in result.err
    assert not Path("outputs/export").exists()


# -- the page, as a user exports it, in Chromium


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-W", "error", "-m", "facegan.export", f"out={out}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=out)
    assert re.search(r"between ONNX Runtime and torch: [01]/255\n$", result.stdout), result.stdout
    assert result.stdout.count("\n") == 3
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, site: Path) -> Iterator[Any]:
    """The page, opened from the disk, when the first face has been drawn."""
    context = browser.new_context(viewport={"width": 900, "height": 700}, accept_downloads=True)
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda message: message.type == "error" and problems.append(message.text))
    tab.on("request", lambda request: problems.append(request.url))
    tab.goto((site / "index.html").as_uri())
    tab.locator("#status", has_text="faces per second").wait_for(timeout=120_000)
    yield tab
    context.close()
    assert problems == [(site / "index.html").as_uri()]  # no error, and no other request


def as_arrays(faces: Tensor) -> NDArray[np.int64]:
    """(N, 3, H, W) uint8 -> (N, H, W, 3)."""
    return faces.permute(0, 2, 3, 1).numpy().astype(int)


def canvas(tab: Any, selector: str) -> NDArray[np.int64]:
    """The pixels that a canvas shows: (28, 28, 3)."""
    pixels = tab.locator(selector).evaluate(
        "(it) => [...it.getContext('2d').getImageData(0, 0, it.width, it.height).data]"
    )
    return np.array(pixels).reshape(28, 28, 4)[:, :, :3]


def test_the_page_is_small_and_names_its_licences(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in site.iterdir()) < 12_000_000
    assert {path.name for path in site.iterdir()} == {"index.html", "generator.onnx"}
    assert "non-commercial research only" in text
    assert "Microsoft Corporation" in text
    assert not re.search(r"<(a|img|link|script)[^>]*(href|src)=.?https?:", text)


def test_the_browser_draws_the_faces_of_python(opened: Any) -> None:
    how = {"truncation": 0.7, "edits": {"Smiling": 2, "Young": -1}}
    drawn = opened.evaluate(f"facegan.draw({SEEDS}, {json.dumps(how)}).then((a) => [...a])")
    faces = edited_faces(
        Generator.from_pretrained("full-28"), SEEDS, {"Smiling": 2, "Young": -1}, 0.7
    )
    assert np.abs(np.array(drawn).reshape(-1, 28, 28, 3) - as_arrays(faces)).max() <= 1


def test_wall_sliders_and_enlargement(opened: Any) -> None:
    generator = Generator.from_pretrained("full-28")
    plain = as_arrays(generator.sample(seeds=[3]))[0]
    assert np.abs(canvas(opened, ".face >> nth=3 >> canvas") - plain).max() <= 1
    opened.get_by_role("button", name="Face 3, enlarge").click()
    opened.locator("#large-title", has_text="Face 3").wait_for()
    assert np.abs(canvas(opened, "#large-face") - plain).max() <= 1
    opened.keyboard.press("Escape")
    opened.get_by_label("Smiling", exact=True).fill("2")
    opened.evaluate("(async () => { while (drawing) await new Promise(setTimeout); })()")
    smiling = as_arrays(edited_faces(generator, [3], {"Smiling": 2}))[0]
    assert np.abs(canvas(opened, ".face >> nth=3 >> canvas") - smiling).max() <= 1


def test_the_wall_has_no_end(opened: Any) -> None:
    for _ in range(3):
        opened.mouse.wheel(0, 20_000)
        opened.wait_for_timeout(300)
    assert opened.locator(".face").count() >= 180
    opened.locator("#first").fill("4000000000")
    opened.locator("#first").press("Enter")
    assert opened.locator(".face").first.get_attribute("aria-label") == "Face 4000000000, enlarge"


def test_the_page_by_keyboard(opened: Any) -> None:
    opened.locator(".face").first.focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        opened.keyboard.press(key)
    opened.locator("#large-title", has_text="Face 2").wait_for()
    opened.keyboard.press("ArrowRight")
    opened.locator("#large-title", has_text="Face 3").wait_for()
    opened.keyboard.press("Escape")
    assert not opened.locator("#large").is_visible()


def test_a_walk_ends_at_the_other_face(opened: Any) -> None:
    opened.locator(".face").first.click()
    opened.locator("#target").fill("7")
    opened.locator("#position").fill("1")
    opened.locator("#large-title", has_text="Face 0 to 7, 100%").wait_for()
    expected = as_arrays(Generator.from_pretrained("full-28").sample(seeds=[7]))[0]
    assert np.abs(canvas(opened, "#large-face") - expected).max() <= 1
    opened.get_by_role("button", name="Play").click()
    opened.get_by_role("button", name="Pause").wait_for()
    opened.get_by_role("button", name="Play").wait_for(timeout=20_000)
    assert opened.locator("#position").input_value() == "1"


def test_a_face_is_saved_as_png(opened: Any) -> None:
    opened.locator(".face").nth(5).click()
    opened.locator("#large-title", has_text="Face 5").wait_for()
    with opened.expect_download() as download:
        opened.get_by_role("button", name="PNG, 28 × 28").click()
    assert download.value.suggested_filename == "full-28-seed-5.png"
    picture = Image.open(io.BytesIO(Path(download.value.path()).read_bytes())).convert("RGB")
    expected = as_arrays(Generator.from_pretrained("full-28").sample(seeds=[5]))[0]
    assert np.abs(np.asarray(picture).astype(int) - expected).max() <= 1
