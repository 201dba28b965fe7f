"""The page of facegan.app: bounded requests, the training that it controls, a real browser."""

import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facegan.core.errors import FaceganError
from facegan.core.images import data_uri, image_uri, to_pil
from facegan.core.paths import CONFIG_PATH
from facegan.core.run_files import read_metrics, thin
from facegan.networks.base import Generator
from facegan.networks.latents import MAX_SEED
from facegan.web import faces, photograph, training
from facegan.web.training import GENERATED, PHOTOGRAPHS, PRESETS, Training


def uri(seed: int, weights: str = "lite-28", truncation: float = 1.0, **walk: Any) -> str:
    """The marked PNG of a face as Python draws it; `walk`: the seeds and the motion of a walk."""
    generator = Generator.from_pretrained(weights)
    facts = generator.provenance(**{"seeds": [seed], "truncation": truncation, **walk})
    return image_uri(generator.sample(seeds=[seed], truncation=truncation)[0], facts=facts)


def uris(html: str) -> list[str]:
    return re.findall('src="([^"]*)"', html)


def seeds_of(html: str) -> list[int]:
    return [int(seed) for seed in re.findall(r'download="seed-(\d+)\.png"', html)]


def test_the_gallery_draws_what_python_draws() -> None:
    html, drawn = faces.draw("lite-28", 5, 0.7)
    assert seeds_of(html) == list(range(5, 5 + faces.FACES))
    assert uris(html)[0] == uri(5, truncation=0.7)
    html, _ = faces.draw("lite-28", 5, 0.7, drawn)
    assert seeds_of(html) == list(range(5, 5 + 2 * faces.FACES))


def test_walks_and_edits_are_faces_in_columns() -> None:
    steps, moving = faces.interpolate("lite-28", "3,7,12", 1.0)
    drawn = uris(steps)
    first, last = (uri(seed, seeds=[3, 7, 12], motion="interpolation") for seed in (3, 12))
    assert (len(drawn), drawn[0], drawn[-1]) == (9, first, last)
    gif = base64.b64decode(uris(moving)[0].partition("base64,")[2])
    assert Image.open(io.BytesIO(gif)).n_frames == 3 * faces.FRAMES
    edited = uris(faces.edit("lite-28", 0, "Smiling", 2, "Young", -1, "", 0))
    assert edited[::2] == [uri(seed) for seed in range(8)]
    assert len(set(edited)) == 16


def test_faces_to_order() -> None:
    seeds = seeds_of(faces.order("lite-28", ["Smiling"], ["Male"], 100, 0.8))
    assert len(seeds) == faces.FACES
    assert min(seeds) >= 100


REFUSED = [
    *((faces.draw, (seed, 1.0), "first seed must be") for seed in (-1, MAX_SEED, None, "0", 0.5)),
    (faces.order, (["Smiling"], [], -1, 1.0), "first seed must be"),
    (faces.order, (["Smiling"], ["Smiling"], 0, 1.0), "either to have or to lack"),
    (faces.order, (["Bald", "Heavy_Makeup", "Wearing_Hat"], [], 0, 1.0), "none of the 960 faces"),
    (faces.edit, (-1,), "first seed must be"),
    *((faces.interpolate, (seeds, 1.0), "seeds") for seeds in ("3", "a,b", "0-6", "3,-1", "")),
    (photograph.project_photograph, (None, False, 50), "choose a photograph"),
    (photograph.project_photograph, (__file__, False, 50), "cannot be read"),
]


@pytest.mark.parametrize(("function", "arguments", "rule"), REFUSED)
def test_a_request_that_cannot_be_met_is_an_error(function: Any, arguments: Any, rule: str) -> None:
    with pytest.raises((FaceganError, ValueError), match=rule):
        function("lite-28", *arguments)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """A face of lite-28 as a file, as large as a photograph."""
    face = Generator.from_pretrained("lite-28").sample(seeds=[70_001])[0]
    to_pil(face, 10, "lanczos").save(tmp_path / "photograph.png")
    return str(tmp_path / "photograph.png")


def test_a_photograph_is_projected_and_edited(photo: str) -> None:
    projected, shown, text = photograph.project_photograph("lite-28", photo, False, 30)
    assert len(uris(shown)) == 2
    assert int(re.findall(r"(\d+)%", text)[0]) < 20
    edited = uris(photograph.edit_projected(projected, "Smiling", 2, "", 0, "", 0))
    assert edited[:2] == uris(shown)
    assert edited[2] != edited[1]


def test_large_files_and_edits_without_a_projection_are_errors(photo: str, monkeypatch) -> None:
    monkeypatch.setattr(photograph, "MAX_BYTES", 5)
    with pytest.raises(FaceganError, match="smaller than"):
        photograph.project_photograph("lite-28", photo, False, 50)
    with pytest.raises(FaceganError, match="project a photograph first"):
        photograph.edit_projected(None)


def test_photographs_are_cropped_as_the_training_images_were(tmp_path: Path) -> None:
    assert photograph.framing("full-64") == (148, "true")
    for data, expected in {
        "{crop: null, align: wide}": (None, "wide"),
        "{crop: 120, align: null}": (120, "true"),
        "{weights: full-28, count: 10}": (108, "true"),
    }.items():
        (tmp_path / "config.yaml").write_text(f"data: {data}")
        assert photograph.framing(str(tmp_path)) == expected


def test_generators_can_be_chosen_once_each_the_newest_run_first(workdir: Path) -> None:
    for age, run in enumerate(("new", "sweeps/first/0", "old")):
        weights = Path("outputs", run, "generator.safetensors")
        weights.parent.mkdir(parents=True)
        weights.touch()
        os.utime(weights, (1e9 - age, 1e9 - age))
    Path("outputs/latest").symlink_to("new", target_is_directory=True)
    Path("outputs/empty").mkdir()
    names = faces.choices(workdir / "outputs")
    assert names[-3:] == ["outputs/new", "outputs/sweeps/first/0", "outputs/old"]
    assert "lite-28" in names[:-3]
    assert "attributes-28" not in names
    assert faces.relative(Path("/elsewhere/run")) == "/elsewhere/run"


def test_metrics_are_sorted_and_damaged_lines_skipped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path).entries == []
    path.write_text('{"images": 2, "loss": NaN}\n[1]\n{"images": 1, "loss": 3}\n{"images": 9, "')
    assert read_metrics(path).entries == [{"images": 1, "loss": 3}, {"images": 2}]


@pytest.mark.parametrize("count", [0, 1, 300, 301, 1000])
def test_thinned_curves_have_the_newest_point(count: int) -> None:
    points = thin(range(count), 300)
    assert min(count, 150) <= len(points) <= 300
    assert not points or points[-1] == count - 1


def test_a_training_is_started_stopped_and_resumed_by_ordinary_commands(
    tmp_path: Path, monkeypatch
) -> None:
    script = "import sys, time; print(sys.argv[1:], flush=True); time.sleep(600)"
    monkeypatch.setattr(training, "COMMAND", ["-c", script])
    runner = Training(tmp_path, photographs=None)
    with pytest.raises(FaceganError, match="no training was started"):
        runner.resume()
    assert "running" in runner.start(GENERATED, 63)
    assert runner.process is not None
    assert "trainer.max_time=01:03:00" in runner.process.args
    with pytest.raises(FaceganError, match="stop it first"):
        runner.start(GENERATED, 3)
    runner.stop()
    assert runner.process.wait() == -signal.SIGTERM
    runner.resume()
    assert runner.process.args[-1] == f"resume={runner.folder}"
    runner.stop()
    runner.process.wait()


def test_the_page_offers_what_can_be_trained(tmp_path: Path) -> None:
    assert list(Training(tmp_path, None).data) == [GENERATED]
    assert list(Training(tmp_path, tmp_path).data) == [GENERATED, PHOTOGRAPHS]
    configs = (CONFIG_PATH / "experiment/teaching").glob("*.yaml")
    assert {path.stem for path in configs} == {*PRESETS}


# -- the page in a separate process


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `python -m facegan.app`."""
    pytest.importorskip("gradio", reason="needs pip install -e '.[app]'")
    folder = tmp_path_factory.mktemp("app")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-u", "-m", "facegan.app", f"port={port}", f"outputs={folder}"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert any("Running on" in line for line in server.stdout)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def test_the_page_refuses_what_it_does_not_offer(url: str) -> None:
    client = pytest.importorskip("gradio_client").Client(url, verbose=False, download_files=False)
    for endpoint, arguments, rule in (
        ("/draw", ("lite-28", 0, 2.1), "greater than maximum value 2"),
        ("/draw", ("lite-28", -1, 1), "first seed must be a whole number"),
        ("/draw", ("/etc/passwd", 0, 1), "not in the list of choices"),
        ("/walk", ("lite-28", "<b>", 1), "&lt;b&gt;"),
        ("/edit", ("lite-28", 0, "Smiling", 6, "", 0, "", 0), "greater than maximum value 5"),
        ("/start", (PHOTOGRAPHS, 3), "not in the list of choices"),
        ("/start", (GENERATED, 0), "less than minimum value 1"),
    ):
        with pytest.raises(Exception, match=rule):
            client.predict(*arguments, api_name=endpoint)


@pytest.fixture
def tab(browser: Any, url: str) -> Iterator[Any]:
    """The page in Chromium."""
    tab = browser.new_page()
    tab.set_default_timeout(180_000)
    tab.goto(url)
    yield tab
    tab.close()


def test_the_page_draws_faces_in_a_browser(tab: Any) -> None:
    tab.click("#draw")
    tab.wait_for_function(f"document.querySelectorAll('#gallery img').length == {faces.FACES}")
    tab.click("#more")
    tab.wait_for_function(f"document.querySelectorAll('#gallery img').length == {2 * faces.FACES}")
    drawn = uri(5, "full-64")
    assert tab.locator("#gallery img").nth(5).get_attribute("src") == drawn
    with tab.expect_download() as download:
        tab.locator("#gallery a").nth(5).click()
    assert download.value.suggested_filename == "seed-0005.png"
    assert data_uri(Path(download.value.path()).read_bytes()) == drawn


@pytest.mark.slow
def test_a_photograph_is_projected_in_a_browser(tab, photo: str) -> None:
    tab.get_by_role("tab", name="Photograph").click()
    tab.get_by_label("find the face").uncheck()
    tab.set_input_files("#photo input[type=file]", photo)
    tab.locator("#photo img").wait_for()
    tab.click("#project")
    tab.locator("#projected img").first.wait_for()
    assert "of that of an unrelated face" in tab.locator("#distance").inner_text()


@pytest.mark.slow
def test_a_training_is_watched_stopped_and_resumed_in_a_browser(tab: Any) -> None:
    def click(button: str, state: str) -> None:
        tab.click(button)
        value = "document.querySelector('#status textarea').value"
        tab.wait_for_function(f"{value}.includes({state!r})")

    def wait_for_another_grid() -> None:
        before = tab.locator("#live img").get_attribute("src")
        source = "document.querySelector('#live img')?.src"
        tab.wait_for_function(f"({source} ?? {before!r}).endsWith({before!r}) === false")

    tab.get_by_role("tab", name="Training").click()
    tab.get_by_label("what to train").click()
    tab.get_by_role("option", name="healthy").click()
    click("#start", "running")
    tab.locator("#live img").wait_for()
    wait_for_another_grid()
    tab.locator("#curves .vega-embed svg").first.wait_for()
    click("#stop", "ended (code")
    click("#resume", "running")
    wait_for_another_grid()
    click("#stop", "ended (code")
