"""What one visitor may ask for, and how many new visitors one address may have: chance makes no visitors.

A visitor has a bucket of tokens: it holds those of a minute, and fills up evenly (a token bucket). Times are seconds of
any monotonic clock.
"""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from app.core.network_counts import NetworkCounts

_MAX_VISITORS: Final = 100_000
_MINUTE_SEC: Final = 60.0


class TooMany(Exception):
    """`new`: of new visitors from one address; otherwise of one visitor's requests. Again after `wait_sec`."""

    def __init__(self, limit: int, wait_sec: float, *, new: bool) -> None:
        super().__init__(limit, wait_sec)
        self.limit = limit
        self.wait_sec = wait_sec
        self.new = new


class _Bucket(Struct):
    level: float
    at: float


class VisitorLimits:
    """`per_minute`: requests of a visitor, where each event of a batch but the first is one too. `new_per_minute`: ids
    of an address that were not seen before. 0: no limit. Of more than 100,000 visitors, who was away for the longest is
    forgotten, and new again.
    """

    def __init__(self, *, per_minute: int, new_per_minute: int, max_visitors: int = _MAX_VISITORS) -> None:
        self._per_minute = per_minute
        self._new_per_minute = new_per_minute
        self._max_visitors = max_visitors
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # who came last is last
        self._new = NetworkCounts()
        self._minute_ends = 0.0

    def admit(self, user_id: str, network: str, now: float, *, vouched: bool) -> None:
        """Counts a request. `vouched`: the application has signed that this user exists. Raises `TooMany`."""
        bucket = self._buckets.get(user_id)
        if bucket is None:
            if not vouched:
                self._admit_new(network, now)
            if len(self._buckets) >= self._max_visitors:
                self._buckets.popitem(last=False)
            bucket = self._buckets[user_id] = _Bucket(self._per_minute, now)
        self._buckets.move_to_end(user_id)
        if not self._per_minute:
            return
        a_second = self._per_minute / _MINUTE_SEC
        bucket.level = min(self._per_minute, bucket.level + (now - bucket.at) * a_second)
        bucket.at = now
        if bucket.level < 1:
            raise TooMany(self._per_minute, (1 - bucket.level) / a_second, new=False)
        bucket.level -= 1

    def charge(self, user_id: str, count: int) -> None:
        """Counts what a request that was admitted held besides; at most a minute's tokens are owed."""
        bucket = self._buckets.get(user_id)
        if bucket is not None:
            bucket.level = max(-float(self._per_minute), bucket.level - count)

    def _admit_new(self, network: str, now: float) -> None:
        if not self._new_per_minute:
            return
        if now >= self._minute_ends:
            self._new.clear(0)
            self._minute_ends = now + _MINUTE_SEC
        if self._new.add(network) > self._new_per_minute:
            raise TooMany(self._new_per_minute, self._minute_ends - now, new=True)
