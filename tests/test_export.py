"""The ONNX model, and the web page in a real browser: the same faces as in Python."""

import gzip
import hashlib
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
from conftest import REPOSITORY, Cli, edited_faces
from torch import Tensor

from facegan import Generator, face_png
from facegan.core.errors import FaceganError
from facegan.core.images import open_image
from facegan.core.provenance import PNG_KEY, Provenance
from facegan.deployment import page
from facegan.latent.interpolation import slerp
from facegan.networks.dcgan import DCGANGenerator
from facegan.networks.labels import LabelTable
from facegan.networks.latents import latents
from facegan.networks.residual import ResidualGenerator

NODE = shutil.which("node")
SCRIPTS = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs")  # of onnxruntime-web
TITLE = "title=The Smiths & Co, 2024"
SEEDS = [0, 7, 100_000, 2**31, 2**32 - 1]


def in_node(code: str) -> Any:
    """The value of a JavaScript expression, by Node.js, with the page's latents.js loaded."""
    if NODE is None:
        pytest.skip("needs node (apt-get install nodejs)")
    source = (page.STATIC / "latents.js").read_text() + f"\nconsole.log(JSON.stringify({code}));"
    result = subprocess.run([NODE, "-e", source], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_latents_in_javascript_are_those_of_torch() -> None:
    sizes, seeds = [1, 5, 15, 16, 17, 64, 100], [*range(200), *SEEDS]
    drawn = in_node(f"{sizes}.map((size) => {seeds}.map((seed) => [...latentOfSeed(seed, size)]))")
    for size, z in zip(sizes, drawn, strict=True):
        torch.testing.assert_close(torch.tensor(z), latents(seeds, size), rtol=0, atol=1e-6)


def test_labels_in_javascript_are_those_of_python() -> None:
    signs = np.random.default_rng(0).choice([-1, 0, 1], (3000, 3), p=[0.45, 0.1, 0.45])
    table, seeds = LabelTable.of(("a", "b", "c"), signs.tolist()), [*range(100), *SEEDS]
    for order in ({}, {"b": True}, {"c": False, "a": True}):
        code = f"labelsOfSeed(seed, {json.dumps(table.config)}, {json.dumps(order)})"
        drawn = in_node(f"{seeds}.map((seed) => [...{code}])")
        assert drawn == table.draw(seeds, order).tolist()


def test_walks_in_javascript_are_those_of_python() -> None:
    start, end = latents([3, 7], 64)
    code = "[0, 0.3, 1].map((t) => [...slerp(latentOfSeed(3, 64), latentOfSeed(7, 64), t)])"
    expected = slerp(start.expand(3, -1), end.expand(3, -1), torch.tensor([[0], [0.3], [1]]))
    torch.testing.assert_close(torch.tensor(in_node(code)), expected, rtol=0, atol=2e-6)
    assert in_node("[...slerp(new Float32Array(2), new Float32Array(2), 0.5)]") == [0, 0]


def test_the_runtime_is_that_of_npm() -> None:
    readme = (page.RUNTIME / "README.md").read_text()
    digests = dict(re.findall(r"`([\w.-]+)`.*?\| `([0-9a-f]{64})`", readme))
    files = {name: (page.RUNTIME / name).read_bytes() for name in SCRIPTS}
    wasm = (page.RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes()
    files["ort-wasm-simd-threaded.wasm"] = gzip.decompress(wasm)
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == digests
    assert f'"{page.RUNTIME_VERSION}"'.encode() in files[SCRIPTS[0]]


def tiny(**arguments: Any) -> Generator:
    torch.manual_seed(0)
    return DCGANGenerator(latent_dim=20, width=8, image_size=8, **arguments).eval()


def conditional() -> Generator:
    generator = tiny()
    generator.condition_on({"names": ["Male", "Smiling"], "counts": {"+-": 30, "-+": 20, "--": 1}})
    return generator


@pytest.mark.slow
@pytest.mark.parametrize(
    "generator",
    [
        pytest.param(tiny(channels=1), id="grey"),
        pytest.param(tiny(norm="none", modulated=True), id="modulated"),
        pytest.param(ResidualGenerator(20, width=16, blocks=1, image_size=8), id="residual"),
        pytest.param(conditional(), id="conditional"),
    ],
)
def test_onnx_models_draw_what_torch_draws(generator: Generator) -> None:
    onnx_model = pytest.importorskip("facegan.deployment.onnx_model", exc_type=ImportError)
    model = onnx_model.to_onnx(generator, {"name": "tiny", "license": "none"})
    assert onnx_model.largest_difference(model.SerializeToString(), generator) <= 1
    assert {prop.key: prop.value for prop in model.metadata_props}["name"] == "tiny"
    assert str(Path.home()) not in str(model)
    other = conditional() if generator.labels else tiny(channels=generator.channels)
    torch.nn.init.normal_(other.layers[0].weight)
    with pytest.raises(FaceganError, match="the ONNX model and torch differ by"):
        onnx_model.largest_difference(model.SerializeToString(), other)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, cli) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "facegan.deployment.onnx_model", raising=False)
    assert "facegan.export needs onnx: pip install -e '.[export]'" in cli.refusal("export")
    assert not Path("outputs/export").exists()


# -- the page, as a user exports it, in Chromium


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("facegan.deployment.onnx_model", exc_type=ImportError)
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-W", "error", "-m", "facegan.export", f"out={out}", TITLE]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=out)
    assert "<h1>The Smiths &amp; Co, 2024 <small>synthetic" in (out / "index.html").read_text()
    assert re.search(r"^.*\n.*\n.*between ONNX Runtime and torch: [01]/255\n$", result.stdout)
    return out


@pytest.fixture(scope="module")
def tab(browser: Any, site: Path) -> Iterator[Any]:
    """The page, opened from the disk, when the first face has been drawn."""
    tab = browser.new_page(viewport={"width": 900, "height": 700})
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda message: message.type == "error" and problems.append(message.text))
    tab.on("request", lambda request: problems.append(request.url))
    tab.goto((site / "index.html").as_uri())
    tab.locator("#status", has_text="faces per second").wait_for(timeout=120_000)
    yield tab
    tab.close()
    assert problems == [(site / "index.html").as_uri()]  # no error, and no other request


@pytest.fixture
def opened(tab: Any) -> Any:
    """The page with the faces of the first seeds, and its sliders as at the start."""
    tab.keyboard.press("Escape")
    tab.locator("#reset").click()
    start_at(tab, 0)
    return tab


def start_at(tab: Any, seed: int) -> None:
    tab.locator("#first").fill(str(seed))
    tab.locator("#first").press("Enter")
    wait_until_drawn(tab)


def wait_until_drawn(tab: Any) -> None:
    tab.evaluate("(async () => { while (drawing) await new Promise(setTimeout); })()")


def test_the_page_is_small_and_names_its_licences(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in site.iterdir()) < 12_000_000
    assert {path.name for path in site.iterdir()} == {"index.html", "generator.onnx"}
    assert all(words in text for words in ("non-commercial research only", "Microsoft Corporation"))
    assert not re.search(r"<(a|img|link|script)[^>]*(href|src)=.?https?:", text)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained("full-28")


def assert_drawn(pixels: Any, faces: Tensor) -> None:
    """Pixels (…, H, W, 3) are those of Python's faces, (N, 3, H, W), within one level."""
    expected = faces.permute(0, 2, 3, 1).numpy().astype(int)
    assert np.abs(np.array(pixels, dtype=int).reshape(expected.shape) - expected).max() <= 1


def assert_shows(tab: Any, canvas: str, faces: Tensor) -> None:
    pixels = tab.locator(canvas).evaluate(
        "(it) => [...it.getContext('2d').getImageData(0, 0, it.width, it.height).data]"
    )
    assert_drawn(np.array(pixels).reshape(28, 28, 4)[:, :, :3], faces)


def test_the_browser_draws_the_faces_of_python(opened: Any, generator: Generator) -> None:
    edits = {"Smiling": 2.0, "Young": -1.0}
    how = json.dumps({"truncation": 0.7, "edits": edits})
    drawn = opened.evaluate(f"facegan.draw({SEEDS}, {how}).then((a) => [...a])")
    assert_drawn(drawn, edited_faces(generator, SEEDS, edits, 0.7))
    drawn = opened.evaluate(f"facegan.draw({SEEDS}, {{truncation: 0.7}}).then((a) => [...a])")
    assert_drawn(drawn, generator.sample(seeds=SEEDS, truncation=0.7))


def test_wall_sliders_and_enlargement(opened: Any, generator: Generator) -> None:
    plain = generator.sample(seeds=[3], truncation=0.7)
    assert_shows(opened, ".face >> nth=3 >> canvas", plain)
    opened.get_by_role("button", name="Face 3, enlarge").click()
    opened.locator("#large-title", has_text="Face 3").wait_for()
    assert_shows(opened, "#large-face", plain)
    opened.keyboard.press("Escape")
    opened.get_by_label("Smiling", exact=True).fill("2")
    wait_until_drawn(opened)
    smiling = edited_faces(generator, [3], {"Smiling": 2}, 0.7)
    assert_shows(opened, ".face >> nth=3 >> canvas", smiling)


def test_the_wall_has_no_end(opened: Any) -> None:
    for count in (120, 180):
        opened.evaluate("scrollTo(0, document.body.scrollHeight)")
        opened.locator(f".face >> nth={count - 1}").wait_for(state="attached")
    start_at(opened, 4_000_000_000)
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


def test_a_walk_ends_at_the_other_face(opened: Any, generator: Generator) -> None:
    opened.locator(".face").first.click()
    opened.locator("#target").fill("7")
    opened.locator("#position").fill("1")
    opened.locator("#large-title", has_text="Face 0 to 7, 100%").wait_for()
    assert_shows(opened, "#large-face", generator.sample(seeds=[7], truncation=0.7))
    opened.get_by_role("button", name="Play").click()
    opened.get_by_role("button", name="Pause").wait_for()
    opened.get_by_role("button", name="Play").wait_for(timeout=20_000)
    assert opened.locator("#position").input_value() == "1"


@pytest.mark.parametrize(
    ("button", "pixels", "facts", "code"),
    [
        ("PNG, 28 × 28", False, {"motion": "", "upscale": 1}, 0),
        ("PNG, enlarged", True, {"motion": "", "upscale": 16}, 0),
        ("PNG, enlarged", False, {"motion": "smoothed", "upscale": 16}, 1),
    ],
)
def test_a_face_is_saved_as_marked_png(opened: Any, cli, button, pixels, facts, code) -> None:
    opened.locator("#pixels").set_checked(pixels)
    opened.get_by_role("slider", name="Smiling").fill("2")
    wait_until_drawn(opened)
    opened.locator(".face").nth(5).click()
    opened.locator("#large-title", has_text="Face 5").wait_for()
    with opened.expect_download() as download:
        opened.get_by_role("button", name=button, exact=True).click()
    assert download.value.suggested_filename == "full-28-seed-5.png"
    file = str(download.value.path())
    mark = Provenance.from_xmp(open_image(file).info[PNG_KEY])
    expected = {"seeds": "5", "truncation": 0.7, "edit": "Smiling:2", **facts}
    assert expected.items() <= vars(mark).items()
    assert "non-commercial" in mark.license
    assert cli("verify", file).code == code


def example(name: str) -> str:
    """A program of docs/serving.md, for the weights of these tests."""
    return (REPOSITORY / "examples" / name).read_text("utf-8").replace("full-64", "full-28")


def assert_is_seed_7(path: Path, generator: Generator) -> None:
    assert_drawn(open_image(path), generator.sample(seeds=[7]))


def test_python_without_torch_draws_the_face(site: Path, workdir: Path, cli: Cli) -> None:
    shutil.copy(site / "generator.onnx", workdir)
    code = "import sys\nsys.modules['torch'] = None\n" + example("serve_onnx.py")
    subprocess.run([sys.executable, "-c", code], check=True)
    mark = Provenance.from_xmp(open_image("seed-7.png").info[PNG_KEY])
    assert mark is not None
    assert (mark.seeds, mark.truncation, mark.upscale, mark.filter) == ("7", 0.7, 4, "lanczos")
    assert "non-commercial" in mark.license
    cli.ok("verify", "seed-7.png")


@pytest.mark.parametrize("order", [{}, {"Male": False, "Eyeglasses": True}])
def test_python_without_torch_draws_orders(
    ordered_site: Path, workdir: Path, cli: Cli, order: dict[str, bool]
) -> None:
    shutil.copy(ordered_site / "generator.onnx", workdir)
    code = example("serve_onnx.py").replace("ORDER = {}", f"ORDER = {order}")
    subprocess.run([sys.executable, "-c", code], check=True)
    cli.ok("verify", "seed-7.png")


@pytest.fixture(scope="module")
def ordered_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    onnx_model = pytest.importorskip("facegan.deployment.onnx_model", exc_type=ImportError)
    model = onnx_model.to_onnx(Generator.from_pretrained("labels-28"), {"license": "none"})
    out = tmp_path_factory.mktemp("ordered")
    (out / "generator.onnx").write_bytes(model.SerializeToString())
    return out


def test_node_draws_the_face(site: Path, workdir: Path, generator: Generator) -> None:
    if NODE is None:
        pytest.skip("needs node (apt-get install nodejs)")
    for file in (site / "generator.onnx", page.STATIC / "latents.js"):
        shutil.copy(file, workdir)
    package = workdir / "node_modules" / "onnxruntime-web"  # as npm would install it
    shutil.copytree(page.RUNTIME, package)
    (package / "ort.wasm.min.js").rename(package / "index.js")
    wasm = "ort-wasm-simd-threaded.wasm"
    (package / wasm).write_bytes(gzip.decompress((package / f"{wasm}.gz").read_bytes()))
    subprocess.run([NODE, "-e", example("serve_onnx.js")], check=True)
    assert_is_seed_7(workdir / "seed-7.ppm", generator)


def test_fastapi_serves_the_face(workdir: Path, cli) -> None:
    testclient = pytest.importorskip("fastapi.testclient", reason="pip install fastapi httpx")
    names: dict[str, Any] = {"__name__": "faces"}
    exec(example("serve_fastapi.py"), names)
    client = testclient.TestClient(names["app"])
    answers = [client.get(f"/faces/{name}.png") for name in ("7", "user-42")]
    assert answers[0].content == face_png("7", weights="full-28") != answers[1].content
    for answer in answers:
        assert answer.headers["content-type"] == "image/png"
        assert "immutable" in answer.headers["cache-control"]
        (workdir / "face.png").write_bytes(answer.content)
        assert cli("verify", "face.png").out == "face.png: the same\n"


def test_choices_of_labels_draw_the_faces_of_python(browser: Any, cli: Cli) -> None:
    pytest.importorskip("facegan.deployment.onnx_model", exc_type=ImportError)
    generator = conditional()
    generator.save_pretrained("generator.safetensors")
    cli.ok("export", "weights=generator.safetensors", "out=site")
    tab = browser.new_page(viewport={"width": 390, "height": 800})
    tab.goto(Path("site/index.html").resolve().as_uri())
    tab.locator("#status", has_text="faces per second").wait_for(timeout=120_000)
    tab.locator("summary", has_text="Controls").click()
    tab.locator("#labels select").nth(1).select_option("yes")
    assert tab.evaluate("settings.order") == {"Smiling": True}
    drawn = tab.evaluate(f"facegan.draw({SEEDS}).then((a) => [...a])")
    tab.close()
    assert_drawn(drawn, generator.sample(seeds=SEEDS, attributes={"Smiling": True}))
