"""The page: weights and truncation above tabs."""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from facegan.web import tabs
from facegan.web.faces import choices
from facegan.web.training import Training
from facegan.web.training_tab import training_tab

CACHE = (600, 3600)  # seconds between two searches for old uploads, and the age of these
SYNTHETIC = (
    "All faces are synthetic, except in photographs that you upload. Say so where you show them: "
    "a saved PNG has a mark that says it, a screenshot has not."
)
TRUNCATION = "below 1: more ordinary faces; above 1: more unusual ones"
SESSIONS = 64  # pages whose state is kept: about 0.5 MB each, with a full gallery 5 MB
WAITING = 64  # requests that may wait; Gradio answers one of a kind at a time


def build_page(outputs: Path, training: Training) -> gr.Blocks:
    """The page; `choices` of `outputs` are the weights."""
    with gr.Blocks(title="facegan", analytics_enabled=False, delete_cache=CACHE) as page:
        gr.Markdown(f"# facegan\n{SYNTHETIC}")
        weights = gr.Dropdown(choices(outputs), value=tabs.DEFAULT_WEIGHTS, label="weights")
        truncation = gr.Slider(0, 2, value=1.0, step=0.05, label="truncation", info=TRUNCATION)
        with gr.Tab("Faces") as faces:
            tabs.faces_tab(page.load, weights, truncation)
        with gr.Tab("By attributes") as order:
            tabs.order_tab(order.select, weights, truncation)
        with gr.Tab("Walk") as walk:
            tabs.walk_tab(walk.select, weights, truncation)
        with gr.Tab("Edit") as edit:
            tabs.edit_tab(edit.select, weights)
        with gr.Tab("Photograph") as photograph:
            tabs.photograph_tab(weights)
        with gr.Tab("Evaluation") as evaluation:
            gr.Markdown("How good, how varied and how original the faces of a run are.")
            shown = gr.HTML(tabs.report(tabs.DEFAULT_WEIGHTS))
            tabs.on(weights.change, tabs.report, weights, shown)
        with gr.Tab("Training") as live:
            timer = training_tab(training)
        for tab in (faces, order, walk, edit, photograph, evaluation, live):
            controls = partial(_controls, tab is not live, tab in (faces, order, walk))
            tab.select(controls, None, [weights, truncation, timer], api_visibility="private")
        page.load(lambda: gr.Dropdown(choices=choices(outputs)), None, weights)
    return page.queue(max_size=WAITING)


def _controls(weights: bool, truncation: bool) -> list[Any]:
    """Shows what a tab uses; only the Training tab, which uses neither, is updated."""
    return [
        gr.Dropdown(visible=weights),
        gr.Slider(visible=truncation),
        gr.Timer(active=not weights),
    ]
