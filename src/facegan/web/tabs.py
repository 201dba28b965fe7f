"""The tabs of the page."""

from collections.abc import Callable
from functools import partial, wraps
from html import escape
from typing import Any

import gradio as gr

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.web import faces

DEFAULT_WEIGHTS = "full-64"
DEFAULT_ORDER = ("Smiling", "Eyeglasses")  # with, without
DEFAULT_EDIT = (("Smiling", 2.0), (None, 0.0), (None, 0.0))  # directions and amounts


def on(
    events: Any, function: Callable[..., Any], inputs: Any, outputs: Any, **options: Any
) -> None:
    """Calls `function` at events; the page shows its FaceganError or ValueError as a message."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (FaceganError, ValueError) as error:
            raise gr.Error(escape(str(error)), print_exception=False) from error

    gr.on(events, call, inputs, outputs, **options)


def faces_tab(opened: Any, weights: gr.Dropdown, truncation: gr.Slider) -> None:
    gr.Markdown("The weights are a trained generator. It draws a face from a seed, a number.")
    seed = _seed()
    with gr.Row():
        draw = gr.Button("Draw", variant="primary", elem_id="draw")
        more = gr.Button("More", elem_id="more")
    shown = gr.HTML(elem_id="gallery")
    state = gr.State([])
    inputs = [weights, seed, truncation]
    events = [draw.click, weights.change, opened]
    on(events, faces.draw, inputs, [shown, state], api_name="draw")
    on(more.click, faces.draw, [*inputs, state], [shown, state], api_name="more")


def order_tab(opened: Any, weights: gr.Dropdown, truncation: gr.Slider) -> None:
    gr.Markdown("Faces with and without attributes, which are opinions of CelebA's annotators.")
    names = faces.attributes(DEFAULT_WEIGHTS)
    with gr.Row():
        chosen = [
            gr.Dropdown(names, value=[name], multiselect=True, label=label, min_width=240)
            for label, name in zip(("with", "without"), DEFAULT_ORDER, strict=True)
        ]
        seed = _seed()
    on(weights.change, attribute_choices, weights, chosen)
    button = gr.Button("Order", variant="primary", elem_id="order")
    shown = gr.HTML(elem_id="ordered")
    inputs = [weights, *chosen, seed, truncation]
    on([button.click, opened], faces.order, inputs, shown, api_name="order")


def walk_tab(opened: Any, weights: gr.Dropdown, truncation: gr.Slider) -> None:
    gr.Markdown("Nine faces from the first seed to the last, and a loop past all seeds.")
    seeds = gr.Textbox(
        "3,7,12", label="seeds, from two to six, with commas or spaces between", max_length=100
    )
    button = gr.Button("Walk", variant="primary", elem_id="walk")
    shown, moving = gr.HTML(elem_id="steps"), gr.HTML(elem_id="animation")
    inputs = [weights, seeds, truncation]
    on([button.click, opened], faces.interpolate, inputs, [shown, moving], api_name="walk")


def edit_tab(opened: Any, weights: gr.Dropdown) -> None:
    gr.Markdown(
        "Above: eight faces. Below: the same, their latents (numbers) moved by directions. If an "
        "amount of 2 changes too little, try up to 4. PCA_1 to PCA_10 have no name: the directions "
        "in which this generator's faces differ most."
    )
    seed = _seed()
    rows = _direction_rows(weights)
    find = gr.Button("Find these weights' directions (minutes)", elem_id="find", visible=False)
    button = gr.Button("Edit", variant="primary", elem_id="edit")
    shown = gr.HTML(elem_id="edited")
    on([button.click, opened], faces.edit, [weights, seed, *rows], shown, api_name="edit")
    on(weights.change, _offer_to_find, weights, find, api_visibility="private")
    on(find.click, partial(_choices, find=True), weights, rows[::2], api_name="find_directions")


def photograph_tab(weights: gr.Dropdown) -> None:
    gr.Markdown(
        "Finds the latent (the numbers) whose face is nearest to a photograph. The file stays on "
        "the machine that runs this page, and is deleted after an hour. Use a photograph only with "
        "the consent of the person in it, a pupil's with that of the parents."
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
    on(button.click, faces.project_photograph, inputs, [state, shown, text], api_name="project")
    on(change.click, faces.edit_projected, [state, *rows], shown, api_name="edit_projection")


def report(name: str) -> str:
    """The evaluation of the run that has the weights `name`, as an embedded page."""
    folder = pretrained.run_folder(name)
    if folder is None or not (folder / "evaluation.html").is_file():
        command = f"python -m facegan.evaluate weights={escape(name)}"
        return f"<p>No report yet: <code>{command}</code></p>"
    page = escape((folder / "evaluation.html").read_text(encoding="utf-8"))
    style = "width:100%;height:75vh"
    return f'<iframe sandbox title="evaluation" srcdoc="{page}" style="{style}"></iframe>'


def _seed() -> gr.Number:
    return gr.Number(0, label="first seed")  # whoever draws refuses 1.5


def attribute_choices(weights: str) -> list[gr.Dropdown]:
    """The attributes of `weights`, to have and to lack."""
    names = faces.attributes(weights)
    first, second = ([name] if name in names else [] for name in DEFAULT_ORDER)
    values = (first or ([] if second else names[:1]), second)
    return [gr.Dropdown(choices=names, value=value, multiselect=True) for value in values]


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


def _offer_to_find(weights: str) -> gr.Button:
    return gr.Button(visible=not faces.direction_names(weights))


def _choices(weights: str, find: bool = False) -> list[gr.Dropdown]:
    """The directions of `weights` for each row."""
    names = ["", *faces.direction_names(weights, find)]
    return [
        gr.Dropdown(choices=names, value=name if name in names else "") for name, _ in DEFAULT_EDIT
    ]
