"""The page: weights and truncation above tabs."""

from pathlib import Path

import gradio as gr

from facegan.web import tabs
from facegan.web.faces import choices
from facegan.web.training import Training

CACHE = (600, 3600)  # seconds between two searches for old uploads, and the age of these
WAITING = 64  # requests that may wait; Gradio answers one of a kind at a time


def build_page(outputs: Path, training: Training) -> gr.Blocks:
    """The page; `choices` of `outputs` are the weights."""
    with gr.Blocks(title="facegan", analytics_enabled=False, delete_cache=CACHE) as page:
        gr.Markdown("# facegan\nAll faces are synthetic, except in photographs that you upload.")
        weights = gr.Dropdown(choices(outputs), value=tabs.DEFAULT_WEIGHTS, label="weights")
        truncation = gr.Slider(0, 2, value=1.0, step=0.05, label="truncation")
        with gr.Tab("Faces"):
            tabs.faces_tab(weights, truncation)
        with gr.Tab("By attributes"):
            tabs.order_tab(weights, truncation)
        with gr.Tab("Walk"):
            tabs.walk_tab(weights, truncation)
        with gr.Tab("Edit"):
            tabs.edit_tab(weights)
        with gr.Tab("Photograph"):
            tabs.photograph_tab(weights)
        with gr.Tab("Evaluation"):
            shown = gr.HTML(tabs.report(tabs.DEFAULT_WEIGHTS))
            tabs.on(weights.change, tabs.report, weights, shown)
        with gr.Tab("Training"):
            tabs.training_tab(training)
        page.load(lambda: gr.Dropdown(choices=choices(outputs)), None, weights)
    return page.queue(max_size=WAITING)
