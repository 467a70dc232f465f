"""Latencies in constant memory: a log-linear histogram after Gil Tene's HdrHistogram.

A value in microseconds keeps its 8 leading bits, so a percentile is at most 1/128 (0.8 %) above the true value,
from 1 µs to hours, in some 4,000 counters. Histograms of several processes or rounds can be added.
"""

from collections.abc import Iterable, Mapping
from typing import Final

_BITS: Final = 7
_BLOCK: Final = 1 << _BITS
_MAX_US: Final = 1 << 37  # 38 hours: longer than any run
_BUCKETS: Final = (37 - _BITS + 1) * _BLOCK + _BLOCK


def bucket_of(us: int) -> int:
    shift = us.bit_length() - _BITS - 1
    return us if shift <= 0 else (shift << _BITS) + (us >> shift)


def upper_bound_us(bucket: int) -> int:
    """The greatest value that falls into the bucket."""
    shift = (bucket >> _BITS) - 1
    return bucket if shift <= 0 else (((bucket & (_BLOCK - 1)) + _BLOCK + 1) << shift) - 1


class Histogram:
    """Counts of latencies. `record` takes seconds; what is read comes in milliseconds."""

    __slots__ = ("_counts", "count")

    def __init__(self, sparse: Mapping[int, int] | None = None) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        for bucket, count in (sparse or {}).items():
            self._counts[bucket] = count
            self.count += count

    def record(self, seconds: float) -> None:
        us = min(max(int(seconds * 1e6), 0), _MAX_US)
        self._counts[bucket_of(us)] += 1
        self.count += 1

    def percentile_ms(self, percent: float) -> float | None:
        """The smallest recorded value that at least `percent` of all values do not exceed; None when empty."""
        if not self.count:
            return None
        rank = max(1, -(-self.count * percent // 100))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return upper_bound_us(bucket) / 1000
        raise AssertionError("the counters sum up to less than the count")

    def sparse(self) -> dict[int, int]:
        """Bucket → count, of the buckets in use: what travels between processes."""
        return {bucket: count for bucket, count in enumerate(self._counts) if count}


def merged(histograms: Iterable[Histogram]) -> Histogram:
    total: dict[int, int] = {}
    for histogram in histograms:
        for bucket, count in histogram.sparse().items():
            total[bucket] = total.get(bucket, 0) + count
    return Histogram(total)
