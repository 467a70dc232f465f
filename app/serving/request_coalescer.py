"""Joins concurrent reads: requests that arrive during a read share the next one, in one round trip.

A value is never reused as fresh. Recent values are kept for one case: when the source fails or is too slow, a value of
some minutes ago is better than none.
"""

import asyncio
import time
from collections import ChainMap
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

import structlog

from app import metrics
from app.errors import DependencyDown, describe

_log = structlog.get_logger(__name__)

V = TypeVar("V")

_NEVER: Final = float("-inf")


class RequestCoalescer(Generic[V]):
    """`read_many` returns values for the keys it is given; a key that it leaves out has the value `absent`.

    A read that takes longer than `patience_sec` counts as failed. The latest values are kept for
    outages: between half of `max_keys` and `max_keys` of them, for between half of `keep_sec` and `keep_sec`.
    """

    def __init__(
        self,
        name: str,
        read_many: Callable[[list[str]], Awaitable[Mapping[str, V]]],
        *,
        absent: V,
        patience_sec: float,
        keep_sec: float,
        max_keys: int,
        max_batch: int = 200,
    ) -> None:
        self._name = name
        self._read_many = read_many
        self._absent = absent
        self._patience_sec = patience_sec
        self._keep_sec = keep_sec
        self._max_keys = max_keys
        self._max_batch = max_batch
        # Two parts, each with its start time, so that keeping and dropping values are single steps.
        self._kept: dict[str, V] = {}
        self._kept_since = _NEVER
        self._before: dict[str, V] = {}
        self._before_since = _NEVER
        self._forgotten: set[str] = set()
        self._waiting: list[tuple[str, asyncio.Future[V]]] = []
        self._reader: asyncio.Task[None] | None = None
        self._stale = metrics.CACHE_READS.labels(name, "stale")

    async def get(self, key: str) -> V:
        """The current value or, when it cannot be read, one of some minutes ago. Raises `DependencyDown`."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        if not self._is_reading():
            self._reader = asyncio.create_task(self._read_waiting())
        return await future

    def keeps(self, key: str) -> bool:
        """Whether the value that was read last is kept. It is not when the key was forgotten meanwhile."""
        return key in self._kept

    def forget(self, key: str) -> None:
        """Drops the kept value of the key, and does not keep what is being read."""
        self._kept.pop(key, None)
        self._before.pop(key, None)
        if self._is_reading():
            self._forgotten.add(key)

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    def _is_reading(self) -> bool:
        return self._reader is not None and not self._reader.done()

    async def _read_waiting(self) -> None:
        batch: list[tuple[str, asyncio.Future[V]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
                keys = list({key: None for key, _ in batch})
                self._forgotten.clear()
                try:
                    async with asyncio.timeout(self._patience_sec):
                        read = await self._read_many(keys)
                except (DependencyDown, TimeoutError) as error:
                    self._fall_back(batch, error)
                except Exception as error:  # a fault of ours: for who asked for these keys, and no others
                    _log.error("read_failed", of=self._name, keys=len(keys), error=describe(error), exc_info=error)
                    _fail(batch, error)
                else:
                    values = {key: read.get(key, self._absent) for key in keys}
                    self._keep(values)
                    for key, future in batch:
                        if not future.done():
                            future.set_result(values[key])
        finally:
            _fail(batch + self._waiting, DependencyDown("postgres", "this process is shutting down"))
            self._waiting = []

    def _keep(self, values: Mapping[str, V]) -> None:
        now = time.monotonic()
        full = len(self._kept) + len(values) > self._max_keys // 2
        if full or now - self._kept_since > self._keep_sec / 2:
            self._before, self._before_since = self._kept, self._kept_since
            self._kept, self._kept_since = {}, now
        self._kept.update((key, value) for key, value in values.items() if key not in self._forgotten)

    def _fall_back(self, batch: list[tuple[str, "asyncio.Future[V]"]], error: Exception) -> None:
        oldest = time.monotonic() - self._keep_sec
        parts = [(self._kept_since, self._kept), (self._before_since, self._before)]
        usable = ChainMap(*[values for since, values in parts if since >= oldest])
        if isinstance(error, TimeoutError):
            error = DependencyDown("postgres", f"the {self._name} was not read within {self._patience_sec:g} s")
        for key, future in batch:
            if future.done():
                continue
            if key in usable:
                self._stale.inc()
                future.set_result(usable[key])
            else:
                future.set_exception(error)


def _fail(batch: Sequence[tuple[str, "asyncio.Future[V]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
