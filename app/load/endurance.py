"""What an endurance run measures each minute, and whether anything grows."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

# The first third fills what is to be bounded.
_SETTLING_SHARE: Final = 1 / 3
_LEAST_MINUTES: Final = 6
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
    """How much a value rises between the first third and the end, as a share of its mean, and how much it may."""

    name: str
    rise: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.rise <= self.limit


LIMITS: Final = {
    "tables_mb": 0.05,
    "indexes_mb": 0.05,
    "rss_mb": 0.05,
    # A minute's p99 varies by itself; what grows with a table shows as more than this.
    "event_p99": 0.5,
    "read_p99": 0.5,
}


def slopes(minutes: Sequence[MinuteReading]) -> list[Slope]:
    """Of the line through the minutes after the first third. None for fewer than six minutes."""
    if len(minutes) < _LEAST_MINUTES:
        return []
    settled = minutes[round(len(minutes) * _SETTLING_SHARE) :]
    return [Slope(name, rise([getattr(one, name) for one in settled]), limit) for name, limit in LIMITS.items()]


def rise(values: Sequence[float]) -> float:
    """Of the least-squares line through equidistant values: its end less its beginning, as a share of the mean."""
    count, mean = len(values), sum(values) / len(values)
    middle = (count - 1) / 2
    spread = sum((at - middle) ** 2 for at in range(count))
    if spread == 0 or mean == 0:
        return 0.0
    slope = sum((at - middle) * (value - mean) for at, value in enumerate(values)) / spread
    return slope * (count - 1) / mean
