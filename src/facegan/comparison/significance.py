"""Means over seeds, and whether a difference is larger than its error."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# 97.5% quantiles of Student's t, by degrees of freedom; between two, the smaller one's is used
T_QUANTILES = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262,
    10: 2.228, 12: 2.179, 15: 2.131, 20: 2.086, 30: 2.042, 60: 2.000, 1000: 1.962,
}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """A measure of one run; `margin` is half of its 95% interval over the faces drawn."""

    value: float
    margin: float | None = None


@dataclass(frozen=True)
class Summary:
    """A measure over the seeds of one config."""

    values: tuple[Value, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(value.value for value in self.values)

    @property
    def deviation(self) -> float | None:
        """The sample's standard deviation; None for one seed."""
        return statistics.stdev(v.value for v in self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Difference:
    """A difference of means with its 95% margin; `over` says what the margin is over."""

    value: float
    margin: float | None
    over: str

    @property
    def is_larger_than_its_error(self) -> bool | None:
        return None if self.margin is None else abs(self.value) > self.margin

    def __str__(self) -> str:
        value = format_number(self.value, "+")
        if self.margin is None:
            return f"{value}, error unknown ({self.over})"
        relation = "larger" if self.is_larger_than_its_error else "not larger"
        return f"{value} ± {format_number(self.margin)}: {relation} than its error ({self.over})"


def difference(a: Summary, b: Summary) -> Difference:
    """Of the means, a - b.

    Where both have several seeds, the margin is that of Welch's t-test (1947). With single seeds it
    is that of the faces drawn, which does not cover how much another seed would change.
    """
    value = a.mean - b.mean
    if a.deviation is not None and b.deviation is not None:
        return Difference(value, _welch_margin(a, b), "over seeds")
    margins = [v.margin for v in (*a.values, *b.values)]
    if len(margins) == 2 and None not in margins:
        return Difference(value, math.hypot(*margins), "over faces, one seed each")  # type: ignore[arg-type]
    return Difference(value, None, "too few seeds")


def _welch_margin(a: Summary, b: Summary) -> float:
    parts = [(s.deviation or 0.0) ** 2 / len(s.values) for s in (a, b)]
    variance = sum(parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(
        part**2 / (len(s.values) - 1) for part, s in zip(parts, (a, b), strict=True)
    )
    return t_quantile(freedom) * math.sqrt(variance)


def t_quantile(freedom: float) -> float:
    """The 97.5% quantile of Student's t with at least one degree of freedom, rounded upwards."""
    return T_QUANTILES[max(known for known in T_QUANTILES if known <= max(freedom, 1))]


def margin_of(interval: Sequence[float | None]) -> float | None:
    """Half of an interval; None where there is none."""
    low, high = interval
    return None if low is None or high is None else (high - low) / 2


def format_number(value: float, sign: str = "") -> str:
    """Three significant digits, without an exponent for large numbers: 3.07, 0.0123, 1,234."""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"
