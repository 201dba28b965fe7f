"""The page of facegan.app: bounded requests, the training that it controls, a real browser."""

import base64
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from facegan.core.errors import FaceganError
from facegan.core.images import to_pil
from facegan.networks.base import Generator
from facegan.web import faces, photograph, training
from facegan.web.curves import chart, curves_html
from facegan.web.markup import tiles
from facegan.web.training import GENERATED, PHOTOGRAPHS, PRESETS, Training

PATIENCE = 180_000  # milliseconds
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_app_and_browser = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None or CHROMIUM is None,
    reason="needs Gradio (pip install -e '.[app]') and Chromium (apt-get install chromium)",
)


def decoded(uri: str) -> Image.Image:
    """The picture that a data URI holds."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def pictures(html: str) -> list[bytes]:
    """The pixels of the pictures of some HTML."""
    return [decoded(uri).tobytes() for uri in re.findall('src="(data:[^"]*)"', html)]


def pixels_of(seed: int, **options: Any) -> bytes:
    """Of a face as Python draws it."""
    return to_pil(Generator.from_pretrained("lite-28").sample(seeds=[seed], **options)[0]).tobytes()


def test_the_gallery_draws_what_python_draws() -> None:
    drawn = faces.gallery("lite-28", 5, 0.7)
    assert [seed for _, seed in drawn] == list(range(5, 5 + faces.FACES))
    image = Generator.from_pretrained("lite-28").sample(seeds=[5], truncation=0.7)[0]
    with decoded(drawn[0][0]) as picture:
        assert list(picture.tobytes()) == image.permute(1, 2, 0).flatten().tolist()


@pytest.mark.parametrize(
    ("seed", "truncation"), [(-1, 1), (2**32, 1), (None, 1), (0, 3), (0, float("nan")), ("0", 1)]
)
def test_a_request_out_of_bounds_is_an_error(seed, truncation) -> None:
    with pytest.raises(FaceganError, match="must be a number from"):
        faces.gallery("lite-28", seed, truncation)


def test_walks_and_edits_are_faces_in_columns() -> None:
    steps, moving = faces.interpolation("lite-28", "3,7,12", 1.0)
    drawn = pictures(steps)
    assert len(drawn) == 9
    assert (drawn[0], drawn[-1]) == (pixels_of(3), pixels_of(12))
    with decoded(moving.rstrip('">')) as picture:
        assert picture.n_frames == 3 * faces.FRAMES
    edited = pictures(faces.edit("lite-28", 0, "Smiling", 2, "Young", -1, "", 0))
    assert edited[::2] == [pixels_of(seed) for seed in range(8)]
    assert len(set(edited)) == 16


def test_faces_are_tiles_with_a_link_to_their_file_and_close_by_escape() -> None:
    text = tiles([("data:image/png;base64,AAAA", 7)])
    assert 'download="seed-0007.png"' in text
    assert "Escape" in text


@pytest.mark.parametrize("seeds", ["3", "a,b", "0-6", "3,-1", ""])
def test_a_walk_out_of_bounds_is_an_error(seeds: str) -> None:
    with pytest.raises(FaceganError):
        faces.walk_seeds(seeds)


def test_faces_to_order() -> None:
    ordered = faces.order("lite-28", ["Smiling"], ["Male"], 100, 0.8)
    assert len(ordered) == faces.FACES
    assert all(seed >= 100 for _, seed in ordered)
    with pytest.raises(FaceganError, match="either to have or to lack"):
        faces.order("lite-28", ["Smiling"], ["Smiling"], 0, 1)
    with pytest.raises(FaceganError, match="none of the 960 faces"):
        faces.order("lite-28", ["Bald", "Heavy_Makeup", "Wearing_Hat"], [], 0, 1)


def drawn_photograph(folder: Path, seed: int) -> Path:
    """A face of lite-28 as a file, as large as a photograph."""
    path = folder / "photograph.png"
    to_pil(Generator.from_pretrained("lite-28").sample(seeds=[seed])[0], 10, "lanczos").save(path)
    return path


def test_a_photograph_is_projected_and_edited(tmp_path: Path) -> None:
    path = drawn_photograph(tmp_path, 70_001)
    projected, shown, text = photograph.project_photograph("lite-28", str(path), False, 50)
    assert len(pictures(shown)) == 2
    assert int(re.findall(r"(\d+)%", text)[0]) < 20
    edited = photograph.edit_projected(projected, "Smiling", 2, "", 0, "", 0)
    assert pictures(edited)[:2] == pictures(shown)
    assert pictures(edited)[2] != pictures(shown)[1]


def test_what_is_no_usable_photograph(tmp_path: Path, monkeypatch) -> None:
    text = tmp_path / "text.png"
    text.write_text("no photograph")
    with pytest.raises(FaceganError, match="cannot be read"):
        photograph.project_photograph("lite-28", str(text), False, 50)
    with pytest.raises(FaceganError, match="choose a photograph"):
        photograph.project_photograph("lite-28", None, False, 50)
    with pytest.raises(FaceganError, match="steps must be"):
        photograph.project_photograph("lite-28", str(text), False, 10_000)
    with pytest.raises(FaceganError, match="project a photograph first"):
        photograph.edit_projected(None)
    monkeypatch.setattr(photograph, "MAX_BYTES", 5)
    with pytest.raises(FaceganError, match="smaller than"):
        photograph.read_face(text, "lite-28", find_face=False)


def test_photographs_are_cropped_as_the_training_images_were(tmp_path: Path) -> None:
    assert photograph.framing("full-64") == (148, "true")
    for data, expected in {
        "{crop: null, align: wide}": (None, "wide"),
        "{crop: 120, align: null}": (120, "true"),
        "{weights: full-28, count: 10}": (108, "true"),
    }.items():
        (tmp_path / "config.yaml").write_text(f"data: {data}")
        assert photograph.framing(str(tmp_path)) == expected


def test_bundled_generators_can_be_chosen_and_classifiers_cannot(tmp_path: Path) -> None:
    names = faces.choices(tmp_path)
    assert "lite-28" in names
    assert "attributes-28" not in names


def test_runs_and_sweeps_can_be_chosen_once_each_the_newest_first(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for age, run in enumerate(("new", "sweeps/first/0", "old")):
        weights = Path("outputs", run, "generator.safetensors")
        weights.parent.mkdir(parents=True)
        weights.touch()
        os.utime(weights, (1e9 - age, 1e9 - age))
    Path("outputs/latest").symlink_to("new", target_is_directory=True)
    Path("outputs/empty").mkdir()
    runs = [name for name in faces.choices(tmp_path / "outputs") if "/" in name]
    assert runs == ["outputs/new", "outputs/sweeps/first/0", "outputs/old"]
    assert faces.relative(Path("/elsewhere/run")) == "/elsewhere/run"


def test_curves_have_the_newest_point_and_escape_names(tmp_path: Path) -> None:
    entries = [{"images": float(i), "<b>": float(i)} for i in range(1000)]
    svg = chart("t", entries, ["<b>"])
    assert "&lt;b&gt;" in svg
    assert "999 images" in svg
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"images": 1, "D_loss": 2}) + "\n")
    assert "D_loss" in curves_html(tmp_path)
    assert "Fréchet" not in curves_html(tmp_path)  # nothing is measured yet


def test_a_training_is_started_stopped_and_resumed_by_ordinary_commands(
    tmp_path: Path, monkeypatch
) -> None:
    script = "import sys, time; print(sys.argv[1:], flush=True); time.sleep(600)"
    monkeypatch.setattr(training, "COMMAND", ["-c", script])
    runner = Training(tmp_path, photographs=None)
    with pytest.raises(FaceganError, match="no training was started"):
        runner.resume()
    runner.start(GENERATED, 3)
    with pytest.raises(FaceganError, match="stop it first"):
        runner.start(GENERATED, 3)
    runner.stop()
    assert runner.process is not None
    assert runner.process.wait() == -signal.SIGTERM
    runner.resume()
    assert runner.process.args[-1] == f"resume={runner.folder}"
    runner.stop()
    runner.process.wait()


def test_photographs_can_be_trained_on_only_where_the_command_names_them(tmp_path: Path) -> None:
    assert PHOTOGRAPHS not in Training(tmp_path, None).names
    with pytest.raises(FaceganError, match="is none of"):
        Training(tmp_path, None).start(PHOTOGRAPHS, 3)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_teaching_preset_composes(preset: str, compose) -> None:
    assert compose("train", f"experiment=teaching/{preset}").sample_every == 3


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of `python -m facegan.app` in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "facegan.app", f"port={port}", f"outputs={tmp_path}"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on port {port}")


@pytest.fixture
def tab(url: str) -> Iterator[Any]:
    """The page in Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.set_default_timeout(PATIENCE)
        tab.goto(url)
        yield tab
        browser.close()


@needs_app_and_browser
def test_the_page_draws_faces_in_a_browser(tab) -> None:
    tab.click("#draw")
    images = tab.locator("#gallery img")
    tab.wait_for_function(f"document.querySelectorAll('#gallery img').length == {faces.FACES}")
    tab.click("#more")
    tab.wait_for_function(f"document.querySelectorAll('#gallery img').length == {2 * faces.FACES}")
    with decoded(images.nth(5).get_attribute("src")) as picture:
        pixels = torch.from_numpy(np.array(picture))
    drawn = Generator.from_pretrained("full-64").sample(seeds=[5])[0].permute(1, 2, 0)
    assert torch.equal(pixels, drawn)
    with tab.expect_download() as download:
        tab.locator("#gallery a").nth(5).click()
    assert download.value.suggested_filename == "seed-0005.png"
    with Image.open(download.value.path()) as picture:
        assert torch.equal(torch.from_numpy(np.array(picture)), drawn)


@pytest.mark.slow
@needs_app_and_browser
def test_a_photograph_is_projected_in_a_browser(tab, tmp_path: Path) -> None:
    tab.get_by_role("tab", name="Photograph").click()
    tab.get_by_label("find the face").uncheck()
    tab.set_input_files("#photo input[type=file]", drawn_photograph(tmp_path, 7))
    tab.locator("#photo img").wait_for()
    tab.click("#project")
    tab.locator("#projected img").first.wait_for()
    assert "of that of an unrelated face" in tab.locator("#distance").inner_text()


@pytest.mark.slow
@needs_app_and_browser
def test_a_training_is_watched_stopped_and_resumed_in_a_browser(tab) -> None:
    def source() -> str:
        return tab.locator("#live img").get_attribute("src")

    def status(text: str) -> None:
        tab.wait_for_function(
            f"document.querySelector('#status textarea').value.includes('{text}')"
        )

    def changes(before: str) -> None:
        tab.wait_for_function(
            f"document.querySelector('#live img')?.src.endsWith({before!r}) === false"
        )

    tab.get_by_role("tab", name="Training").click()
    tab.get_by_label("what to train").click()
    tab.get_by_role("option", name="healthy").click()
    tab.click("#start")
    status("running")
    tab.locator("#live img").wait_for()
    changes(source())
    tab.locator("#curves polyline").first.wait_for()
    tab.click("#stop")
    status("ended (code")
    stopped = source()
    tab.click("#resume")
    status("running")
    changes(stopped)
    tab.click("#stop")
    status("ended (code")
