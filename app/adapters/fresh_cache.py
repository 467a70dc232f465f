"""A bounded cache in the process whose entries are reloaded when they are too old, many at a time.

Readers of the same key share one load, and the keys that are asked for while a load is under way go together into the
next one, so Postgres sees one statement where there were many readers.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Generic, TypeVar

from app import metrics
from app.errors import DependencyDown

V = TypeVar("V")

_NEVER: Final = float("-inf")


class FreshCache(Generic[V]):
    """`load_many` answers for the keys it is given; a key that it leaves out is remembered as `absent`.

    An entry younger than `ttl_sec`, and not outdated since, is served as it is. Another one is reloaded: the reader
    waits `patience_sec` for that and takes the old value if it has not come by then, so a slow Postgres costs
    freshness and not latency.

    With `rest_factor` the reloads give way: after a load that took t seconds the next one starts `rest_factor` x t
    later, and whoever has an old value meanwhile is served that at once. Only a key without any value is never kept
    waiting. So reloading takes a bounded share of the time, however many entries change.
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
        rest_factor: float = 0.0,
    ) -> None:
        self._load_many = load_many
        self._absent = absent
        self._ttl_sec = ttl_sec
        self._max_keys = max_keys
        self._max_batch = max_batch
        self._patience_sec = patience_sec
        self._rest_factor = rest_factor
        self._entries: dict[str, tuple[float, V]] = {}
        self._wanted: dict[str, None] = {}
        self._next: asyncio.Future[dict[str, V]] | None = None
        self._loader: asyncio.Task[None] | None = None
        self._urgent = asyncio.Event()
        self._loading = False
        self._outdated: set[str] = set()
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
        gives_way = self._rest_factor > 0 and self._loader is not None and not self._loader.done()
        loading = self._request([*missing, *stale])
        if missing:
            self._urgent.set()
            loaded = await asyncio.shield(loading)
            return {**found, **{key: loaded[key] for key in (*missing, *stale)}}
        if not gives_way:
            await asyncio.wait([loading], timeout=self._patience_sec)
            if loading.done() and not loading.exception():
                loaded = loading.result()
                stale = {key: loaded[key] for key in stale}
        return {**found, **stale}

    def outdate(self, keys: Iterable[str]) -> None:
        """The entries of these keys are reloaded when they are asked for next, those being loaded now included."""
        for key in keys:
            if self._loading:
                self._outdated.add(key)
            entry = self._entries.get(key)
            if entry is not None:
                self._entries[key] = (_NEVER, entry[1])

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)

    async def close(self) -> None:
        if self._loader is not None:
            self._loader.cancel()
            await asyncio.wait([self._loader])

    def _request(self, keys: list[str]) -> "asyncio.Future[dict[str, V]]":
        self._wanted.update(dict.fromkeys(keys))
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._loader is None or self._loader.done():
            self._loader = asyncio.create_task(self._load_wanted())
        return self._next

    async def _load_wanted(self) -> None:
        """Loads generation after generation until none is asked for; the rest after a load belongs to it."""
        try:
            while self._next is not None:
                generation, self._next = self._next, None
                keys, self._wanted = list(self._wanted), {}
                self._urgent.clear()
                started = time.monotonic()
                await self._load_generation(generation, keys)
                await self._rest((time.monotonic() - started) * self._rest_factor)
        finally:
            if self._next is not None and not self._next.done():
                _fail(self._next, DependencyDown("cache", "closed"))
                self._next = None

    async def _load_generation(self, generation: "asyncio.Future[dict[str, V]]", keys: list[str]) -> None:
        loaded: dict[str, V] = {}
        try:
            for start in range(0, len(keys), self._max_batch):
                loaded |= await self._load(keys[start : start + self._max_batch])
        except DependencyDown as error:
            _fail(generation, error)
        except BaseException:
            _fail(generation, DependencyDown("cache", "closed"))
            raise
        else:
            generation.set_result(loaded)

    async def _load(self, keys: list[str]) -> dict[str, V]:
        # The age counts from before the read: what commits meanwhile is not in it.
        started = time.monotonic()
        self._outdated.clear()
        self._loading = True
        try:
            values = await self._load_many(keys)
        finally:
            self._loading = False
        loaded = {key: values.get(key, self._absent) for key in keys}
        for key, value in loaded.items():
            self._entries.pop(key, None)
            self._entries[key] = (_NEVER if key in self._outdated else started, value)
        while len(self._entries) > self._max_keys:
            self._entries.pop(next(iter(self._entries)))
        return loaded

    async def _rest(self, seconds: float) -> None:
        if seconds > 0 and not self._urgent.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._urgent.wait()
            except TimeoutError:
                pass


def _fail(future: "asyncio.Future[dict[str, V]]", error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # a reader who took an old value does not collect it; that is no error of its own
