"""Which items a filter keeps. Texts become filters in `app.core.filter_language`.

There are two outcomes, not three: a comparison with a missing value does not hold, and so its `not` does.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from math import pi, sin
from typing import Any, Final, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.attributes import AttributeType, Place
from app.core.catalogue import Card
from app.core.filter_columns import Column, Columns, on_sphere

Mask: TypeAlias = NDArray[np.bool_]

_EARTH_M: Final = 6_371_008.8
# So many comparisons take less time than a search.
_FEW: Final = 8
COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}


class Instant(Struct, frozen=True):
    """A time: `ms` since 1970 or, if `relative`, since now."""

    ms: int
    relative: bool = False

    def at(self, now_ms: int) -> int:
        return self.ms + now_ms if self.relative else self.ms


class Exists(Struct, frozen=True):
    """The item has a value of the attribute."""

    name: str
    kind: AttributeType


class Compared(Struct, frozen=True):
    """A number, a flag (0 or 1) or a time, compared. `operator`: one of `COMPARISONS`."""

    name: str
    kind: AttributeType
    operator: str
    value: float | Instant


class OneOf(Struct, frozen=True):
    """The value is one of these or, of a list, any of its texts is."""

    name: str
    kind: AttributeType
    values: tuple[str | float | Instant, ...]


class Near(Struct, frozen=True):
    """The distance from a point, in metres, compared."""

    name: str
    place: Place
    operator: str
    metres: float


class Not(Struct, frozen=True):
    part: "Node"


class All(Struct, frozen=True):
    parts: "tuple[Node, ...]"


class AnyOf(Struct, frozen=True):
    parts: "tuple[Node, ...]"


Node: TypeAlias = Exists | Compared | OneOf | Near | Not | All | AnyOf


class Filter(Struct, frozen=True):
    """`names`: the attributes that it looks at."""

    root: Node
    names: frozenset[str]

    @property
    def goes_by_the_clock(self) -> bool:
        """Whether what it keeps changes as time passes."""
        return any(value.relative for value in _instants(self.root))

    def keeps(self, columns: Columns, now_ms: int) -> Mask:
        """By row."""
        return _mask(self.root, columns, now_ms)

    def kept(self, item_ids: Sequence[str], cards: Mapping[str, Card], now_ms: int) -> list[str]:
        """Those of these items that it keeps, in their order."""
        columns = Columns([(item_id, cards[item_id]) for item_id in item_ids], self.names)
        keeps = self.keeps(columns, now_ms).tolist()
        return [item_id for item_id, kept in zip(item_ids, keeps, strict=True) if kept]

    def within(self, category: str | None) -> "Filter":
        """The same of one category's items; None: of all."""
        if category is None:
            return self
        return Filter(All((self.root, OneOf("categories", "list", (category,)))), self.names | {"categories"})


def _mask(node: Node, columns: Columns, now_ms: int) -> Mask:
    match node:
        case Not():
            return ~_mask(node.part, columns, now_ms)
        case All():
            return reduce(np.logical_and, [_mask(part, columns, now_ms) for part in node.parts])
        case AnyOf():
            return reduce(np.logical_or, [_mask(part, columns, now_ms) for part in node.parts])
        case Near():
            column = columns.of(node.name, "place")
            return _at(
                columns, column, COMPARISONS[node.operator](_chords(column.values, node.place), _chord(node.metres))
            )
    column = columns.of(node.name, node.kind)
    match node:
        case Exists():
            holds = np.ones(len(column.rows), np.bool_)
        case Compared():
            value = node.value.at(now_ms) if isinstance(node.value, Instant) else node.value
            holds = COMPARISONS[node.operator](column.values, value)
        case OneOf():
            holds = _is_one_of(column.values, _plain(node, column, now_ms))
    return _at(columns, column, holds)


def _instants(node: Node) -> Iterator[Instant]:
    match node:
        case Not():
            yield from _instants(node.part)
        case All() | AnyOf():
            for part in node.parts:
                yield from _instants(part)
        case Compared():
            if isinstance(node.value, Instant):
                yield node.value
        case OneOf():
            yield from (value for value in node.values if isinstance(value, Instant))


def _at(columns: Columns, column: Column, holds: Mask) -> Mask:
    if column.whole:
        return holds
    found = np.zeros(columns.count, np.bool_)
    found[column.rows[holds]] = True
    return found


def _is_one_of(values: NDArray[Any], wanted: Sequence[float]) -> Mask:
    if len(wanted) > _FEW:
        return np.isin(values, wanted)
    return reduce(np.logical_or, [values == one for one in wanted], np.zeros(len(values), np.bool_))


def _plain(node: OneOf, column: Column, now_ms: int) -> list[float]:
    if node.kind in ("text", "list"):
        return [column.numbers[value] for value in node.values if isinstance(value, str) and value in column.numbers]
    return [value.at(now_ms) if isinstance(value, Instant) else float(value) for value in node.values]


def _chords(points: NDArray[np.float64], place: Place) -> NDArray[np.float64]:
    """The squares of the straight lines to the place: exact for near points, where angles are not."""
    found: NDArray[np.float64] = np.square(points - on_sphere([place.lat], [place.lon])).sum(axis=1)
    return found


def _chord(metres: float) -> float:
    """The square of the straight line between two points that are so far apart on the globe."""
    return (2 * sin(min(metres / _EARTH_M, pi) / 2)) ** 2
