"""The page of facegan.app: bounded requests, the training that it controls, a real browser."""

import importlib.util
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from facegan.errors import FaceganError
from facegan.networks.base import Generator
from facegan.web import faces, training
from facegan.web.curves import chart, curves_html
from facegan.web.training import GENERATED, PHOTOGRAPHS, PRESETS, Training

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_app_and_browser = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None or CHROMIUM is None,
    reason="needs Gradio (pip install 'facegan[app]') and Chromium (apt-get install chromium)",
)


def test_the_gallery_draws_what_python_draws() -> None:
    drawn = faces.gallery("lite-28", 5, 0.7)
    assert [label for _, label in drawn] == [str(seed) for seed in range(5, 5 + faces.FACES)]
    image = Generator.from_pretrained("lite-28").sample(seeds=[5], truncation=0.7)[0]
    pixels = list(drawn[0][0].resize((28, 28), Image.Resampling.NEAREST).tobytes())
    assert pixels == image.permute(1, 2, 0).flatten().tolist()


@pytest.mark.parametrize(
    ("seed", "truncation"), [(-1, 1), (2**32, 1), (None, 1), (0, 3), (0, float("nan")), ("0", 1)]
)
def test_a_request_out_of_bounds_is_an_error(seed, truncation) -> None:
    with pytest.raises(FaceganError, match="must be a number from"):
        faces.gallery("lite-28", seed, truncation)


def test_interpolations_and_edits_are_pictures_of_known_size() -> None:
    assert faces.interpolation("lite-28", 3, 7, 1.0).size == (9 * 29 * 4 - 4, 112)
    assert faces.edit("lite-28", 0, "Smiling", 2).size == (8 * 29 * 4 - 4, 57 * 4)


def test_bundled_generators_can_be_chosen_and_classifiers_cannot(tmp_path: Path) -> None:
    names = faces.choices(tmp_path)
    assert "lite-28" in names
    assert "attributes-28" not in names


def test_curves_have_the_newest_point_and_escape_names(tmp_path: Path) -> None:
    entries = [{"images": float(i), "<b>": float(i)} for i in range(1000)]
    svg = chart("t", entries, ["<b>"])
    assert "&lt;b&gt;" in svg
    assert "999 images" in svg
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"images": 1, "D_loss": 2}) + "\n")
    assert "D_loss" in curves_html(tmp_path)


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


@pytest.mark.slow
@needs_app_and_browser
def test_the_page_draws_faces_in_a_browser(url: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.set_default_timeout(120_000)
        tab.goto(url)
        tab.click("#draw")
        playwright.expect(tab.locator("#gallery img")).to_have_count(faces.FACES, timeout=120_000)
        tab.click("#more")
        playwright.expect(tab.locator("#gallery img")).to_have_count(
            2 * faces.FACES, timeout=120_000
        )
        browser.close()
