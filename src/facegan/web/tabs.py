"""The tabs that draw faces: by seed, by attributes, walks, edits and projected photographs."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from facegan.core.errors import FaceganError
from facegan.web.faces import (
    attribute_names,
    direction_names,
    edit,
    find_directions,
    gallery,
    interpolation,
    order,
)
from facegan.web.markup import Gallery, tiles
from facegan.web.photograph import STEPS, edit_projected, project_photograph

MAX_SHOWN = 480  # faces in the gallery; older ones go
DEFAULT_WEIGHTS = "full-64"
DEFAULT_EDIT = (("Smiling", 2.0), (None, 0.0), (None, 0.0))  # directions and amounts


def guarded(gr: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose FaceganError the page shows as a message."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except FaceganError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return call


def faces_tab(gr: Any, weights: Any, truncation: Any) -> None:
    seed = gr.Number(0, label="first seed", precision=0)
    with gr.Row():
        draw = gr.Button("Draw", variant="primary", elem_id="draw")
        more = gr.Button("More", elem_id="more")
    shown = gr.HTML(elem_id="gallery")
    state = gr.State([])

    def first(name: str, start: float, scale: float) -> tuple[str, Gallery]:
        drawn = gallery(name, start, scale)
        return tiles(drawn), drawn

    def next_faces(name: str, start: float, scale: float, before: Gallery) -> tuple[str, Gallery]:
        start = before[-1][1] + 1 if before else start
        drawn = (before + gallery(name, start, scale))[-MAX_SHOWN:]
        return tiles(drawn), drawn

    draw.click(guarded(gr, first), [weights, seed, truncation], [shown, state], api_name="draw")
    more.click(
        guarded(gr, next_faces),
        [weights, seed, truncation, state],
        [shown, state],
        api_name="more",
    )


def order_tab(gr: Any, weights: Any, truncation: Any) -> None:
    names = attribute_names(DEFAULT_WEIGHTS)
    with gr.Row():
        wanted = gr.Dropdown(
            names, value=["Smiling"], multiselect=True, label="with", min_width=240
        )
        lacking = gr.Dropdown(
            names, value=["Eyeglasses"], multiselect=True, label="without", min_width=240
        )
        seed = gr.Number(0, label="first seed", precision=0)
    button = gr.Button("Find", variant="primary", elem_id="order")
    shown = gr.HTML(elem_id="ordered")
    inputs = [weights, wanted, lacking, seed, truncation]

    def ordered(*request: Any) -> str:
        return tiles(order(*request))

    button.click(guarded(gr, ordered), inputs, shown, api_name="order")


def walk_tab(gr: Any, weights: Any, truncation: Any) -> None:
    gr.Markdown("Nine faces from the first seed to the last, and a loop past all seeds.")
    seeds = gr.Textbox("3,7,12", label="seeds, from two to six", max_length=100)
    button = gr.Button("Walk", variant="primary", elem_id="walk")
    shown = gr.HTML(elem_id="steps")
    moving = gr.HTML(elem_id="animation")
    inputs = [weights, seeds, truncation]
    button.click(guarded(gr, interpolation), inputs, [shown, moving], api_name="walk")


def edit_tab(gr: Any, weights: Any) -> None:
    gr.Markdown("Above: the faces of eight seeds. Below: the same faces, moved along directions.")
    seed = gr.Number(0, label="first seed", precision=0)
    rows = _direction_rows(gr, weights)
    compute = gr.Button("Find the directions of these weights (minutes)", elem_id="find")
    button = gr.Button("Edit", variant="primary", elem_id="edit")
    shown = gr.HTML(elem_id="edited")
    button.click(guarded(gr, edit), [weights, seed, *rows], shown, api_name="edit")
    compute.click(
        guarded(gr, lambda name: _choices(gr, find_directions(name))),
        weights,
        rows[::2],
        api_name="find_directions",
        concurrency_limit=1,
    )


def photograph_tab(gr: Any, weights: Any) -> None:
    gr.Markdown(
        "Finds the latent whose face is nearest to a photograph. The file stays on the machine "
        "that runs this page, and is deleted after an hour."
    )
    with gr.Row():
        photo = gr.Image(label="photograph", type="filepath", image_mode=None, elem_id="photo")
        with gr.Column():
            face = gr.Checkbox(True, label="find the face (otherwise the centre square)")
            steps = gr.Slider(*STEPS, value=100, step=10, label="steps")
            button = gr.Button("Project", variant="primary", elem_id="project")
    shown = gr.HTML(elem_id="projected")
    text = gr.Markdown(elem_id="distance")
    state = gr.State(None)
    rows = _direction_rows(gr, weights)
    change = gr.Button("Edit the projection", elem_id="edit-projection")
    button.click(
        guarded(gr, project_photograph),
        [weights, photo, face, steps],
        [state, shown, text],
        api_name="project",
        concurrency_limit=1,
    )
    change.click(guarded(gr, edit_projected), [state, *rows], shown, api_name="edit_projection")


def _direction_rows(gr: Any, weights: Any) -> list[Any]:
    """Three choices of a direction, each with its amount; they follow the chosen weights."""
    names = direction_names(DEFAULT_WEIGHTS)
    rows = []
    for number, (name, amount) in enumerate(DEFAULT_EDIT, start=1):
        with gr.Row():
            rows += [
                gr.Dropdown(["", *names], value=name, label=f"direction {number}"),
                gr.Slider(-5, 5, value=amount, step=0.1, label="amount"),
            ]
    weights.change(lambda name: _choices(gr, direction_names(name)), weights, rows[::2])
    return rows


def _choices(gr: Any, names: list[str]) -> list[Any]:
    return [
        gr.Dropdown(choices=["", *names], value=name if name in names else "")
        for name, _ in DEFAULT_EDIT
    ]
