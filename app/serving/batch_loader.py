"""Loads wanted keys in batches, one batch at a time: readers who want the same key share its load.

Keys that are missing go first. Keys whose value is only stale wait for the throttle.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Generic, TypeVar

import structlog

from app.core.reload_throttle import ReloadThrottle
from app.errors import DependencyDown, describe

_log = structlog.get_logger(__name__)

V = TypeVar("V")


class BatchLoader(Generic[V]):
    """`load` returns a value for each of its keys or raises, usually `DependencyDown`, which fails the whole batch.

    `close` ends a load; its readers then get `DependencyDown`.
    """

    def __init__(
        self, load: Callable[[list[str]], Awaitable[dict[str, V]]], *, max_batch: int, throttle: ReloadThrottle
    ) -> None:
        self._load = load
        self._max_batch = max_batch
        self._throttle = throttle
        self._missing: _Wanted[V] = _Wanted()
        self._stale: _Wanted[V] = _Wanted()
        self._task: asyncio.Task[None] | None = None
        self._missing_came = asyncio.Event()

    @property
    def missing_count(self) -> int:
        """Missing keys that wait for a load."""
        return self._missing.waiting

    @property
    def reloads_late(self) -> bool:
        """Whether a reload requested now would have to wait: for the throttle, or for a load that is under way."""
        if self._throttle.factor <= 0:
            return False
        return self._running or self._throttle.wait_sec(time.monotonic()) > 0

    def load_missing(self, keys: Iterable[str]) -> "asyncio.Future[dict[str, V]]":
        """Loads keys without a value. The result may lack keys of a load that was under way already."""
        loading = self._missing.join(keys)
        self._start()
        self._missing_came.set()
        return loading

    def reload(self, keys: Iterable[str], *, changed: bool) -> "asyncio.Future[dict[str, V]]":
        """Loads keys again whose value is stale. Where they `changed`, a load that is under way does not count: it may
        predate this call.
        """
        loading = self._stale.request(keys) if changed else self._stale.join(keys)
        self._start()
        return loading

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def _running(self) -> bool:
        return self._task is not None and not self._task.done()

    def _start(self) -> None:
        if not self._running:
            self._task = asyncio.create_task(self._load_all())

    async def _load_all(self) -> None:
        try:
            while self._missing or self._stale:
                self._missing_came.clear()
                if self._missing:
                    await self._load_batch(self._missing)
                elif await self._reload_may_start():
                    started = time.monotonic()
                    await self._load_batch(self._stale)
                    self._throttle.ended(started=started, ended=time.monotonic())
        finally:
            self._missing.fail(DependencyDown("cache", "closed"))
            self._stale.fail(DependencyDown("cache", "closed"))

    async def _load_batch(self, wanted: "_Wanted[V]") -> None:
        keys = wanted.take(self._max_batch)
        try:
            wanted.loaded(await self._load(keys))
        except DependencyDown as error:
            wanted.fail(error)
        except Exception as error:  # a fault of ours: for who waits for these keys, and no others
            _log.error("load_failed", keys=len(keys), error=describe(error), exc_info=error)
            wanted.fail_under_way(error)

    async def _reload_may_start(self) -> bool:
        """Waits for the throttle. False as soon as keys are missing, which go first."""
        wait_sec = self._throttle.wait_sec(time.monotonic())
        if wait_sec > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_sec):
                    await self._missing_came.wait()
        return not self._missing_came.is_set()


class _Wanted(Generic[V]):
    """Keys that wait for a load, and the future of the readers who want them.

    Keys wanted at the same time are loaded together, in one batch or several. A key wanted during a load is loaded
    after it.
    """

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
        """Adds the keys to the next generation: a load already in flight may predate the request."""
        self._next.update(dict.fromkeys(keys))
        if self._next_future is None:
            self._next_future = asyncio.get_running_loop().create_future()
        return self._next_future

    def join(self, keys: Iterable[str]) -> "asyncio.Future[dict[str, V]]":
        """As `request`, but does not load keys of the generation under way again: any value is new to these readers.

        The future's values may lack those keys.
        """
        missing = [key for key in keys if key not in self._under_way]
        return self.request(missing) if missing or self._future is None else self._future

    def take(self, limit: int) -> list[str]:
        """The keys of the next batch."""
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
        """For all keys, those of the next load too."""
        self.fail_under_way(error)
        _fail(self._next_future, error)
        self._next, self._next_future = {}, None

    def fail_under_way(self, error: Exception) -> None:
        """For the keys that are loaded together with those of the batch that failed."""
        _fail(self._future, error)
        self._keys, self._future, self._under_way = {}, None, frozenset()


def _fail(future: "asyncio.Future[dict[str, V]] | None", error: Exception) -> None:
    if future is not None:
        future.set_exception(error)
        future.exception()  # a reader who took a stale value does not await it, which is not an error
