"""Means over seeds, and whether a difference is larger than its error."""

import math
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A measure over the seeds of one config."""

    values: tuple[float, ...]
    margin: float | None = None  # of a single value: half of its 95% interval over the faces drawn

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The sample's standard deviation; None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Difference:
    """A difference of means with its 95% margin over seeds or faces, as `over` states."""

    value: float
    margin: float | None
    over: str

    @property
    def is_larger_than_its_error(self) -> bool | None:
        return None if self.margin is None else abs(self.value) > self.margin

    def __str__(self) -> str:
        if self.margin is None:
            return f"{format_number(self.value, '+')}, error unknown ({self.over})"
        value, margin = round_to_error(self.value, self.margin, "+")
        relation = "larger" if self.is_larger_than_its_error else "not larger"
        return f"{value} ± {margin}: {relation} than its error ({self.over})"


def difference(a: Summary, b: Summary) -> Difference:
    """Of the means, a - b.

    If both have several seeds, the margin is that of Welch's t-test (1947). With single seeds it
    is that of the faces drawn, which does not cover the variation over seeds.
    """
    value = a.mean - b.mean
    if a.deviation is not None and b.deviation is not None:
        return Difference(value, welch_margin(a, b), "over seeds")
    if a.margin is not None and b.margin is not None:
        return Difference(
            value,
            math.hypot(a.margin, b.margin),
            "over the faces of one seed each: other seeds may differ by more",
        )
    return Difference(value, None, "too few seeds")


def welch_margin(a: Summary, b: Summary) -> float:
    """Half of Welch's 95% interval for the difference of two means over several seeds each."""
    from scipy.special import stdtrit  # imports for half a second

    counts = [len(summary.values) for summary in (a, b)]
    parts = [(s.deviation or 0.0) ** 2 / n for s, n in zip((a, b), counts, strict=True)]
    variance = sum(parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(part**2 / (n - 1) for part, n in zip(parts, counts, strict=True))
    return float(stdtrit(freedom, 0.975) * math.sqrt(variance))


def format_number(value: float, sign: str = "") -> str:
    """Three significant digits, without an exponent for large numbers: 3.07, 0.0123, 1,234."""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"


def round_to_error(value: float, error: float, sign: str = "") -> tuple[str, str]:
    """Both with the decimals of the error's first digit, and one more if it is a 1.

    (115.03, 0.0253) -> "115.03", "0.03"; (3.1, 0.141) -> "3.10", "0.14".
    """
    if not 0 < error < math.inf:
        return format_number(value, sign), format_number(error)
    exponent = math.floor(math.log10(error))
    decimals = max(0, -exponent + (error < 2 * 10**exponent))
    return f"{value:{sign},.{decimals}f}", f"{error:,.{decimals}f}"
