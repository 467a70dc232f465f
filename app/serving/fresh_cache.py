"""A bounded cache in the process that reloads its stale entries, many keys with one load.

It puts together an expiring store, a batch loader and a reload throttle: Postgres sees one statement where there were
many readers.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, Generic, TypeVar

from app import metrics
from app.core.expiring_store import ExpiringStore
from app.core.reload_throttle import ReloadThrottle
from app.serving.batch_loader import BatchLoader

V = TypeVar("V")

# A reader waits for so many loads before its own: a few readers at the same time after a start get all of their keys.
_LOADS_AHEAD: Final = 2


class FreshCache(Generic[V]):
    """`load_many` returns values for the keys it is given; a key that it leaves out is stored as `absent`.

    A fresh value is served as it is. For a stale value a reload starts, and the reader takes the stale one (RFC 5861:
    stale-while-revalidate), but for an overdue one it waits at most `patience_sec` before: a slow Postgres costs
    freshness and not latency. A value is overdue once it was outdated, or is older than twice `ttl_sec`. With a
    `reload_throttle` above 0 (see `ReloadThrottle`) the reader does not wait at all for a reload that has to wait for
    another one.

    A missing value is waited for. With `fill_patience_sec`, a reader that allows a partial result stops waiting while
    more keys are missing than two loads take, as after a start under load: it gets `absent` for what has not been
    loaded, and checks that again every `fill_patience_sec`.
    """

    def __init__(
        self,
        name: str,
        load_many: Callable[[list[str]], Awaitable[Mapping[str, V]]],
        *,
        absent: V,
        ttl_sec: float,
        max_keys: int,
        max_batch: int = 200,
        patience_sec: float = 0.05,
        reload_throttle: float = 0.0,
        fill_patience_sec: float | None = None,
    ) -> None:
        self._load_many = load_many
        self._absent = absent
        self._patience_sec = patience_sec
        self._fill_patience_sec = fill_patience_sec
        self._most_ahead = _LOADS_AHEAD * max_batch
        self._store: ExpiringStore[V] = ExpiringStore(ttl_sec=ttl_sec, max_keys=max_keys)
        self._loader = BatchLoader(self._load, max_batch=max_batch, throttle=ReloadThrottle(reload_throttle))
        self._expiry: asyncio.TimerHandle | None = None
        self._loading: list[str] = []
        self._outdated: set[str] | None = None  # keys that changed during the load under way
        self._hits = metrics.CACHE_READS.labels(name, "hit")
        self._stale = metrics.CACHE_READS.labels(name, "stale")
        self._misses = metrics.CACHE_READS.labels(name, "miss")

    async def get(self, key: str) -> V:
        """The value of the key. Raises `DependencyDown` when it has none and cannot be loaded."""
        fresh = self._store.fresh
        if key in fresh:
            self._hits.inc()
            return fresh[key]
        return (await self.get_many((key,), allow_partial=False))[key]

    async def get_many(
        self, keys: Collection[str], *, allow_partial: bool = True, patience_sec: float | None = None
    ) -> dict[str, V]:
        """The value of every key; `absent` for some of them if the result may be partial (see the class).
        `patience_sec` is for this reader, instead of the one of all.

        Raises `DependencyDown` when a key has no value and cannot be loaded.
        """
        fresh = self._store.fresh
        try:
            found = {key: fresh[key] for key in keys}
        except KeyError:
            found = {key: fresh[key] for key in keys if key in fresh}
        self._hits.inc(len(found))
        if len(found) == len(keys):
            return found
        stale, missing = self._store.take([key for key in keys if key not in found])
        self._stale.inc(len(stale))
        self._misses.inc(len(missing))
        late, overdue = self._loader.reloads_late, self._store.is_overdue(stale, time.monotonic())
        reloading = self._loader.reload(stale, changed=overdue) if stale else None
        if missing:
            found.update(await self._filled(missing, allow_partial=allow_partial))
        if reloading is not None and overdue and not late:
            await asyncio.wait([reloading], timeout=self._patience_sec if patience_sec is None else patience_sec)
            if reloading.done() and not reloading.exception():
                loaded = reloading.result()
                stale = {key: loaded[key] for key in stale}
        return {**found, **stale}

    def at_hand(self, keys: Collection[str]) -> dict[str, V] | None:
        """The values of these keys, stale ones as they are, without waiting. None when one is missing. What is missing
        or stale is loaded meanwhile.
        """
        fresh = self._store.fresh
        found = {key: fresh[key] for key in keys if key in fresh}
        if len(found) == len(keys):
            return found
        stale, missing = self._store.take([key for key in keys if key not in found])
        if stale:
            self._loader.reload(stale, changed=self._store.is_overdue(stale, time.monotonic()))
        if missing:
            self._loader.load_missing(missing)
            return None
        return {**found, **stale}

    def outdate(self, keys: Iterable[str]) -> None:
        """Makes these keys stale, also those whose load is under way."""
        keys = list(keys)
        if self._outdated is not None:
            self._outdated.update(keys)
        self._store.outdate(keys)

    def outdate_all(self) -> None:
        """Makes all keys stale and overdue, also those that were stale, and those whose load is under way."""
        self.outdate([*self._store.keys(), *self._loading])

    def values(self) -> list[V]:
        """All values that are kept, fresh and stale."""
        return self._store.values()

    async def close(self) -> None:
        await self._loader.close()
        if self._expiry is not None:
            self._expiry.cancel()

    async def _filled(self, missing: list[str], *, allow_partial: bool) -> dict[str, V]:
        loading = self._loader.load_missing(missing)
        patience_sec = self._fill_patience_sec if allow_partial else None
        while not loading.done() and (patience_sec is None or self._loader.missing_count <= self._most_ahead):
            await asyncio.wait([loading], timeout=patience_sec)
        loaded = loading.result() if loading.done() else {}
        others, _ = self._store.take([key for key in missing if key not in loaded])
        return {key: loaded[key] if key in loaded else others.get(key, self._absent) for key in missing}

    async def _load(self, keys: list[str]) -> dict[str, V]:
        started = time.monotonic()  # before the read: it does not see what commits during it
        outdated: set[str] = set()
        self._loading, self._outdated = keys, outdated
        try:
            values = await self._load_many(keys)
        finally:
            self._loading, self._outdated = [], None
        loaded = {key: values.get(key, self._absent) for key in keys}
        self._store.put(loaded, at=started, outdated=outdated)
        if self._expiry is None:
            self._expire()
        return loaded

    def _expire(self) -> None:
        now = time.monotonic()
        again_at = self._store.expire(now)
        if again_at is None:
            self._expiry = None
        else:
            self._expiry = asyncio.get_running_loop().call_later(again_at - now, self._expire)
