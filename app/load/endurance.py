"""What an endurance run measures each minute, and whether anything grows."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

# The first third fills what is to be bounded.
_SETTLING_SHARE: Final = 1 / 3
LEAST_MINUTES: Final = 15
"""The change feed keeps five minutes, however short the other retention is: it fills in the first third."""
_MEGABYTE: Final = 1e6


class TableSize(Struct, frozen=True):
    """Bytes of a table and of its indexes, and its live and dead rows as Postgres estimates them."""

    table: str
    table_bytes: int
    index_bytes: int
    live_rows: int
    dead_rows: int


class MinuteReading(Struct, frozen=True, kw_only=True):
    """One minute: the rates, latencies in ms, and what there is at its end. `lag`: accepted and not yet counted."""

    minute: int
    events_per_sec: float
    reads_per_sec: float
    event_p99: float
    read_p99: float
    lag: float
    rss_mb: float
    tables: list[TableSize]

    @property
    def tables_mb(self) -> float:
        return sum(table.table_bytes for table in self.tables) / _MEGABYTE

    @property
    def indexes_mb(self) -> float:
        return sum(table.index_bytes for table in self.tables) / _MEGABYTE

    @property
    def dead_rows(self) -> int:
        return sum(table.dead_rows for table in self.tables)


class Slope(Struct, frozen=True):
    """How much a value rises between the first third and the end, as a share of its mean, and how much it may.

    `lag` is a share of the events of a minute, since its mean is next to nothing. `most`: of a size, the tables that
    rise most, each by how many bytes.
    """

    name: str
    rise: float
    limit: float
    most: tuple[tuple[str, int], ...] = ()

    @property
    def passed(self) -> bool:
        return self.rise <= self.limit


LIMITS: Final = {
    "tables_mb": 0.05,
    "indexes_mb": 0.05,
    "rss_mb": 0.05,
    "lag": 0.05,
    # A minute's p99 varies by itself; what grows with a table shows as more than this.
    "event_p99": 0.5,
    "read_p99": 0.5,
}
_SIZES: Final = {"tables_mb": "table_bytes", "indexes_mb": "index_bytes"}
_NAMED_TABLES: Final = 3


def slopes(minutes: Sequence[MinuteReading]) -> list[Slope]:
    """Of the line through the minutes after the first third. Empty for fewer than `LEAST_MINUTES`."""
    if len(minutes) < LEAST_MINUTES:
        return []
    settled = minutes[round(len(minutes) * _SETTLING_SHARE) :]
    return [Slope(name, _rise_of(name, settled), limit, _rising(name, settled)) for name, limit in LIMITS.items()]


def _rise_of(name: str, minutes: Sequence[MinuteReading]) -> float:
    values = [getattr(one, name) for one in minutes]
    if name != "lag":
        return rise(values)
    a_minute = 60.0 * sum(one.events_per_sec for one in minutes) / len(minutes)
    return _line(values) / a_minute if a_minute else 0.0


def _rising(name: str, minutes: Sequence[MinuteReading]) -> tuple[tuple[str, int], ...]:
    if name not in _SIZES:
        return ()
    sizes: dict[str, list[int]] = {}
    for minute in minutes:
        for table in minute.tables:
            sizes.setdefault(table.table, []).append(getattr(table, _SIZES[name]))
    rises = sorted(((table, round(_line(values))) for table, values in sizes.items()), key=lambda found: -found[1])
    return tuple(found for found in rises[:_NAMED_TABLES] if found[1] > 0)


def rise(values: Sequence[float]) -> float:
    """Of the least-squares line through equidistant values: its end less its beginning, as a share of the mean."""
    mean = sum(values) / len(values)
    return _line(values) / mean if mean else 0.0


def _line(values: Sequence[float]) -> float:
    """The end of the least-squares line less its beginning."""
    count, mean = len(values), sum(values) / len(values)
    middle = (count - 1) / 2
    spread = sum((at - middle) ** 2 for at in range(count))
    if spread == 0:
        return 0.0
    return sum((at - middle) * (value - mean) for at, value in enumerate(values)) / spread * (count - 1)
