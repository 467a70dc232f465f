"""A bounded cache in the process whose entries are reloaded when they are older than they may be, many at a time.

Readers of the same key share one load, and the keys that are asked for while a load is under way go together into the
next one, so Postgres sees one statement where there were many readers.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Generic, TypeVar

from app import metrics
from app.errors import DependencyDown

V = TypeVar("V")


class FreshCache(Generic[V]):
    """`load_many` answers for the keys it is given; a key that it leaves out is remembered as `absent`.

    An entry younger than `ttl_sec` is served as it is. An older one is reloaded: the reader waits `patience_sec` for
    that and takes the old value if it has not come by then, so a slow Postgres costs freshness and not latency.
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
    ) -> None:
        self._load_many = load_many
        self._absent = absent
        self._ttl_sec = ttl_sec
        self._max_keys = max_keys
        self._max_batch = max_batch
        self._patience_sec = patience_sec
        self._entries: dict[str, tuple[float, V]] = {}
        self._wanted: dict[str, None] = {}
        self._next: asyncio.Future[dict[str, V]] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._hits = metrics.CACHE_READS.labels(name, "hit")
        self._stale = metrics.CACHE_READS.labels(name, "stale")
        self._misses = metrics.CACHE_READS.labels(name, "miss")

    async def get(self, key: str) -> V:
        return (await self.get_many((key,)))[key]

    async def get_many(self, keys: Iterable[str]) -> dict[str, V]:
        """The value of every key. Raises `DependencyDown` when one has none yet and it cannot be loaded."""
        fresh_since = time.monotonic() - self._ttl_sec
        found: dict[str, V] = {}
        stale: dict[str, V] = {}
        missing: list[str] = []
        for key in keys:
            entry = self._entries.get(key)
            if entry is None:
                missing.append(key)
            elif entry[0] >= fresh_since:
                found[key] = entry[1]
            else:
                stale[key] = entry[1]
        self._hits.inc(len(found))
        if not stale and not missing:
            return found
        self._stale.inc(len(stale))
        self._misses.inc(len(missing))
        loading = self._request([*missing, *stale])
        if missing:
            loaded = await asyncio.shield(loading)
            return {**found, **{key: loaded[key] for key in (*missing, *stale)}}
        await asyncio.wait([loading], timeout=self._patience_sec)
        if loading.done() and not loading.exception():
            loaded = loading.result()
            stale = {key: loaded[key] for key in stale}
        return {**found, **stale}

    def put(self, key: str, value: V) -> None:
        self._store(key, value, time.monotonic())

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)

    async def close(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])

    def _request(self, keys: list[str]) -> "asyncio.Future[dict[str, V]]":
        self._wanted.update(dict.fromkeys(keys))
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load_wanted())
        return self._next

    async def _load_wanted(self) -> None:
        while self._next is not None:
            done, self._next = self._next, None
            keys, self._wanted = list(self._wanted), {}
            loaded: dict[str, V] = {}
            try:
                for start in range(0, len(keys), self._max_batch):
                    loaded |= await self._load(keys[start : start + self._max_batch])
            except BaseException as error:
                if not done.done():
                    done.set_exception(error if isinstance(error, Exception) else DependencyDown("cache", "closing"))
                    done.exception()
                if not isinstance(error, DependencyDown):
                    raise
            else:
                if not done.done():
                    done.set_result(loaded)

    async def _load(self, keys: list[str]) -> dict[str, V]:
        # The age counts from before the read: what commits meanwhile is not in it.
        started = time.monotonic()
        values = await self._load_many(keys)
        loaded = {key: values.get(key, self._absent) for key in keys}
        for key, value in loaded.items():
            self._store(key, value, started)
        return loaded

    def _store(self, key: str, value: V, loaded_at: float) -> None:
        self._entries.pop(key, None)
        self._entries[key] = (loaded_at, value)
        while len(self._entries) > self._max_keys:
            self._entries.pop(next(iter(self._entries)))
