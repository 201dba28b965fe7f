"""The evaluation for a reader: a table for the terminal and one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from torch import Tensor

from facegan.core.images import grid, image_uri
from facegan.evaluation.coverage import AttributeShare
from facegan.evaluation.metrics import Measure, Metric

OCTAVES = 3.0  # of the coverage chart, to each side


def text_table(measures: Mapping[Metric, Measure], reference: str) -> str:
    """One line per metric: label, value, uncertainty and the value of the `reference` images."""
    lines = [f"{'':20}{'generated':>12}  {'':24}{reference:>16}"]
    for metric, measure in measures.items():
        lines.append(
            f"{metric.label:20}{measure.value:12.4f}  {uncertainty(measure):24}"
            f"{reference_value(measure):>16}"
        )
    return "\n".join(lines)


def reference_value(measure: Measure) -> str:
    """The value of real photographs; nothing where there are too few to have one."""
    return f"{measure.reference:.4f}" if measure.reference is not None else ""


def uncertainty(measure: Measure) -> str:
    """The interval or the standard error, where there is one."""
    if measure.low is not None and measure.high is not None:
        return f"[{measure.low:.4f}, {measure.high:.4f}]"
    return f"± {measure.standard_error:.4f}" if measure.standard_error is not None else ""


def html_page(
    facts: Mapping[str, str],
    measures: Mapping[Metric, Measure],
    coverage: Sequence[AttributeShare],
    reference: str,
    faces: Tensor,
    pairs: tuple[Tensor, Tensor],
    distances: Sequence[float],
) -> str:
    """One page without outside links.

    `reference` says what the images are that the faces are compared with. `faces`
    (N, 3, H, W) uint8 become the grid; `pairs` are generated faces and their nearest training
    images, (K, 3, H, W) uint8 each, with their `distances`.
    """
    return render(
        "evaluation.html",
        facts=facts,
        measures=measures,
        coverage=coverage,
        reference=reference,
        faces=grid(faces, columns=16),
        pairs=list(zip(*pairs, distances, strict=True)),
    )


def render(template: str, package: str = "facegan.evaluation", **values: Any) -> str:
    """A page from a template of `package` or of this one, with every value escaped."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("facegan.evaluation")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "image_uri": image_uri,
        "uncertainty": uncertainty,
        "reference_value": reference_value,
        "bar": bar,
    }
    return environment.get_template(template).render(values)


def bar(log_ratio: float) -> tuple[float, float]:
    """The left end and the width of a bar from the chart's middle, in percent of its width."""
    length = 50 * max(-1.0, min(1.0, log_ratio / OCTAVES))
    return 50 + min(length, 0), abs(length)
