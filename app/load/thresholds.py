"""Conditions on the results, as text: `single.rate/baseline.post>=0.6`.

    condition = value [ "/" value ] ( ">=" | "<=" | ">" | "<" ) number
    value     = row [ "." field ]            the field is `rate` when left out

Rows and fields are those of `results`. A value is the median over the rounds, and a ratio is the median of the ratios
of the rounds. No other syntax is accepted, and nothing is executed.
"""

import operator
import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from app.errors import UserError
from app.load.results import FIELDS, ROWS, Results

_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_SHAPE: Final = re.compile(r"\s*([\w.]+)\s*(?:/\s*([\w.]+)\s*)?(>=|<=|>|<)\s*(\d+(?:\.\d+)?)\s*", re.ASCII)

# Conditions written for releases up to 0.1 name the rows of the baselines `floor.…`.
_FORMER_ROW: Final = re.compile(r"^floor\.")


class Threshold(Struct, frozen=True):
    """`value / by  comparison  bound`; `by` is None for a plain value."""

    text: str
    value: tuple[str, str]
    by: tuple[str, str] | None
    comparison: str
    bound: float

    @property
    def rows(self) -> list[str]:
        return [self.value[0], *([self.by[0]] if self.by else [])]


class ThresholdResult(Struct, frozen=True):
    """`actual` is None when a row or field was not measured, and then the threshold is not met."""

    threshold: Threshold
    actual: float | None
    passed: bool


def parse(text: str) -> Threshold:
    """Raises `UserError` that says what was expected."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise UserError(
            f"{text!r} is not a valid condition; write for example single.rate/baseline.post>=0.6 or visible.p99<1000"
        )
    value, by, comparison, bound = match.groups()
    return Threshold(text.strip(), _value(value), _value(by) if by else None, comparison, float(bound))


def evaluate(threshold: Threshold, results: Results) -> ThresholdResult:
    if threshold.by is None:
        spread = results.median_range(*threshold.value)
    else:
        spread = results.ratio(*threshold.value, *threshold.by)
    actual = None if spread is None else spread.median
    passed = actual is not None and _COMPARISONS[threshold.comparison](actual, threshold.bound)
    return ThresholdResult(threshold, actual, passed)


def _value(text: str) -> tuple[str, str]:
    text = _FORMER_ROW.sub("baseline.", text)
    if text in ROWS:
        return text, "rate"
    row, _, name = text.rpartition(".")
    if row in ROWS and name in FIELDS:
        return row, name
    raise UserError(
        f"{text!r} is not a measured value: a row ({', '.join(ROWS)}), a dot, and a field ({', '.join(FIELDS)})"
    )
