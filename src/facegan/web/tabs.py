"""The tabs of the page."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from html import escape
from typing import Any

import gradio as gr
import pandas as pd

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.run_files import Entry, thin
from facegan.networks.attributes import bundled_classifier
from facegan.web import faces
from facegan.web.photograph import edit_projected, project_photograph
from facegan.web.training import PRESETS, Training

DEFAULT_WEIGHTS = "full-64"
DEFAULT_EDIT = (("Smiling", 2.0), (None, 0.0), (None, 0.0))  # directions and amounts
TICK = 2.0  # seconds between two updates of the Training tab
CHARTS = {  # metrics by the title of their chart
    "losses": ("D_loss", "G_loss"),
    "D's logits": ("D_real_logits", "D_fake_logits"),
    "Fréchet distance": ("frechet_distance",),
    "precision and recall": ("precision", "recall"),
}
POINTS = 300  # of a curve


def on(event: Any, function: Callable[..., Any], inputs: Any, outputs: Any, **options: Any) -> None:
    """Calls `function` at an event; the page shows its FaceganError or ValueError as a message."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (FaceganError, ValueError) as error:
            raise gr.Error(escape(str(error)), print_exception=False) from error

    event(call, inputs, outputs, **options)


def faces_tab(weights: gr.Dropdown, truncation: gr.Slider) -> None:
    seed = _seed()
    with gr.Row():
        draw = gr.Button("Draw", variant="primary", elem_id="draw")
        more = gr.Button("More", elem_id="more")
    shown = gr.HTML(elem_id="gallery")
    state = gr.State([])
    inputs = [weights, seed, truncation]
    on(draw.click, faces.draw, inputs, [shown, state], api_name="draw")
    on(more.click, faces.draw, [*inputs, state], [shown, state], api_name="more")


def order_tab(weights: gr.Dropdown, truncation: gr.Slider) -> None:
    names = list(bundled_classifier(64).attributes)
    with gr.Row():
        wanted, lacking = (
            gr.Dropdown(names, value=[name], multiselect=True, label=label, min_width=240)
            for label, name in (("with", "Smiling"), ("without", "Eyeglasses"))
        )
        seed = _seed()
    button = gr.Button("Find", variant="primary", elem_id="order")
    shown = gr.HTML(elem_id="ordered")
    on(button.click, faces.order, [weights, wanted, lacking, seed, truncation], shown)


def walk_tab(weights: gr.Dropdown, truncation: gr.Slider) -> None:
    gr.Markdown("Nine faces from the first seed to the last, and a loop past all seeds.")
    seeds = gr.Textbox("3,7,12", label="seeds, from two to six", max_length=100)
    button = gr.Button("Walk", variant="primary", elem_id="walk")
    shown, moving = gr.HTML(elem_id="steps"), gr.HTML(elem_id="animation")
    inputs = [weights, seeds, truncation]
    on(button.click, faces.interpolate, inputs, [shown, moving], api_name="walk")


def edit_tab(weights: gr.Dropdown) -> None:
    gr.Markdown("Above: the faces of eight seeds. Below: the same faces, moved along directions.")
    seed = _seed()
    rows = _direction_rows(weights)
    find = gr.Button("Find the directions of these weights (minutes)", elem_id="find")
    button = gr.Button("Edit", variant="primary", elem_id="edit")
    shown = gr.HTML(elem_id="edited")
    on(button.click, faces.edit, [weights, seed, *rows], shown)
    on(find.click, partial(_choices, find=True), weights, rows[::2], api_name="find_directions")


def photograph_tab(weights: gr.Dropdown) -> None:
    gr.Markdown(
        "Finds the latent whose face is nearest to a photograph. The file stays on the machine "
        "that runs this page, and is deleted after an hour."
    )
    with gr.Row():
        photo = gr.Image(label="photograph", type="filepath", image_mode=None, elem_id="photo")
        with gr.Column():
            face = gr.Checkbox(True, label="find the face (otherwise the centre square)")
            steps = gr.Slider(10, 200, value=100, step=10, precision=0, label="steps")
            button = gr.Button("Project", variant="primary", elem_id="project")
    shown, text = gr.HTML(elem_id="projected"), gr.Markdown(elem_id="distance")
    state = gr.State(None)
    rows = _direction_rows(weights)
    change = gr.Button("Edit the projection", elem_id="edit-projection")
    inputs = [weights, photo, face, steps]
    on(button.click, project_photograph, inputs, [state, shown, text], api_name="project")
    on(change.click, edit_projected, [state, *rows], shown, api_name="edit_projection")


def report(name: str) -> str:
    """The evaluation of the run that has the weights `name`, as an embedded page."""
    folder = pretrained.run_folder(name)
    if folder is None or not (folder / "evaluation.html").is_file():
        command = f"python -m facegan.evaluate weights={escape(name)}"
        return f"<p>No report yet: <code>{command}</code></p>"
    page = escape((folder / "evaluation.html").read_text(encoding="utf-8"))
    return f'<iframe title="evaluation" srcdoc="{page}" style="width:100%;height:75vh"></iframe>'


def training_tab(training: Training) -> None:
    lines = [f"- **{name}**: {text}" for name, text in PRESETS.items()]
    gr.Markdown("\n".join(["Teaching presets, about a minute each on two idle CPU cores:", *lines]))
    with gr.Row():
        name = gr.Dropdown([*training.data, *PRESETS], label="what to train")
        label = "minutes (presets have their own length)"
        minutes = gr.Slider(1, 60, value=3, step=1, precision=0, label=label)
    with gr.Row():
        start = gr.Button("Start", variant="primary", elem_id="start")
        stop = gr.Button("Stop", elem_id="stop")
        resume = gr.Button("Resume", elem_id="resume")
    status = gr.Textbox(training.status, label="status", elem_id="status", interactive=False)
    with gr.Row():
        live = gr.Image(show_label=False, buttons=[], format="png", elem_id="live", min_width=320)
        with gr.Column(elem_id="curves", min_width=320):
            plots = [plot(title, []) for title in CHARTS]
    on(start.click, training.start, [name, minutes], status)
    on(stop.click, training.stop, None, status)
    on(resume.click, training.resume, None, status)

    def update() -> list[Any]:
        entries = training.metrics()
        charts = [plot(title, entries) for title in CHARTS]
        return [training.status(), training.newest_grid(), *charts]

    gr.Timer(TICK).tick(update, None, [status, live, *plots], show_progress="hidden")


def plot(title: str, entries: Sequence[Entry]) -> gr.LinePlot:
    """A chart of metrics that are logged together; it is hidden while there are none."""
    metrics = CHARTS[title]
    logged = thin([entry for entry in entries if metrics[0] in entry], POINTS)
    values = pd.DataFrame(logged, columns=["images", *metrics], dtype=float)
    points = values.melt("images", var_name="metric")
    return gr.LinePlot(
        points, "images", "value", color="metric", title=title, height=240, visible=bool(logged)
    )


def _seed() -> gr.Number:
    return gr.Number(0, label="first seed", precision=0)


def _direction_rows(weights: gr.Dropdown) -> list[Any]:
    """Three choices of a direction, each with its amount; they follow the chosen weights."""
    names = faces.direction_names(DEFAULT_WEIGHTS)
    rows: list[Any] = []
    for number, (name, amount) in enumerate(DEFAULT_EDIT, start=1):
        with gr.Row():
            rows += [
                gr.Dropdown(["", *names], value=name, label=f"direction {number}"),
                gr.Slider(-5, 5, value=amount, step=0.1, label="amount"),
            ]
    on(weights.change, _choices, weights, rows[::2])
    return rows


def _choices(weights: str, find: bool = False) -> list[gr.Dropdown]:
    """The directions of `weights` for each row."""
    names = ["", *faces.direction_names(weights, find)]
    return [
        gr.Dropdown(choices=names, value=name if name in names else "") for name, _ in DEFAULT_EDIT
    ]
