"""A filter as it is written: its tests name attributes that nobody has checked yet."""

import re
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from app.core.filters import All, AnyOf, Instant

# As `WORD` of the language.
_WORD: Final = re.compile(r"[^\W\d]\w*")
# Where a name may stand, these are no names.
_OF_THE_LANGUAGE: Final = ("not", "distance")

Value: TypeAlias = str | float | bool | Instant


class Test(Struct, frozen=True):
    """A test of one attribute as it is written. `at`: the character where it begins, from 1."""

    name: str
    at: int
    test: Literal["bare", "exists", "compared", "one_of", "has", "near"]
    operator: str = "="
    values: tuple[Value, ...] = ()
    place: tuple[float, float] = (0.0, 0.0)


class Negated(Struct, frozen=True):
    part: "Written"
    depth: int


class Joined(Struct, frozen=True):
    joined: type[All | AnyOf]
    parts: "tuple[Written, ...]"
    depth: int


Written: TypeAlias = Test | Negated | Joined


def written_name(name: str) -> str:
    """The name as a filter has it."""
    if _WORD.fullmatch(name) and name.lower() not in _OF_THE_LANGUAGE:
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
