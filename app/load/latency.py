"""Latencies in an HDR histogram: percentiles within 0.1 % of the true value.

The histogram is Gil Tene's HdrHistogram (package `hdrhistogram`, ADR 23). It counts microseconds up to 38 hours.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from hdrh.histogram import HdrHistogram

_MAX_US: Final = 1 << 37  # 38 hours: longer than any run
_SIGNIFICANT_DIGITS: Final = 3


class Latencies:
    """Recorded in seconds, read in milliseconds. `encoded` is the form that travels between processes.

    Memory grows with the number of different microseconds recorded, not with the number of values.
    """

    __slots__ = ("_histogram", "_unread")

    def __init__(self, encoded: str = "") -> None:
        self._histogram: Any = HdrHistogram(1, _MAX_US, _SIGNIFICANT_DIGITS)
        # Microseconds → how often. The generator records between two requests, where the histogram would take 1 µs.
        self._unread: defaultdict[int, int] = defaultdict(int)
        if encoded:
            self._histogram.decode_and_add(encoded)

    @property
    def count(self) -> int:
        total: int = self._read().get_total_count()
        return total

    def record(self, seconds: float) -> None:
        """A value outside of the range counts as the nearest one inside."""
        self._unread[int(seconds * 1e6)] += 1

    def percentiles_ms(self, percents: Sequence[float]) -> list[float]:
        """For each of `percents` the value that so many percent of all values do not exceed. Empty without values."""
        if not self.count:
            return []
        found = self._read().get_percentile_to_value_dict(percents)
        return [found[percent] / 1000 for percent in percents]

    def encoded(self) -> str:
        text: str = self._read().encode().decode()
        return text

    def _read(self) -> Any:
        for us, count in self._unread.items():
            self._histogram.record_value(min(max(us, 1), _MAX_US - 1), count)
        self._unread.clear()
        return self._histogram
