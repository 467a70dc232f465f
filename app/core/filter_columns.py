"""Values of many items by attribute, as arrays, so that a filter of all of them is a few operations."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from app.core.attributes import BUILT_IN, AttributeType
from app.core.catalogue import Card

Rows = NDArray[np.int32]
_Given: TypeAlias = tuple[list[int], list[Any]]


class Column(Struct, frozen=True):
    """The values of one attribute: for each the row that has it. Rows without a value are not there; those of a list
    are there for each of its texts.

    `values`: numbers, times in milliseconds, flags as 0 and 1, numbers of texts, or points of a sphere, three columns.
    `numbers`: of the texts.
    """

    rows: Rows
    values: NDArray[Any]
    numbers: Mapping[str, int] = {}
    whole: bool = False
    """Every row has one value, in the order of the rows."""


_EMPTY: Final[Mapping[AttributeType, Column]] = {
    kind: Column(np.zeros(0, np.int32), np.zeros((0, 3) if kind == "place" else 0))
    for kind in ("number", "text", "flag", "time", "list", "place")
}


class Columns:
    """The columns of some items, a row each. `count`: of the rows. Immutable."""

    def __init__(self, items: Iterable[tuple[str, Card]], names: Collection[str] | None = None) -> None:
        """`names`: the attributes that are needed; None: all."""
        given: defaultdict[str, _Given] = defaultdict(lambda: ([], []))
        row = -1
        for row, (item_id, card) in enumerate(items):
            for name, value in card.attributes.items():
                if names is None or name in names:
                    rows, values = given[name]
                    rows.append(row)
                    values.append(value)
            for name, value in zip(
                BUILT_IN,
                (item_id, card.title, card.categories, card.tags, card.published_ms, card.expires_ms, card.hidden),
                strict=True,
            ):
                if value is not None and (names is None or name in names):
                    rows, values = given[name]
                    rows.append(row)
                    values.append(value)
        self.count = row + 1
        self._columns = {
            (name, kind): structs.replace(_column(kind, *one), whole=kind != "list" and len(one[0]) == self.count)
            for name, found in given.items()
            for kind, one in _by_kind(name, found).items()
        }

    def of(self, name: str, kind: AttributeType) -> Column:
        """Values of another type than `kind` count as missing."""
        return self._columns.get((name, kind), _EMPTY[kind])


def _by_kind(name: str, given: _Given) -> dict[AttributeType, _Given]:
    """Values that were stored under another declaration are of another type."""
    rows, values = given
    if name in BUILT_IN:
        return {BUILT_IN[name]: given}
    kinds = list(map(_kind, values)) if {*map(type, values)} - _KINDS.keys() else [_KINDS[type(v)] for v in values]
    if len({*kinds}) < 2:
        return dict.fromkeys(kinds[:1], given)
    found: defaultdict[AttributeType, _Given] = defaultdict(lambda: ([], []))
    for row, value, kind in zip(rows, values, kinds, strict=True):
        found[kind][0].append(row)
        found[kind][1].append(value)
    return found


_KINDS: Final[Mapping[type, AttributeType]] = {bool: "flag", float: "number", int: "number", str: "text", list: "list"}


def _kind(value: Any) -> AttributeType:
    """The type of a value as it is stored: see `app.core.attributes`."""
    found = _KINDS.get(type(value))
    return found or ("time" if "at_ms" in value else "place")


def _column(kind: AttributeType, rows: Sequence[int], values: Sequence[Any]) -> Column:
    at = np.array(rows, np.int32)
    match kind:
        case "list":
            at = at.repeat([len(one) for one in values])
            return _column_of_texts(at, [text for one in values for text in one])
        case "text":
            return _column_of_texts(at, values)
        case "place":
            return Column(at, on_sphere([one["lat"] for one in values], [one["lon"] for one in values]))
        case "time":
            return Column(at, np.array([one if isinstance(one, int) else one["at_ms"] for one in values], np.float64))
    return Column(at, np.array(values, np.float64))


def _column_of_texts(rows: Rows, texts: Sequence[str]) -> Column:
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return Column(rows, np.fromiter(map(numbers.__getitem__, texts), np.int32, len(texts)), numbers)


def on_sphere(latitudes: Sequence[float], longitudes: Sequence[float]) -> NDArray[np.float64]:
    """Points of the globe, in degrees, as points of a sphere of radius 1, a row each."""
    up, around = np.radians(latitudes), np.radians(longitudes)
    return np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=1)
