"""The tab that shows a training, with the healthy one beside it."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from facegan.core.images import data_uri
from facegan.core.paths import PACKAGE
from facegan.web.charts import CHARTS, draw
from facegan.web.tabs import on
from facegan.web.training import DESCRIPTIONS, HEALTHY, PRESETS, Training, grid, grids, metrics

TICK = 2.0  # seconds between two updates
DOCS = PACKAGE.parents[1] / "docs"  # of a checkout; a wheel has no documents
DOCUMENTS = {
    "What a GAN is": "gan.md",
    "How a GAN fails: the failures, their curves and their remedies": "failures.md",
}
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def training_tab(training: Training) -> gr.Timer:
    """Returns the timer of the updates, which runs while the tab is open."""
    timer = gr.Timer(TICK, active=False)
    gr.Markdown(
        "Generator **G** draws faces from latents (numbers); discriminator **D** rates them."
    )
    names = [*PRESETS, *training.data]  # a remedy's name begins with one of them
    with gr.Row(equal_height=True):
        name = gr.Dropdown(
            names,
            value=lambda: next((n for n in names if training.name.startswith(n)), HEALTHY),
            label="what to train",
            scale=2,
            min_width=240,
        )
        minutes = gr.Slider(
            1, 60, 3, step=1, precision=0, label="minutes", visible=False, min_width=240
        )
        start = gr.Button("Start", variant="primary", elem_id="start", min_width=120)
        buttons = [
            gr.Button(label, elem_id=label.split()[-1].lower(), visible=False, min_width=120)
            for label in ("Stop", "Resume", "Apply the remedy")
        ]
    about = gr.Markdown(PRESETS[HEALTHY], elem_id="about")
    status = gr.Markdown(training.status, elem_id="status")
    epoch = gr.Slider(-1, 0, 0, step=1, precision=0, label="epochs back; 0 is now", visible=False)
    with gr.Row():
        shown = [
            gr.Image(buttons=[], format="png", elem_id=key, min_width=300, visible=False)
            for key in ("live", "healthy")
        ]
        charts = [_chart()]
    with gr.Row():
        charts += [_chart() for _ in CHARTS[1:]]
    for title, file in DOCUMENTS.items():
        if (DOCS / file).is_file():
            with gr.Accordion(title, open=False):
                gr.Markdown(document(DOCS / file))
    on([name.change, start.click], _chosen, name, [about, minutes], api_visibility="private")
    functions = (training.stop, training.resume, training.remedy)
    for button, function in zip(buttons, functions, strict=True):
        on(button.click, function, None, status)
    on(start.click, training.start, [name, minutes], status)
    on(buttons[-1].click, lambda: "", None, about, api_visibility="private")  # the status says it

    update = partial(_update, training)
    outputs = [status, start, *buttons, epoch, *shown, *charts]
    for event in (timer.tick, epoch.change):
        on(event, update, epoch, outputs, show_progress="hidden", api_visibility="private")
    return timer


def _chart() -> gr.HTML:
    with gr.Column(min_width=300):
        return gr.HTML()


def document(path: Path) -> str:
    """A page of docs/ with its images inside, and without links, which lead to other pages."""

    def image(match: re.Match[str]) -> str:
        file = path.parent / match[2]
        return f"![{match[1]}]({data_uri(file.read_bytes(), TYPES[file.suffix])})"

    text = re.sub(r"(?<!!)\[([^\]]*)\]\([^)]*\)", r"\1", path.read_text("utf-8"))
    return re.sub(r"!\[([^\]]*)\]\(([^)]*)\)", image, text)


def _chosen(name: str) -> list[Any]:
    """The text of what is chosen, and its minutes, which a preset does not need."""
    return [DESCRIPTIONS[name], gr.Slider(visible=name not in PRESETS)]


def _update(training: Training, back: int) -> list[Any]:
    """The status, the buttons that can be used, the grids `back` epochs ago (<= 0), the charts."""
    runs = training.runs
    healthy = [] if training.name == HEALTHY else training.healthy()
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
        *(draw(chart, metrics(runs), metrics(healthy)) for chart in CHARTS),
    ]
