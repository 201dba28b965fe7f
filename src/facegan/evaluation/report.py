"""The evaluation as a person reads it: a table for the terminal, one self-contained page."""

import base64
import html
import io
from collections.abc import Mapping, Sequence

from torch import Tensor

from facegan.evaluation.coverage import AttributeShare
from facegan.evaluation.metrics import Measure
from facegan.images import grid, to_pil

# what each measure says, and which way is better
DESCRIPTIONS = {
    "frechet_distance": "how far the faces are from real ones as a whole; lower is better",
    "kernel_distance": "the same without assuming Gaussians, unbiased; lower is better",
    "precision": "share of generated faces that lie among real ones: quality",
    "recall": "share of real faces that lie among generated ones: variety",
    "density": "how densely real faces surround the generated ones: quality, may exceed 1",
    "coverage": "share of real faces with a generated one nearby: variety",
    "copied": "share of faces as near to a training face as 1% of held-out ones are: originality",
}


def text_table(measures: Mapping[str, Measure], labels: Mapping[str, str]) -> str:
    """One line a measure: name, value, uncertainty, and what real photographs score."""
    lines = [f"{'':20}{'generated':>12}  {'':24}{'real photographs':>16}"]
    for name, measure in measures.items():
        label = labels.get(name, name)
        lines.append(
            f"{label:20}{measure.value:12.4f}  {uncertainty(measure):24}{measure.real:16.4f}"
        )
    return "\n".join(lines)


def uncertainty(measure: Measure) -> str:
    """The interval or the standard error, where there is one."""
    if measure.low is not None and measure.high is not None:
        return f"[{measure.low:.4f}, {measure.high:.4f}]"
    return f"± {measure.standard_error:.4f}" if measure.standard_error is not None else ""


def html_page(
    title: str,
    facts: Mapping[str, str],
    measures: Mapping[str, Measure],
    labels: Mapping[str, str],
    coverage: Sequence[AttributeShare],
    faces: Tensor,
    pairs: tuple[Tensor, Tensor],
    distances: Sequence[float],
) -> str:
    """One page without outside links.

    `faces` (N, 3, H, W) uint8 become the grid; `pairs` are the suspects and their nearest training
    faces, (K, 3, H, W) uint8 each, with their `distances`.
    """
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        _facts(facts),
        "<h2>Measures</h2>",
        _measure_table(measures, labels),
        "<h2>Faces</h2><p>The first of them, not chosen by anybody.</p>",
        f'<img class="grid" src="{data_uri(grid(faces, columns=16), 2)}" alt="generated faces">',
        "<h2>Attribute coverage</h2>",
        "<p>How often the generated faces show each attribute, against the real ones, both as the "
        "same classifier sees them. Dropped most on top, overdone most at the bottom.</p>",
        coverage_chart(coverage),
        "<h2>Most suspicious pairs</h2>",
        "<p>The generated faces (above) that are nearest to a training face (below), with the "
        "distance between them in feature space.</p>",
        _pairs(*pairs, distances),
    ]
    return _PAGE.format(title=html.escape(title), body="\n".join(sections))


def coverage_chart(shares: Sequence[AttributeShare]) -> str:
    """An SVG of a bar per attribute: left where it is dropped, right where it is overdone."""
    row, middle, unit, limit = 18, 420, 80, 3.0  # pixels, pixels, pixels per factor of two
    bars = []
    for i, share in enumerate(shares):
        y = i * row
        length = max(-limit, min(limit, share.log_ratio)) * unit
        colour = "#b5482f" if share.log_ratio < 0 else "#2f6db5"
        name = html.escape(share.name.replace("_", " "))
        numbers = f"{share.real:6.1%} → {share.generated:6.1%}"
        bars.append(
            f'<text x="150" y="{y + 13}" text-anchor="end">{name}</text>'
            f'<rect x="{middle + min(length, 0):.1f}" y="{y + 3}" width="{abs(length):.1f}" '
            f'height="{row - 5}" fill="{colour}"/>'
            f'<text x="{middle + 260}" y="{y + 13}">{numbers}</text>'
        )
    height = len(shares) * row + 24
    return (
        f'<svg viewBox="0 0 800 {height}" width="800" height="{height}" role="img" '
        'aria-label="attribute coverage">'
        + "".join(bars)
        + "".join(_tick(middle + power * unit, power, height) for power in (-3, -2, -1, 0, 1, 2, 3))
        + "</svg>"
    )


def data_uri(image: Tensor, upscale: int = 1) -> str:
    """(C, H, W) uint8 -> a PNG that lives in the page itself."""
    buffer = io.BytesIO()
    to_pil(image, upscale).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _tick(x: int, power: int, height: int) -> str:
    label = f"×{2**power}" if power >= 0 else f"×1/{2**-power}"
    return (
        f'<line x1="{x}" x2="{x}" y1="0" y2="{height - 20}" stroke="#8885" />'
        f'<text x="{x}" y="{height - 6}" text-anchor="middle">{label}</text>'
    )


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts.items()
    )
    return f'<table class="facts">{rows}</table>'


def _measure_table(measures: Mapping[str, Measure], labels: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th>{labels.get(name, name)}</th><td>{measure.value:.4f}</td>"
        f"<td>{uncertainty(measure)}</td><td>{measure.real:.4f}</td>"
        f"<td class='meaning'>{DESCRIPTIONS[name]}</td></tr>"
        for name, measure in measures.items()
    )
    head = "<tr><th></th><th>generated</th><th></th><th>real photographs</th><th>meaning</th></tr>"
    return f'<table class="measures">{head}{rows}</table>'


def _pairs(suspects: Tensor, nearest: Tensor, distances: Sequence[float]) -> str:
    cells = "".join(
        f'<figure><img src="{data_uri(a, 3)}" alt="generated"><img src="{data_uri(b, 3)}" '
        f'alt="training"><figcaption>{distance:.3f}</figcaption></figure>'
        for a, b, distance in zip(suspects, nearest, distances, strict=True)
    )
    return f'<div class="pairs">{cells}</div>'


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }}
h2 {{ margin-top: 2.2rem }}
table {{ border-collapse: collapse }} th {{ text-align: left; padding-right: 1.2rem }}
td {{ padding-right: 1.2rem; font-variant-numeric: tabular-nums }}
.measures td, .measures th {{ border-bottom: 1px solid #ddd; padding: .3rem 1.2rem .3rem 0 }}
.meaning {{ color: #666 }} img {{ image-rendering: pixelated }} .grid {{ max-width: 100% }}
svg text {{ font-size: 12px; fill: #222; white-space: pre }}
.pairs {{ display: flex; flex-wrap: wrap; gap: 12px }}
figure {{ margin: 0; width: 84px; text-align: center }} figure img {{ display: block }}
</style></head><body>
{body}
</body></html>
"""
