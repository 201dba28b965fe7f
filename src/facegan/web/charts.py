"""Curves of a training as SVG. Gradio's plots keep the first colours and names that they show."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from facegan.core.run_files import Entry, thin
from facegan.web.training import HEALTHY

MAX_POINTS = 300  # of a curve
WIDTH, HEIGHT = 400, 222
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 26, 36  # margins
COLOURS = ("#d9480f", "#1971c2")  # of two metrics
GREY = "#9aa0a6"

Points = list[tuple[float, float]]  # images, value


class Chart(NamedTuple):
    """Metrics that are logged together, what they say, and what their axis shows at least."""

    title: str
    metrics: tuple[str, ...]
    text: str  # HTML
    range: tuple[float, ...] = ()
    beside: bool = False  # whether the healthy run's curve is shown


QUALITY = Chart(
    "Fréchet distance",
    ("frechet_distance",),
    "How far the generated faces as a whole are from faces that no training has seen: 0 is the "
    "best. It is high if the faces are bad, and if they are <b>all alike</b>.",
    (0, 150),
    True,
)
CHARTS = (
    QUALITY,
    Chart(
        "logits",
        ("D_real_logits", "D_fake_logits"),
        "D's mean logit (rating) of training images and generated faces. <b>Close together</b>: D "
        "can hardly tell them apart, as it should be. <b>Far apart, the generated ones below "
        "0</b>: saturation. <b>The real ones far above, faces do not improve</b>: D memorizes its "
        "images. Just after the remedy they rise, and faces improve: harmless. <b>Millions</b>: "
        "divergence.",
    ),
    Chart(
        "losses",
        ("D_loss", "G_loss"),
        "Each network's loss is measured against the other network; neither measures the faces. "
        "In a good training both are almost constant. <b>Flat near 0</b> (<code>minimax</code>): "
        "saturation.",
        (0,),
    ),
    Chart(
        "shares",
        ("precision", "recall"),
        "Precision: the share of the generated faces that look like real ones. Recall: the share "
        "of the real ones that the generator can draw, 0 at first. <b>Recall falls back to 0 after "
        "it was higher</b>: mode collapse. While recall is near 0, precision means little: faces "
        "that are all alike may all look real, or none.",
        (0, 1),
    ),
)


def draw(chart: Chart, entries: Sequence[Entry], healthy: Sequence[Entry]) -> str:
    """The curves of a run, over the healthy one's in grey; empty if the run has none."""
    curves = {name: _points(name, entries) for name in chart.metrics}
    if not any(curves.values()):
        return ""
    colours = dict(zip(chart.metrics, COLOURS, strict=False))
    if chart.beside and (beside := _points(chart.metrics[0], healthy)):
        curves, colours = {HEALTHY: beside, **curves}, {HEALTHY: GREY, **colours}
    names = "".join(f'<tspan dx="12" fill="{c}">— {name}</tspan>' for name, c in colours.items())
    return (
        f'<figure class="chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f'<text x="4" y="14"><tspan class="title">{chart.title}</tspan>{names}</text>'
        f"{_drawn(curves, colours, chart.range)}</svg>"
        f"<figcaption>{chart.text}</figcaption></figure>"
    )


def _points(name: str, entries: Sequence[Entry]) -> Points:
    return thin([(entry["images"], entry[name]) for entry in entries if name in entry], MAX_POINTS)


def _drawn(curves: Mapping[str, Points], colours: Mapping[str, str], least: Sequence[float]) -> str:
    """The axes, whose range has the values `least` and all points, and the curves."""
    images, values = zip(*itertools.chain(*curves.values()), strict=True)
    right, low, high = max(images), min(*values, *least), max(*values, *least)
    height = (high - low) or 1.0

    def x(images: float) -> float:
        return LEFT + images / right * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / height * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text class="y" x="{LEFT - 5}" y="{y(t) + 4:.1f}">{_number(t)}</text>'
        for t in _ticks(low, low + height)
    ]
    parts += [
        f'<text class="x" x="{x(t):.1f}" y="{HEIGHT - 20}">{_number(t)}</text>'
        for t in _ticks(0, right)
    ]
    parts.append(f'<text class="x" x="{x(right / 2):.1f}" y="{HEIGHT - 5}">images</text>')
    for name, points in curves.items():
        ends = points if len(points) > 1 else points * 2  # a dot
        path = " ".join(f"{x(images):.1f},{y(value):.1f}" for images, value in ends)
        parts.append(f'<polyline class="{name}" points="{path}" stroke="{colours[name]}"/>')
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers at equal distances, about four."""
    power = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= (high - low) / 4)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _number(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
