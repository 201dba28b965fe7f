"""The tab that shows a training, with the healthy one beside it."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import gradio as gr
import pandas as pd

from facegan.core.paths import PACKAGE
from facegan.core.run_files import Entry, thin
from facegan.web.tabs import on
from facegan.web.training import HEALTHY, PRESETS, Training, grid, grids, metrics

TICK = 2.0  # seconds between two updates
POINTS = 300  # of a curve
COLOURS = ("#d9480f", "#1971c2")  # of two metrics
GREY = "#9aa0a6"


class Chart(NamedTuple):
    """Metrics that are logged together, what they say, and the range of their axis."""

    title: str
    metrics: tuple[str, ...]
    text: str
    y_lim: Any = None  # [lowest, highest]
    beside: bool = False  # whether the healthy run's curve is shown


CHARTS = (
    Chart(
        "losses",
        ("D_loss", "G_loss"),
        "Each network's loss is measured against the other network; neither measures the faces. "
        "In a good training both are almost constant. **Flat near 0** (`minimax`): saturation.",
    ),
    Chart(
        "D's logits",
        ("D_real_logits", "D_fake_logits"),
        "D's mean logit (rating) of training images and generated faces. **Close together**: D "
        "can hardly tell them apart, as it should be. **Far apart, the generated ones below 0**: "
        "saturation. **The real ones rise, faces do not improve**: D memorizes its images. Just "
        "after the remedy they rise, and faces improve: harmless. **Millions**: divergence.",
    ),
    Chart(
        "Fréchet distance",
        ("frechet_distance",),
        "How far the generated faces as a whole are from faces that no training has seen: 0 is the "
        "best. It is high if the faces are bad, and if they are **all alike**. Grey: `healthy`.",
        [0, 150],
        True,
    ),
    Chart(
        "precision and recall",
        ("precision", "recall"),
        "Precision: the share of the generated faces that look like real ones. Recall: the share "
        "of the real ones that the generator can draw, 0 at first. **Recall falls back to 0 after "
        "it was higher**: mode collapse.",
        [0, 1],
    ),
)
FAILURES = PACKAGE.parents[1] / "docs/failures.md"  # of a checkout; a wheel has no documents


def training_tab(training: Training) -> gr.Timer:
    """Returns the timer of the updates, which runs while the tab is open."""
    timer = gr.Timer(TICK, active=False)
    gr.Markdown(
        "Generator **G** draws faces from latents (numbers); discriminator **D** rates them."
    )
    names = [*PRESETS, *training.data]  # a remedy's name begins with one of them
    with gr.Row():
        name = gr.Dropdown(
            names,
            value=lambda: next((n for n in names if training.name.startswith(n)), HEALTHY),
            label="what to train",
        )
        minutes = gr.Slider(1, 60, 3, step=1, precision=0, label="minutes", visible=False)
    about = gr.Markdown(PRESETS[HEALTHY], elem_id="about")
    with gr.Row():
        start = gr.Button("Start", variant="primary", elem_id="start")
        buttons = [
            gr.Button(label, elem_id=label.split()[-1].lower(), visible=False)
            for label in ("Stop", "Resume", "Apply the remedy")
        ]
    status = gr.Markdown(training.status, elem_id="status")
    epoch = gr.Slider(-1, 0, 0, step=1, precision=0, label="epochs back; 0 is now", visible=False)
    with gr.Row():
        shown = [
            gr.Image(buttons=[], format="png", elem_id=key, min_width=300, visible=False)
            for key in ("live", "healthy")
        ]
    plots = []
    for chart in CHARTS:
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                plots.append(plot(chart, [], []))
            with gr.Column(min_width=240):
                gr.Markdown(chart.text)
    if FAILURES.is_file():
        with gr.Accordion("Failures, their curves and their remedies", open=False):
            gr.Markdown(re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", FAILURES.read_text("utf-8")))
    on(name.change, _chosen, name, [about, minutes], api_visibility="private")
    for button, function in zip(
        buttons, (training.stop, training.resume, training.remedy), strict=True
    ):
        on(button.click, function, None, status)
    on(start.click, training.start, [name, minutes], status)

    update = partial(_update, training)
    outputs = [status, start, *buttons, epoch, *shown, *plots]
    for event in (timer.tick, epoch.change):
        on(event, update, epoch, outputs, show_progress="hidden", api_visibility="private")
    return timer


def _chosen(name: str) -> list[Any]:
    """The text of what is chosen, and its minutes, which a preset does not need."""
    return [PRESETS.get(name, ""), gr.Slider(visible=name not in PRESETS)]


def _update(training: Training, back: int) -> list[Any]:
    """The status, the buttons that can be used, the grids `back` epochs ago (<= 0), the charts."""
    runs = training.runs
    healthy = [run for run in training.healthy() if runs != [run]]
    running = training.running
    usable = (not running, running, training.can_be_resumed, training.can_be_remedied)
    count = len(grids(runs))
    epoch = max(1, count + 1 + back) if back else 0
    faces = ((training.name, grid(runs, epoch)), (HEALTHY, grid(healthy, epoch)))
    return [
        training.status(),
        *(gr.Button(visible=visible) for visible in usable),
        gr.Slider(minimum=-max(1, count), visible=count > 0),
        *(gr.Image(face, label=name, visible=face is not None) for name, face in faces),
        *(plot(chart, metrics(runs), metrics(healthy)) for chart in CHARTS),
    ]


def plot(chart: Chart, entries: Sequence[Entry], healthy: Sequence[Entry]) -> gr.LinePlot:
    """The curves of a run, and the healthy one's first in grey."""
    first = chart.metrics[0]
    logged = thin([entry for entry in entries if first in entry], POINTS)
    rows = [(entry["images"], name, entry.get(name)) for name in chart.metrics for entry in logged]
    if chart.beside:
        rows += [(entry["images"], HEALTHY, entry[first]) for entry in healthy if first in entry]
    points = pd.DataFrame(rows, columns=["images", "metric", "value"])
    points = points.astype({"images": float, "value": float})  # else the axes show categories
    return gr.LinePlot(
        points,
        "images",
        "value",
        color="metric",
        color_map={HEALTHY: GREY, **dict(zip(chart.metrics, COLOURS, strict=False))},
        title=chart.title,
        y_lim=chart.y_lim,
        height=220,
        visible=len(points) > len(chart.metrics),  # one point makes no line
    )
