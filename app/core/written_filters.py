"""A filter as it is written: its tests name attributes that nobody has checked yet."""

from typing import Literal, TypeAlias

from msgspec import Struct

from app.core.filters import All, AnyOf, Instant

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
