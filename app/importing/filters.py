"""Which rows are taken: conditions such as `rating>=4`."""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from app.errors import UserError
from app.importing.times import time_parser
from app.importing.values import Refused, absent, finder, number_of, shown

_CONDITION: Final = re.compile(r"\s*(?P<column>[^=<>!]+?)\s*(?P<operator>!=|<>|<=|>=|==?|<|>)\s*(?P<value>.*?)\s*\Z")

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_parse_time: Final = time_parser("auto", "UTC", latest_ms=None, old_dates=True)
_ALSO: Final = {"==": "=", "<>": "!="}


class Condition(Struct, frozen=True):
    """A column, one of = != < <= > >=, and what its value is compared with.

    `=` and `!=` take several values with | between them, and none for a missing one.
    """

    column: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"


def condition(text: str) -> Condition:
    """Raises `UserError`."""
    found = _CONDITION.match(text)
    if found is None:
        raise UserError(f"--where {text}: a condition such as rating>=4, event=view|click or user_id!= is expected")
    sign = _ALSO.get(found["operator"], found["operator"])
    if sign not in ("=", "!=") and number_of(found["value"]) is None and _time_of(found["value"]) is None:
        value = found["value"] or "nothing"
        raise UserError(f"--where {text}: {sign} compares numbers and times such as 2026-01-31, and {value} is neither")
    return Condition(found["column"], sign, found["value"])


def checker(of: Condition) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a row's values fulfil the condition. It raises `Refused` for a text that is no number, or no time."""
    find = finder(of.column)
    if of.operator in ("=", "!="):
        wanted = frozenset(value.strip() for value in of.value.split("|")) if of.value else frozenset({""})
        numbers = frozenset(map(number_of, wanted)) - {None}
        equal = of.operator == "="

        def matches(values: Mapping[str, Any]) -> bool:
            value = find(values)
            text = "" if absent(value) else str(value).strip()
            return (text in wanted or (bool(numbers) and number_of(text) in numbers)) is equal

        return matches
    is_number = number_of(of.value) is not None
    measure: Callable[[Any], float | None] = number_of if is_number else _time_of
    bound = measure(of.value)
    assert bound is not None  # `condition` refuses it
    compare = _COMPARE[of.operator]

    def compares(values: Mapping[str, Any]) -> bool:
        value = find(values)
        if absent(value):
            return False
        found = measure(value)
        if found is None:
            kind = "number" if is_number else "time"
            raise Refused(f"{of.column}: {shown(value)} is not a {kind} that {of} may be compared with")
        return compare(found, bound)

    return compares


def _time_of(value: Any) -> int | None:
    """Milliseconds since 1970; None for what is no time of a usual form."""
    try:
        return _parse_time(value)
    except ValueError:
        return None
