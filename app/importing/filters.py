"""Which rows are taken: conditions such as `rating>=4`."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from app.errors import UserError
from app.importing.values import Refused, absent, finder, number_of, shown

_CONDITION: Final = re.compile(r"\s*(?P<column>[^=<>!]+?)\s*(?P<operator>!=|<>|<=|>=|==?|<|>)\s*(?P<value>.*?)\s*\Z")

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
    operator = _ALSO.get(found["operator"], found["operator"])
    if operator not in ("=", "!=") and number_of(found["value"]) is None:
        raise UserError(f"--where {text}: {operator} compares numbers, and {found['value'] or 'nothing'} is none")
    return Condition(found["column"], operator, found["value"])


def checker(of: Condition) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a row's values fulfil the condition. It raises `Refused` for a text in the place of a number."""
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
    bound = number_of(of.value)
    assert bound is not None  # `condition` refuses it

    def compares(values: Mapping[str, Any]) -> bool:
        value = find(values)
        if absent(value):
            return False
        number = number_of(value)
        if number is None:
            raise Refused(f"{of.column}: {shown(value)} is not a number that {of} may be compared with")
        if of.operator.startswith("<"):
            return number < bound or (of.operator == "<=" and number == bound)
        return number > bound or (of.operator == ">=" and number == bound)

    return compares
