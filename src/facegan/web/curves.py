"""Curves of a run as SVG: losses together, logits together, quality."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from facegan.comparison.runs import Entry, read_run

CHARTS = {
    "losses": ("D_loss", "G_loss"),
    "D's logits": ("D_real_logits", "D_fake_logits"),
    "Fréchet distance": ("frechet_distance",),
    "precision and recall": ("precision", "recall"),
}
COLOURS = ("#3b78c0", "#d9722e")
WIDTH, HEIGHT, MARGIN = 360, 170, 44
POINTS = 300

Curve = list[tuple[float, float]]  # images, value


def curves_html(folder: Path | None) -> str:
    """The charts of the run in `folder` that have values so far."""
    entries = read_run(folder).entries if folder is not None else []
    logged = {name for entry in entries for name in entry}
    charts = [
        chart(title, entries, names) for title, names in CHARTS.items() if logged & set(names)
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:1rem">{"".join(charts)}</div>'


def chart(title: str, entries: Sequence[Entry], names: Sequence[str]) -> str:
    """One SVG with a curve for each name."""
    curves = [curve(entries, name) for name in names]
    points = [point for points in curves for point in points]
    legend = " ".join(
        f'<tspan fill="{colour}">{escape(name)}</tspan>'
        for name, colour in zip(names, COLOURS, strict=False)
    )
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" style="max-width:100%" role="img"'
    text = f'<text x="{MARGIN}" y="14" font-size="12" fill="currentColor">{escape(title)}: {legend}'
    return f'{head} aria-label="{escape(title)}">{text}</text>{plot(curves, points)}</svg>'


def curve(entries: Sequence[Entry], name: str) -> Curve:
    """At most POINTS points of a measure, with the newest."""
    points = [(entry["images"], entry[name]) for entry in entries if name in entry]
    stride = -(-len(points) // POINTS) or 1
    return points[::-1][::stride][::-1]


def plot(curves: Sequence[Curve], points: Curve) -> str:
    """The polylines and the ends of both axes."""
    right = max(x for x, _ in points) or 1.0
    low, high = min(y for _, y in points), max(y for _, y in points)
    high = high if high > low else low + 1
    bottom = HEIGHT - 24

    def place(x: float, y: float) -> str:
        along = MARGIN + x / right * (WIDTH - MARGIN - 8)
        return f"{along:.1f},{bottom - (y - low) / (high - low) * (bottom - 26):.1f}"

    lines = [
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="'
        f'{" ".join(place(*point) for point in points)}"/>'
        for points, colour in zip(curves, COLOURS, strict=False)
    ]
    labels = [
        label(MARGIN - 4, 32, f"{high:.3g}"),
        label(MARGIN - 4, bottom, f"{low:.3g}"),
        label(WIDTH - 8, HEIGHT - 6, f"{right:,.0f} images"),
    ]
    return "".join(lines + labels)


def label(x: float, y: float, text: str) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="11" fill="currentColor" text-anchor="end">{text}</text>'
    )
