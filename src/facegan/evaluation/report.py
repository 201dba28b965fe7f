"""The evaluation for a reader: a table for the terminal, and self-contained HTML pages."""

from collections.abc import Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from facegan.core.images import image_uri
from facegan.core.tables import table_text
from facegan.evaluation.metrics import Measure, Quantity
from facegan.evaluation.obedience import Obedience

OCTAVES = 3.0  # of the coverage chart, to each side


def measures_table(measures: Mapping[Quantity, Measure], reference: str) -> str:
    """One line per metric: label, value, uncertainty and the value of the `reference` images."""
    rows = [
        [metric.label, f"{measure.value:.4f}", uncertainty(measure), reference_value(measure)]
        for metric, measure in measures.items()
    ]
    return table_text(["", "generated", "uncertainty", reference], rows)


def obedience_table(obedience: Obedience) -> str:
    """One line per label, and the share of labels that are right in all faces and in rare ones."""
    rows = [
        [
            label.name,
            *(f"{v:.3f}" for v in (label.faces, label.photographs, label.others_moved)),
            "" if label.distance is None else f"{label.distance:.4f}",
        ]
        for label in obedience.labels
    ]
    header = ["label", "faces to order", "photographs", "others move by", "kernel distance"]
    share = f"right labels: {obedience.common:.3f}, of the rarest tenth {obedience.rare:.3f}\n"
    return table_text(header, rows, "Balanced accuracy of the labels") + share


def reference_value(measure: Measure) -> str:
    """The value of real photographs; empty if there are too few."""
    return f"{measure.reference:.4f}" if measure.reference is not None else ""


def uncertainty(measure: Measure) -> str:
    """The 95% interval or the standard error, if there is one."""
    if measure.low is not None and measure.high is not None:
        return f"[{measure.low:.4f}, {measure.high:.4f}]"
    if measure.standard_error is None:
        return ""
    return f"standard error {measure.standard_error:.4f}"


def render(template: str, package: str = "facegan.evaluation", **values: Any) -> str:
    """A page without outside links, from a template in `package`, with every value escaped."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("facegan.evaluation")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (image_uri, uncertainty, reference_value, bar)
    environment.filters |= {function.__name__: function for function in filters}
    return environment.get_template(template).render(values)


def bar(log_ratio: float) -> tuple[float, float]:
    """The left end and the width of a bar from the chart's middle, in percent of its width."""
    length = 50 * max(-1.0, min(1.0, log_ratio / OCTAVES))
    return 50 + min(length, 0), abs(length)
