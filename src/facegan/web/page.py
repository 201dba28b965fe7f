"""The page: tabs for faces, for the evaluation report and for a training to watch."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.images import open_image
from facegan.web.curves import curves_html
from facegan.web.faces import choices
from facegan.web.tabs import (
    DEFAULT_WEIGHTS,
    edit_tab,
    faces_tab,
    guarded,
    order_tab,
    photograph_tab,
    walk_tab,
)
from facegan.web.training import PRESETS, Training

TICK = 2.0  # seconds between two looks at the training
CONCURRENT = 16  # requests that are worked on at once
CACHE = (600, 3600)  # seconds between two looks for uploads and pictures, and of their lives
WAITING = 64  # requests that may wait


def build_page(outputs: Path, training: Training) -> Any:
    """The Gradio Blocks. Raises FaceganError where Gradio is not installed."""
    gr = import_gradio()
    with gr.Blocks(title="facegan", analytics_enabled=False, delete_cache=CACHE) as page:
        gr.Markdown("# facegan\nAll faces are synthetic, except in photographs that you upload.")
        weights = gr.Dropdown(choices(outputs), value=DEFAULT_WEIGHTS, label="weights")
        truncation = gr.Slider(0, 2, value=1.0, step=0.05, label="truncation")
        with gr.Tab("Faces"):
            faces_tab(gr, weights, truncation)
        with gr.Tab("By attributes"):
            order_tab(gr, weights, truncation)
        with gr.Tab("Walk"):
            walk_tab(gr, weights, truncation)
        with gr.Tab("Edit"):
            edit_tab(gr, weights)
        with gr.Tab("Photograph"):
            photograph_tab(gr, weights)
        with gr.Tab("Evaluation"):
            shown = gr.HTML(report(DEFAULT_WEIGHTS))
            weights.change(guarded(gr, report), weights, shown)
        with gr.Tab("Training"):
            _training_tab(gr, training)
        page.load(lambda: gr.Dropdown(choices=choices(outputs)), None, weights)
    return page.queue(max_size=WAITING, default_concurrency_limit=CONCURRENT)


def import_gradio() -> Any:
    """Gradio, which is an extra."""
    try:
        import gradio
    except ImportError as error:
        raise FaceganError("facegan.app needs Gradio: pip install -e '.[app]'") from error
    return gradio


def report(name: str) -> str:
    """The evaluation of the run that has the weights `name`, as an embedded page."""
    folder = pretrained.run_folder(name)
    path = folder / "evaluation.html" if folder is not None else None
    if path is None or not path.is_file():
        return (
            f"<p>No report yet: <code>python -m facegan.evaluate weights={escape(name)}</code></p>"
        )
    page = escape(path.read_text(encoding="utf-8"), quote=True)
    return f'<iframe title="evaluation" srcdoc="{page}" style="width:100%;height:75vh"></iframe>'


def _training_tab(gr: Any, training: Training) -> None:
    lines = [f"- **{name}**: {text}" for name, text in PRESETS.items()]
    gr.Markdown("\n".join(["Teaching presets, about a minute each on two idle CPU cores:", *lines]))
    with gr.Row():
        name = gr.Dropdown(training.names, value=training.names[0], label="what to train")
        minutes = gr.Slider(1, 60, value=3, step=1, label="minutes (presets have their own length)")
    with gr.Row():
        start = gr.Button("Start", variant="primary", elem_id="start")
        stop = gr.Button("Stop", elem_id="stop")
        resume = gr.Button("Go on", elem_id="resume")
    status = gr.Textbox(label="status", elem_id="status", interactive=False)
    with gr.Row():
        live = gr.Image(show_label=False, buttons=[], format="png", elem_id="live", min_width=320)
        curves = gr.HTML(elem_id="curves", min_width=320)

    def look() -> tuple[str, Any, str]:
        return training.status(), newest_grid(training.folder), curves_html(training.folder)

    def then_look(action: Callable[..., None]) -> Callable[..., Any]:
        def act(*arguments: Any) -> Any:
            action(*arguments)
            return look()

        return guarded(gr, act)

    outputs = [status, live, curves]
    start.click(then_look(training.start), [name, minutes], outputs)
    stop.click(then_look(training.stop), None, outputs)
    resume.click(then_look(training.resume), None, outputs)
    gr.Timer(TICK).tick(look, None, outputs, show_progress="hidden")


def newest_grid(folder: Path | None) -> Image.Image | None:
    """The newest grid of a run, or None."""
    paths = [] if folder is None else [*(folder / "samples").glob("[!.]*.png")]
    newest = max(paths, key=lambda path: path.stat().st_mtime, default=None)
    return None if newest is None else open_image(newest)
