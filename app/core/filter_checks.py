"""Whether a filter fits the declared attributes: known names, values of their types, comparisons that the type has."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.core.attributes import AttributeType, Place, ReadTime
from app.core.filters import All, Compared, Exists, Instant, Near, Node, Not, OneOf
from app.core.written_filters import Joined, Negated, Test, Value, Written, written_name

MAX_VALUES: Final = 500
MAX_DISTANCES: Final = 10
"""One takes 3 ms for 100,000 items, a hundred times as long as a comparison."""
_MAX_NAMES_SHOWN: Final = 20
_ORDERED: Final = ("number", "time")
_ORDERS: Final = ("<", "<=", ">", ">=")

_HOW: Final[Mapping[AttributeType, str]] = {
    "number": "write {name} < 50, {name} = 50 or {name} in (50, 60)",
    "text": "write {name} = 'some text' or {name} in ('some text', 'another')",
    "flag": "write {name}, or not {name}",
    "time": "write {name} > '2026-12-24', {name} > '2026-12-24T18:00:00+01:00' or {name} > now - 7d",
    "list": "write {name} has 'some text' or {name} in ('some text', 'another')",
    "place": "write distance({name}, 52.5, 13.4) < 5 km",
}
_NEVER: Final = Not(All(()))


class FilterChecker:
    """`names` are those that the filter looks at; `faults` is what is wrong, empty for a filter that fits."""

    def __init__(self, known: Mapping[str, AttributeType], read_time: ReadTime) -> None:
        self._known = known
        self._read_time = read_time
        self._values = 0
        self._distances = 0
        self.names: set[str] = set()
        self.faults: list[str] = []

    def node(self, written: Written) -> Node:
        """The checked tree; it means nothing when there are faults."""
        match written:
            case Negated():
                return Not(self.node(written.part))
            case Joined():
                return written.joined(tuple(self.node(part) for part in written.parts))
        return self._test(written)

    def _test(self, test: Test) -> Node:
        kind = self._known.get(test.name)
        if kind is None:
            return self._fault(test, f"unknown attribute `{test.name}`; known are {self._names()}")
        self.names.add(test.name)
        if test.test == "exists":
            return Exists(test.name, kind)
        self._values += len(test.values)
        if self._values > MAX_VALUES:
            return self._fault(test, f"more than {MAX_VALUES} values")
        return self._of_kind(test, kind) or self._fault(
            test, f"`{test.name}` is a {kind}: {_HOW[kind].format(name=written_name(test.name))}"
        )

    def _of_kind(self, test: Test, kind: AttributeType) -> Node | None:
        """None for a test that the type does not have."""
        name, values = test.name, self._typed(test.values, kind)
        if values is None:
            return None
        match test.test, kind:
            case "bare", "flag":
                return Compared(name, kind, "=", 1.0)
            case "compared", "number" | "time" | "flag" if not isinstance(values[0], str):
                is_ordered = kind in _ORDERED or test.operator == "="
                return Compared(name, kind, test.operator, values[0]) if is_ordered else None
            case "compared", "text":
                return OneOf(name, kind, values) if test.operator == "=" else None
            case ("one_of", "number" | "time" | "text" | "list") | ("has", "list"):
                return OneOf(name, kind, values)
            case "near", "place" if isinstance(values[0], float) and test.operator in _ORDERS:
                return self._near(test, values[0])
        return None

    def _near(self, test: Test, metres: float) -> Node:
        self._distances += 1
        if self._distances > MAX_DISTANCES:
            return self._fault(test, f"more than {MAX_DISTANCES} distances")
        lat, lon = test.place
        if not (-90 <= lat <= 90 and -180 <= lon <= 180):
            return self._fault(test, "a latitude is from -90 to 90 degrees, a longitude from -180 to 180")
        if metres < 0:
            return self._fault(test, "a distance is 0 or more")
        return Near(test.name, Place(lat, lon), test.operator, metres)

    def _typed(self, values: Sequence[Value], kind: AttributeType) -> tuple[str | float | Instant, ...] | None:
        """The values as the type has them; None if one is of another type."""
        found = [self._value(value, kind) for value in values]
        return None if None in found else tuple(value for value in found if value is not None)

    def _value(self, value: Value, kind: AttributeType) -> str | float | Instant | None:
        match kind, value:
            case "flag", bool():
                return float(value)
            case ("number" | "place", float()) | ("text" | "list", str()) | ("time", Instant()):
                return value
            case "time", str():
                at_ms = self._read_time(value)
                return None if at_ms is None else Instant(at_ms)
        return None

    def _fault(self, test: Test, what: str) -> Node:
        self.faults.append(f"{what} (at character {test.at})")
        return _NEVER

    def _names(self) -> str:
        names = [written_name(name) for name in sorted(self._known)]
        return ", ".join(names[:_MAX_NAMES_SHOWN]) + (", …" if len(names) > _MAX_NAMES_SHOWN else "")
