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
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from facegan.core.errors import FaceganError
from facegan.core.images import data_uri, image_uri, to_pil
from facegan.core.paths import CONFIG_PATH
from facegan.core.pretrained import digest
from facegan.core.provenance import GENERATED as MARK
from facegan.core.run_files import read_metrics, thin
from facegan.data import decode
from facegan.data.framing import framing
from facegan.latent.verification import compare
from facegan.networks.base import Generator
from facegan.networks.dcgan import DCGANGenerator
from facegan.networks.latents import MAX_SEED
from facegan.web import charts, faces, training
from facegan.web.training import GENERATED, HEALTHY, PHOTOGRAPHS, PRESETS, REMEDIES, Training


def uri(seed: int, weights: str = "lite-28", truncation: float = 1.0, **walk: Any) -> str:
    """The marked PNG of a face as Python draws it; `walk`: the seeds and the motion of a walk."""
    generator = Generator.from_pretrained(weights)
    facts = generator.provenance(**{"seeds": [seed], "truncation": truncation, **walk})
    return image_uri(generator.sample(seeds=[seed], truncation=truncation)[0], facts=facts)


def uris(html: str) -> list[str]:
    return re.findall('src="([^"]*)"', html)


def content(uri: str) -> bytes:
    return base64.b64decode(uri.partition("base64,")[2])


def seeds_of(html: str) -> list[int]:
    return [int(seed) for seed in re.findall(r'download="seed-(\d+)\.png"', html)]


def test_the_gallery_draws_what_python_draws() -> None:
    html, drawn = faces.draw("lite-28", 5, 0.7)
    assert seeds_of(html) == list(range(5, 5 + faces.FACES))
    assert uris(html)[0] == uri(5, truncation=0.7)
    html, _ = faces.draw("lite-28", 5, 0.7, drawn)
    assert seeds_of(html) == list(range(5, 5 + 2 * faces.FACES))


def test_walks_and_edits_are_faces_in_columns() -> None:
    steps, moving = faces.interpolate("lite-28", "3, 7 12", 1.0)
    drawn = uris(steps)
    first, last = (uri(seed, seeds=[3, 7, 12], motion="interpolation") for seed in (3, 12))
    assert (len(drawn), drawn[0], drawn[-1]) == (9, first, last)
    (gif,) = map(content, uris(moving))
    assert Image.open(io.BytesIO(gif)).n_frames == 3 * faces.FRAMES
    edited = uris(faces.edit("lite-28", 0, "Smiling", 2, "Young", -1, "", 0))
    assert edited[::2] == [uri(seed) for seed in range(8)]
    assert len(set(edited)) == 16
    assert all(MARK.encode() in file for file in (gif, *map(content, drawn + edited)))


@pytest.mark.parametrize("labels", [False, True])
def test_faces_to_order(labels: bool, tmp_path: Path) -> None:
    name = "lite-28"
    if labels:
        name = str(tmp_path / "generator.safetensors")
        conditional = DCGANGenerator(latent_dim=6, width=8, image_size=8, channels=3)
        conditional.condition_on({"names": ["Smiling", "Male"], "counts": {"+-": 2, "-+": 1}})
        conditional.save_pretrained(name)
    generator = Generator.from_pretrained(name)
    html = faces.order(name, ["Smiling"], ["Male"], 100, 0.8)
    seeds = seeds_of(html)
    assert len(seeds) == faces.FACES
    assert min(seeds) >= 100
    assert (seeds == [*range(100, 100 + faces.FACES)]) == labels
    file = content(uris(html)[3])
    assert compare(file, {digest(generator): generator}) == "the same"
    assert b'facegan:attributes="Smiling,-Male"' in file
    order = {"Smiling": True, "Male": False} if labels else None
    (face,) = generator.sample(seeds=[seeds[3]], truncation=0.8, attributes=order)
    assert torch.equal(pil_to_tensor(Image.open(io.BytesIO(file))), face)
    tabs = pytest.importorskip("facegan.web.tabs")
    rows = tabs.attribute_choices(name)
    assert [row.value for row in rows] == [["Smiling"], [] if labels else ["Eyeglasses"]]
    assert [len(row.choices) for row in rows] == [2, 2] if labels else [40, 40]


REFUSED = [
    *((faces.draw, (seed, 1.0), "first seed must be") for seed in (-1, MAX_SEED, None, "0", 0.5)),
    (faces.order, (["Smiling"], [], -1, 1.0), "first seed must be"),
    (faces.order, ([], [], 0, 1.0), "either to have or to lack"),
    (faces.order, (["Smiling"], ["Smiling"], 0, 1.0), "either to have or to lack"),
    (faces.order, (["Bald", "Heavy_Makeup", "Wearing_Hat"], [], 0, 1.0), "none of the 960 faces"),
    (faces.edit, (-1,), "first seed must be"),
    *((faces.interpolate, (seeds, 1.0), "seeds") for seeds in ("3", "a,b", "0-6", "3,-1", "")),
    (faces.project_photograph, (None, False, 50), "choose a photograph"),
    (faces.project_photograph, (__file__, False, 50), "cannot be read"),
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
    projected, shown, text = faces.project_photograph("lite-28", photo, False, 30)
    assert len(uris(shown)) == 2
    assert int(re.findall(r"(\d+)%", text)[0]) < 20
    edited = uris(faces.edit_projected(projected, "Smiling", 2, "", 0, "", 0))
    assert edited[:2] == uris(shown)
    assert edited[2] != edited[1]


def test_large_files_and_edits_without_a_projection_are_errors(photo: str, monkeypatch) -> None:
    for module, limit, message in (
        (decode, "MAX_MEMORY", "280x280 pixels are too many to decode"),
        (faces, "MAX_BYTES", "smaller than"),
    ):
        monkeypatch.setattr(module, limit, 5)
        for find_face in (False, True):
            with pytest.raises(FaceganError, match=message):
                faces.project_photograph("lite-28", photo, find_face, 50)
    with pytest.raises(FaceganError, match="project a photograph first"):
        faces.edit_projected(None)


def test_photographs_are_cropped_as_the_training_images_were(tmp_path: Path) -> None:
    assert framing("full-64") == (148, "true")
    for data, expected in {
        "{crop: null, align: wide}": (None, "wide"),
        "{crop: 120, align: null}": (120, "true"),
        "{weights: full-28, count: 10}": (108, "true"),
    }.items():
        (tmp_path / "config.yaml").write_text(f"data: {data}")
        assert framing(str(tmp_path)) == expected
    (tmp_path / "config.yaml").write_text(f"data: {{weights: {tmp_path}}}")
    with pytest.raises(FaceganError, match="faces of itself"):
        framing(str(tmp_path))


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


def run_script(monkeypatch, script: str) -> None:
    """Trainings run `script`."""
    monkeypatch.setattr(training, "COMMAND", ["-c", script])


def wait(runner: Training) -> int:
    assert runner.process is not None
    return runner.process.wait()


def test_a_training_is_started_stopped_and_resumed_by_ordinary_commands(
    tmp_path: Path, monkeypatch
) -> None:
    lines = "drawing faces:  45% 9/20\\nepoch 1: 5 images, about 9 s to 1:03:00 of training\\n"
    run_script(monkeypatch, f"import time; print('{lines}', flush=True); time.sleep(600)")
    runner = Training(tmp_path, photographs=None)
    assert "No training yet" in runner.status()
    assert "Starting" in runner.start(GENERATED, 63)
    assert runner.process is not None
    assert "trainer.max_time=01:03:00" in runner.process.args
    with pytest.raises(FaceganError, match="stop it first"):
        runner.start(GENERATED, 3)
    while "Starting" in runner.status():
        pass
    assert runner.status() == f"Training {GENERATED}: drawing faces:  45%"
    (runner.runs[-1] / "metrics.jsonl").write_text('{"images": 5000, "D_loss": 1}')
    assert runner.status() == f"Training {GENERATED}: 5,000 images, about 9 s left"
    runner.stop()
    assert wait(runner) == -signal.SIGTERM
    assert "had not begun" in runner.status()
    (runner.runs[-1] / "config.yaml").touch()
    assert runner.status() == f"Stopped: {GENERATED}. Resume continues from here."
    runner = Training(tmp_path, photographs=None)  # as after a restart
    assert (runner.name, runner.can_be_resumed) == (GENERATED, True)
    runner.resume()
    assert runner.process is not None
    assert runner.process.args[-1] == f"resume={runner.runs[-1]}"
    runner.stop()
    wait(runner)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("print('why'); raise SystemExit(2)", "healthy has ended with an error: why"),
        ("", "finished"),
    ],
)
def test_the_end_of_a_training_is_said(tmp_path, monkeypatch, script: str, status: str) -> None:
    run_script(monkeypatch, script)
    runner = Training(tmp_path, None)
    runner.start(HEALTHY, 1)
    wait(runner)
    assert status in runner.status()


def test_the_remedy_goes_on_from_the_failed_run(tmp_path: Path, monkeypatch) -> None:
    run_script(monkeypatch, "")
    runner = Training(tmp_path, None)
    with pytest.raises(FaceganError, match="train healthy first"):
        runner.start("collapse", 1)
    healthy = tmp_path / "app/2026-11-30_healthy"
    healthy.mkdir(parents=True)
    (healthy / "generator.safetensors").touch()
    runner.start("collapse", 1)
    wait(runner)
    failed = runner.runs[-1]
    (failed / "generator.safetensors").touch()
    runner.remedy()
    wait(runner)
    assert runner.process is not None
    assert [f"experiment=teaching/{HEALTHY}", f"init={failed}"] == runner.process.args[3:5]
    assert runner.runs[:-1] == [healthy, failed]
    assert runner.status().endswith(f"The remedy: the failed weights, with {REMEDIES['collapse']}.")


def test_runs_that_go_on_from_each_other_are_one_curve(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in "ab"]
    for run in runs:
        (run / "samples").mkdir(parents=True)
        (run / "metrics.jsonl").write_text('{"images": 5, "D_loss": 1}\n{"images": 9, "D_loss": 2}')
    assert [entry["images"] for entry in training.metrics(runs)] == [5, 9, 14, 18]
    assert training.grid(runs, 0) is None
    for number, run in enumerate(runs, start=1):
        Image.new("L", (number, 1)).save(run / "samples/epoch-001.png")
    widths = [grid.width for epoch in range(4) if (grid := training.grid(runs, epoch))]
    assert widths == [2, 1, 2, 2]


def test_charts_show_what_a_run_has_logged() -> None:
    entries = [{"images": 0, "D_loss": 1.0}, {"images": 20_000, "frechet_distance": 75.0}]
    entries.append({"images": 40_000, "frechet_distance": 300.0})
    distance, logits, losses, _ = charts.CHARTS
    assert charts.draw(logits, entries, entries) == ""
    assert charts.draw(distance, [], entries) == ""  # the healthy run's alone would be mistaken
    html = charts.draw(distance, entries, entries[:2])
    curves = re.findall(r'<polyline class="(\w+)" points="([^"]*)"', html)
    assert curves == [
        ("healthy", "214.0,146.0 214.0,146.0"),
        ("frechet_distance", "214.0,146.0 388.0,26.0"),
    ]
    assert re.findall(r'class="[xy]"[^>]*>(\w+)<', html) == [
        *("0", "100", "200", "300"),
        *("0", "10k", "20k", "30k", "40k", "images"),
    ]
    assert "NaN" not in charts.draw(losses, [{"images": 5, "D_loss": 0.0}], [])


def test_the_page_offers_what_can_be_trained(tmp_path: Path) -> None:
    assert list(Training(tmp_path, None).data) == [GENERATED]
    assert list(Training(tmp_path, tmp_path).data) == [GENERATED, PHOTOGRAPHS]
    configs = (CONFIG_PATH / "experiment/teaching").glob("*.yaml")
    assert {path.stem for path in configs} == {*PRESETS}


@pytest.mark.parametrize(
    ("status", "method", "headers"),
    [
        (None, "GET", {"host": "127.0.0.1:7860"}),
        (None, "GET", {"host": "[::1]:7860", "origin": "http://[::1]:7860"}),
        (None, "POST", {"host": "faces", "origin": "https://faces", "content-length": "9"}),
        (421, "GET", {"host": "evil.example"}),
        (421, "GET", {"host": "[evil"}),
        (421, "GET", {}),
        (403, "GET", {"host": "localhost:7860", "origin": "http://localhost:1"}),
        (403, "GET", {"host": "localhost", "origin": "null"}),
        (411, "POST", {"host": "localhost"}),
        (413, "POST", {"host": "localhost", "content-length": "20000000"}),
    ],
)
def test_only_requests_of_the_page_itself_are_answered(status, method, headers) -> None:
    guard = pytest.importorskip("facegan.web.guard")
    refused = guard.refusal(method, guard.Headers(headers), "faces")
    assert (refused and refused[0]) == status


def test_the_oldest_uploads_are_removed(tmp_path: Path) -> None:
    guard = pytest.importorskip("facegan.web.guard")
    for age, name in enumerate("cba"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "upload").write_bytes(bytes(4))
        os.utime(tmp_path / name / "upload", (age, age))
    guard.remove_oldest(tmp_path, 8)
    assert {path.parent.name for path in tmp_path.rglob("upload")} == {"a", "b"}


def test_the_report_of_a_run_runs_no_scripts(tmp_path: Path) -> None:
    tabs = pytest.importorskip("facegan.web.tabs")
    assert "<iframe" not in tabs.report(str(tmp_path))
    (tmp_path / "evaluation.html").write_text('"><script>alert(1)</script>')
    assert tabs.report(str(tmp_path)).startswith("<iframe sandbox ")
    assert "<script" not in tabs.report(str(tmp_path))


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
    (folder / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "temporary")}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert any("Running on" in line for line in server.stdout)
        yield f"http://127.0.0.1:{port}"
        uploads = [*folder.glob("temporary/facegan-app-*/*/a")]
        server.terminate()
        server.wait()
    assert not any(path.exists() for path in uploads)


def post(url: str, **headers: str) -> int:
    """The status of an upload."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\na\r\n--b--\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    request = Request(f"{url}/gradio_api/upload", body, {**kind, **headers})
    try:
        with urlopen(request) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def test_pages_elsewhere_cannot_use_the_app(url: str) -> None:
    assert post(url) == 200
    assert post(url, Origin=url) == 200
    assert post(url, Origin="http://evil.example") == 403
    assert post(url, Host="evil.example") == 421


def test_the_page_refuses_what_it_does_not_offer(url: str) -> None:
    client = pytest.importorskip("gradio_client").Client(url, verbose=False, download_files=False)
    for endpoint, arguments, rule in (
        ("/draw", ("lite-28", 0, 2.1), "greater than maximum value 2"),
        ("/draw", ("lite-28", -1, 1), "first seed must be a whole number"),
        ("/edit", ("lite-28", 1.5, "Smiling", 2, "", 0, "", 0), "a whole number .* got 1.5"),
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
        tab.wait_for_function(f"document.querySelector('#status').innerText.includes({state!r})")

    def wait_for_another_grid() -> None:
        before = tab.locator("#live img").get_attribute("src")
        source = "document.querySelector('#live img')?.src"
        tab.wait_for_function(f"({source} ?? {before!r}).endsWith({before!r}) === false")

    tab.get_by_role("tab", name="Training").click()
    click("#start", "Training healthy")
    tab.locator("#live img").wait_for()
    wait_for_another_grid()
    tab.locator(".chart svg").first.wait_for()
    click("#stop", "Stopped")
    click("#resume", "Training healthy")
    wait_for_another_grid()
    click("#stop", "Stopped")
