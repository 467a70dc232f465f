"""Values by key that are fresh for a time and stale after it: a bounded store without a clock of its own.

A stale value stays readable until a newer one replaces it, so that a reader can have it while a reload runs. One that
was outdated, or is twice as old as it should be, is overdue: it is worth waiting for a newer one. Times are seconds of
any monotonic clock.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final, Generic, TypeVar

V = TypeVar("V")

_LONG_AGO: Final = float("-inf")


class ExpiringStore(Generic[V]):
    """At most `max_keys` values, each fresh for `ttl_sec` after its load began; the oldest loads are dropped first.

    `fresh` holds the fresh values. Reading it needs no look at the clock: `expire` removes what has become stale.
    """

    def __init__(self, *, ttl_sec: float, max_keys: int) -> None:
        self.fresh: dict[str, V] = {}
        self._ttl_sec = ttl_sec
        self._max_keys = max_keys
        self._values: dict[str, tuple[float, V]] = {}  # with the time their load began; the oldest first, as in `fresh`

    def take(self, keys: Iterable[str]) -> tuple[dict[str, V], list[str]]:
        """The values of those keys that have one, fresh or stale, and the keys without a value."""
        values = self._values
        known: dict[str, V] = {}
        missing: list[str] = []
        for key in keys:
            entry = values.get(key)
            if entry is None:
                missing.append(key)
            else:
                known[key] = entry[1]
        return known, missing

    def is_overdue(self, keys: Iterable[str], now: float) -> bool:
        """Whether one of these keys, which all have a value, was outdated, or its load began twice `ttl_sec` ago."""
        began = now - 2 * self._ttl_sec
        return any(self._values[key][0] <= began for key in keys)

    def keys(self) -> Collection[str]:
        """Of all values, fresh and stale."""
        return self._values.keys()

    def values(self) -> list[V]:
        """All values, fresh and stale."""
        return [value for _, value in self._values.values()]

    def put(self, loaded: Mapping[str, V], *, at: float, outdated: Collection[str] = ()) -> None:
        """Stores what a load returned that began at `at`. Keys in `outdated` changed during the load: stale at once."""
        for key, value in loaded.items():
            self._values.pop(key, None)
            self._values[key] = at, value
            self.fresh.pop(key, None)
            self.fresh[key] = value
        self.outdate(outdated)
        # In one pass: the way to the first key of a dictionary leads over all that were deleted before it.
        for oldest in list(islice(self._values, max(0, len(self._values) - self._max_keys))):
            del self._values[oldest]
            self.fresh.pop(oldest, None)

    def outdate(self, keys: Iterable[str]) -> None:
        """Makes the values of these keys stale, and overdue."""
        for key in keys:
            self.fresh.pop(key, None)
            if key in self._values:
                self._values[key] = _LONG_AGO, self._values[key][1]

    def expire(self, now: float) -> float | None:
        """Makes stale what is older than `ttl_sec`. Returns when to call this again; None when nothing is left."""
        stale: list[str] = []
        expires_at: float | None = None
        for key in self.fresh:
            expires_at = self._values[key][0] + self._ttl_sec
            if expires_at > now:
                break
            stale.append(key)
        for key in stale:
            del self.fresh[key]
        return expires_at if self.fresh else None
