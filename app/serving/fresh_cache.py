"""A bounded cache in the process whose entries are reloaded when they are too old, many at a time.

Readers of the same key share one load, and the keys that are asked for while a load is under way go together into the
next one, so Postgres sees one statement where there were many readers. Keys without any value go before those whose
value is only old.
"""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, Generic, TypeVar

from app import metrics
from app.errors import DependencyDown

V = TypeVar("V")

_NEVER: Final = float("-inf")
# So many loads before one's own are waited for: a few readers at the same time after a start get all of theirs.
_LOADS_AHEAD: Final = 2


class FreshCache(Generic[V]):
    """`load_many` answers for the keys it is given; a key that it leaves out is remembered as `absent`.

    An entry younger than `ttl_sec`, and not outdated since, is served as it is. Another one is reloaded: the reader
    waits `patience_sec` for that and takes the old value if it has not come by then, so a slow Postgres costs
    freshness and not latency.

    `reload_throttle` bounds the share of time spent on reloads: after a load that took t seconds the next reload starts
    `reload_throttle` x t later, and readers get the stale value meanwhile. Keys without a value are loaded at once.

    With `fill_patience_sec`, a reader does not wait for keys without any value while more of them are wanted than two
    loads take, as after a start under load: he takes `absent` for those that have not come. Who waits already looks at
    that as often.
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
        self._ttl_sec = ttl_sec
        self._max_keys = max_keys
        self._max_batch = max_batch
        self._patience_sec = patience_sec
        self._reload_throttle = reload_throttle
        self._fill_patience_sec = fill_patience_sec
        self._entries: dict[str, tuple[float, V]] = {}
        # Those that are served as they are, and the loads they came by, oldest first: so a read of many is one step,
        # and nothing is asked for its age.
        self._fresh: dict[str, V] = {}
        self._loads: deque[tuple[float, list[str]]] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._fill: _Wanted[V] = _Wanted()
        self._refresh: _Wanted[V] = _Wanted()
        self._loader: asyncio.Task[None] | None = None
        self._urgent = asyncio.Event()
        self._throttled_until = _NEVER
        self._loading = False
        self._outdated: set[str] = set()
        self._hits = metrics.CACHE_READS.labels(name, "hit")
        self._stale = metrics.CACHE_READS.labels(name, "stale")
        self._misses = metrics.CACHE_READS.labels(name, "miss")

    async def get(self, key: str) -> V:
        if key in self._fresh:
            self._hits.inc()
            return self._fresh[key]
        return (await self.get_many((key,), allow_partial=False))[key]

    async def get_many(self, keys: Collection[str], *, allow_partial: bool = True) -> dict[str, V]:
        """The value of every key. Raises `DependencyDown` when one has none yet and it cannot be loaded.

        Who is not `allow_partial` waits for all of them however many are wanted.
        """
        fresh, entries = self._fresh, self._entries
        try:
            found = dict(zip(keys, map(fresh.__getitem__, keys), strict=True))
        except KeyError:
            found = {key: fresh[key] for key in keys if key in fresh}
        self._hits.inc(len(found))
        lacking = {key: entries.get(key) for key in keys if key not in found} if len(found) < len(keys) else {}
        if not lacking:
            return found
        stale = {key: entry[1] for key, entry in lacking.items() if entry is not None}
        missing = [key for key, entry in lacking.items() if entry is None]
        self._stale.inc(len(stale))
        self._misses.inc(len(missing))
        loads = self._loader is not None and not self._loader.done()
        gives_way = self._reload_throttle > 0 and (loads or time.monotonic() < self._throttled_until)
        refreshing = self._refresh.request(stale) if stale else None
        filling = self._fill.join(missing) if missing else None
        if self._loader is None or self._loader.done():
            self._loader = asyncio.create_task(self._load_wanted())
        if filling is not None:
            self._urgent.set()
            patience_sec = self._fill_patience_sec if allow_partial else None
            while not filling.done() and (patience_sec is None or self._fill.waiting <= _LOADS_AHEAD * self._max_batch):
                await asyncio.wait([filling], timeout=patience_sec)
            loaded = filling.result() if filling.done() else {}
            found.update((key, loaded[key] if key in loaded else self._value_of(key)) for key in missing)
        if refreshing is not None and not gives_way:
            await asyncio.wait([refreshing], timeout=self._patience_sec)
            if refreshing.done() and not refreshing.exception():
                loaded = refreshing.result()
                stale = {key: loaded[key] for key in stale}
        return {**found, **stale}

    def _value_of(self, key: str) -> V:
        """What has come of the key so far."""
        entry = self._entries.get(key)
        return self._absent if entry is None else entry[1]

    def outdate(self, keys: Iterable[str]) -> None:
        """The entries of these keys are reloaded when they are asked for next, those being loaded now included."""
        for key in keys:
            if self._loading:
                self._outdated.add(key)
            self._fresh.pop(key, None)

    async def close(self) -> None:
        if self._loader is not None:
            self._loader.cancel()
            await asyncio.wait([self._loader])
        if self._expiry is not None:
            self._expiry.cancel()

    async def _load_wanted(self) -> None:
        """Loads what is wanted until nothing is, one batch at a time."""
        try:
            while self._fill or self._refresh:
                self._urgent.clear()
                if self._fill:
                    await self._load_some(self._fill)
                elif await self._throttle_passed():
                    started = time.monotonic()
                    await self._load_some(self._refresh)
                    ended = time.monotonic()
                    self._throttled_until = ended + (ended - started) * self._reload_throttle
        finally:
            self._fill.fail(DependencyDown("cache", "closed"))
            self._refresh.fail(DependencyDown("cache", "closed"))

    async def _load_some(self, wanted: "_Wanted[V]") -> None:
        keys = wanted.take(self._max_batch)
        try:
            wanted.loaded(await self._load(keys))
        except DependencyDown as error:
            wanted.fail(error)

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
            self._entries[key] = started, value
        self._fresh.update((key, value) for key, value in loaded.items() if key not in self._outdated)
        self._loads.append((started, keys))
        if self._expiry is None:
            self._expire()
        while len(self._entries) > self._max_keys:
            oldest = next(iter(self._entries))
            del self._entries[oldest]
            self._fresh.pop(oldest, None)
        return loaded

    def _expire(self) -> None:
        """What is older than `ttl_sec` is not fresh any more; comes again when the next load is."""
        now = time.monotonic()
        while self._loads and self._loads[0][0] + self._ttl_sec <= now:
            loaded_at, keys = self._loads.popleft()
            for key in keys:
                entry = self._entries.get(key)
                if entry is None or entry[0] <= loaded_at:
                    self._fresh.pop(key, None)
        self._expiry = None
        if self._loads:
            left = self._loads[0][0] + self._ttl_sec - now
            self._expiry = asyncio.get_running_loop().call_later(left, self._expire)

    async def _throttle_passed(self) -> bool:
        """Waits for the end of the rest; false when something urgent comes before."""
        left = self._throttled_until - time.monotonic()
        if left > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._urgent.wait()
        return not self._urgent.is_set()


class _Wanted(Generic[V]):
    """Keys that wait to be loaded, and the future of those who asked; a generation may take several batches."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}
        self._under_way: frozenset[str] = frozenset()
        self._next: dict[str, None] = {}
        self._values: dict[str, V] = {}
        self._future: asyncio.Future[dict[str, V]] | None = None
        self._next_future: asyncio.Future[dict[str, V]] | None = None

    def __bool__(self) -> bool:
        return self._future is not None or self._next_future is not None

    @property
    def waiting(self) -> int:
        return len(self._keys) + len(self._next)

    def request(self, keys: Iterable[str]) -> "asyncio.Future[dict[str, V]]":
        """Who asks while a generation is being loaded is part of the next one: its values may be older than he is."""
        self._next.update(dict.fromkeys(keys))
        if self._next_future is None:
            self._next_future = asyncio.get_running_loop().create_future()
        return self._next_future

    def join(self, keys: Iterable[str]) -> "asyncio.Future[dict[str, V]]":
        """As `request`, but keys of the generation under way are not loaded once more: for those who have nothing yet.

        The future's values may lack those keys.
        """
        missing = [key for key in keys if key not in self._under_way]
        return self.request(missing) if missing or self._future is None else self._future

    def take(self, limit: int) -> list[str]:
        if self._future is None:
            self._keys, self._next = self._next, {}
            self._under_way = frozenset(self._keys)
            self._future, self._next_future = self._next_future, None
            self._values = {}
        taken = list(itertools.islice(self._keys, limit))
        for key in taken:
            del self._keys[key]
        return taken

    def loaded(self, values: Mapping[str, V]) -> None:
        self._values.update(values)
        if not self._keys and self._future is not None:
            self._future.set_result(self._values)
            self._future, self._under_way = None, frozenset()

    def fail(self, error: Exception) -> None:
        for future in (self._future, self._next_future):
            if future is not None:
                future.set_exception(error)
                future.exception()  # a reader who took an old value does not collect it; that is no error of its own
        self._future = self._next_future = None
        self._keys, self._next, self._under_way = {}, {}, frozenset()
