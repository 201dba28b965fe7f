"""Faces as HTML with the PNGs inside. Gradio's own gallery writes a file for each face."""

from collections.abc import Sequence

FACE = 160  # pixels of a face in a strip, at most
Face = tuple[str, int]  # the data URI of a PNG, and the seed
CSS = f"""
.faces {{ display: grid; grid-template-columns: repeat(8, 1fr); gap: 6px }}
.faces figure, .strip figure {{ margin: 0; text-align: center }}
.faces figure {{ cursor: zoom-in }}
.faces img, .strip img {{ width: 100%; display: block; image-rendering: pixelated }}
.faces figure:focus {{ outline: none; cursor: zoom-out }}
.faces figure:focus img {{ position: fixed; inset: 0; margin: auto; z-index: 99;
  width: min(80vw, 80vh); box-shadow: 0 0 0 100vmax #000a }}
.faces figcaption, .strip figcaption {{ font-size: .75em }}
.strip {{ display: grid; gap: 6px;
  grid-template-columns: repeat(var(--columns), minmax(0, {FACE}px)) }}
.chart {{ margin: 0 }}
.chart svg {{ width: 100%; display: block; font-size: 13px; fill: currentColor }}
.chart .title {{ font-weight: bold }}
.chart line {{ stroke: currentColor; opacity: .15 }}
.chart .x {{ text-anchor: middle }}
.chart .y {{ text-anchor: end }}
.chart polyline {{ fill: none; stroke-width: 2; stroke-linecap: round }}
.chart .healthy {{ stroke-width: 6; opacity: .6 }}
.chart figcaption {{ font-size: .85em }}
.prose td {{ min-width: 6em }}
@media (max-width: 600px) {{
  .faces {{ grid-template-columns: repeat(3, 1fr) }}
  .strip {{ grid-template-columns: repeat(var(--phone), minmax(0, {FACE}px)) }}
}}
"""


def tiles(faces: Sequence[Face]) -> str:
    """A grid of faces: a click enlarges one, and the seed below it is a link to its PNG."""
    tile = (
        '<figure tabindex="0" onkeydown="if (event.key === \'Escape\') this.blur()">'
        '<img src="{0}" alt="the face of seed {1}"><figcaption>'
        '<a href="" download="seed-{1:04}.png" onclick="this.href = '
        "this.closest('figure').firstChild.src\">{1}</a></figcaption></figure>"
    )
    return f'<div class="faces">{"".join(tile.format(*face) for face in faces)}</div>'


def strip(columns: Sequence[Sequence[str]], phone: int, captions: Sequence[str] = ()) -> str:
    """Columns of images' data URIs, side by side, or `phone` in a row of a phone."""
    figures = ""
    for column, caption in zip(columns, captions or [""] * len(columns), strict=True):
        images = "".join(f'<img src="{uri}" alt="a face">' for uri in column)
        figures += f"<figure>{images}<figcaption>{caption}</figcaption></figure>"
    style = f"--columns: {len(columns)}; --phone: {phone}"
    return f'<div class="strip" style="{style}">{figures}</div>'
