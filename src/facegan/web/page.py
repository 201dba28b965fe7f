"""The page: tabs for faces, edits, the evaluation report and a training to watch."""

from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from facegan import pretrained
from facegan.errors import FaceganError
from facegan.images import open_image
from facegan.web.curves import curves_html
from facegan.web.faces import choices, direction_names, edit, gallery, interpolation
from facegan.web.training import PRESETS, Training

MAX_SHOWN = 480  # faces in the gallery; older ones go
TICK = 2.0  # seconds between two looks at the training
CONCURRENT = 4  # requests that are worked on at once
WAITING = 64  # requests that may wait
DEFAULT_WEIGHTS = "full-64"


def build_page(outputs: Path, training: Training) -> Any:
    """The Gradio Blocks. Raises FaceganError where Gradio is not installed."""
    gr = import_gradio()
    with gr.Blocks(title="facegan", analytics_enabled=False) as page:
        gr.Markdown("# facegan\nAll faces on this page are synthetic.")
        weights = gr.Dropdown(choices(outputs), value=DEFAULT_WEIGHTS, label="weights")
        truncation = gr.Slider(0, 2, value=1.0, step=0.05, label="truncation")
        with gr.Tab("Faces"):
            _faces_tab(gr, weights, truncation)
        with gr.Tab("Between two seeds"):
            _interpolation_tab(gr, weights, truncation)
        with gr.Tab("Edit"):
            _edit_tab(gr, weights)
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
        raise FaceganError("facegan.app needs Gradio: pip install 'facegan[app]'") from error
    return gradio


def guarded(gr: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose FaceganError the page shows as a message."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except FaceganError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return call


def _faces_tab(gr: Any, weights: Any, truncation: Any) -> None:
    seed = gr.Number(0, label="first seed", precision=0)
    with gr.Row():
        draw = gr.Button("Draw", variant="primary", elem_id="draw")
        more = gr.Button("More", elem_id="more")
    shown = gr.Gallery(
        label="faces, by seed", columns=8, height="auto", format="png", elem_id="gallery"
    )
    state = gr.State([])

    def first(name: str, start: float, scale: float) -> tuple[Any, Any]:
        drawn = gallery(name, start, scale)
        return drawn, drawn

    def next_faces(name: str, start: float, scale: float, before: list[Any]) -> tuple[Any, ...]:
        start = int(before[-1][1]) + 1 if before else start
        drawn = (before + gallery(name, start, scale))[-MAX_SHOWN:]
        return drawn, drawn

    draw.click(guarded(gr, first), [weights, seed, truncation], [shown, state], api_name="draw")
    more.click(
        guarded(gr, next_faces),
        [weights, seed, truncation, state],
        [shown, state],
        api_name="more",
    )


def _interpolation_tab(gr: Any, weights: Any, truncation: Any) -> None:
    with gr.Row():
        start = gr.Number(3, label="from seed", precision=0)
        end = gr.Number(7, label="to seed", precision=0)
    button = gr.Button("Interpolate", variant="primary", elem_id="interpolate")
    shown = gr.Image(label="interpolation", format="png", elem_id="interpolation")
    inputs = [weights, start, end, truncation]
    button.click(guarded(gr, interpolation), inputs, shown, api_name="interpolate")


def _edit_tab(gr: Any, weights: Any) -> None:
    names = direction_names(DEFAULT_WEIGHTS)
    with gr.Row():
        seed = gr.Number(0, label="first seed", precision=0)
        direction = gr.Dropdown(
            names, value=names[0] if names else None, label="direction", elem_id="direction"
        )
        amount = gr.Slider(-5, 5, value=2.0, step=0.1, label="amount")
    gr.Markdown(
        "Only weights whose directions were computed have a list here: "
        "`generator.directions()` computes them once."
    )
    button = gr.Button("Edit", variant="primary", elem_id="edit")
    shown = gr.Image(label="above: the faces; below: moved along the direction", format="png")

    def update(name: str) -> Any:
        known = direction_names(name)
        return gr.Dropdown(choices=known, value=known[0] if known else None)

    weights.change(guarded(gr, update), weights, direction)
    button.click(guarded(gr, edit), [weights, seed, direction, amount], shown, api_name="edit")


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
        live = gr.Image(label="the same 64 latents", format="png", elem_id="live", min_width=320)
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
