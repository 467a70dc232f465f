"""Reads that are joined: who asks while a read is under way is part of the next one, all of them in one round trip.

Nothing that was read before is served as if it were fresh. It is kept for one moment only: when the source fails or is
too slow, an answer of some minutes ago is better than none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from app import metrics
from app.errors import DependencyDown

V = TypeVar("V")


class JoinedReads(Generic[V]):
    """`read_many` answers for the keys it is given; one that it leaves out has the value `absent`.

    A read that takes longer than `patience_sec` counts as failed. Of the latest `max_keys` values each is kept for
    `keep_sec`.
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
        self._kept: dict[str, tuple[float, V]] = {}
        self._waiting: list[tuple[str, asyncio.Future[V]]] = []
        self._reader: asyncio.Task[None] | None = None
        self._stale = metrics.CACHE_READS.labels(name, "stale")

    async def get(self, key: str) -> V:
        """The value as of now or, when it cannot be read, as of some minutes ago. Raises `DependencyDown`."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_waiting())
        return await future

    def forget(self, key: str) -> None:
        """What is kept of the key is not served again."""
        self._kept.pop(key, None)

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _read_waiting(self) -> None:
        batch: list[tuple[str, asyncio.Future[V]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
                keys = list({key: None for key, _ in batch})
                try:
                    async with asyncio.timeout(self._patience_sec):
                        values = await self._read_many(keys)
                except (DependencyDown, TimeoutError) as error:
                    self._fall_back(batch, error)
                else:
                    self._keep({key: values.get(key, self._absent) for key in keys})
                    for key, future in batch:
                        if not future.done():
                            future.set_result(self._kept[key][1])
        finally:
            for _, future in batch + self._waiting:
                if not future.done():
                    future.set_exception(DependencyDown(self._name, "closed"))
            self._waiting = []

    def _keep(self, values: Mapping[str, V]) -> None:
        now = time.monotonic()
        for key, value in values.items():
            self._kept.pop(key, None)
            self._kept[key] = now, value
        # What was read just now is not dropped before it is handed out.
        while len(self._kept) > max(self._max_keys, len(values)):
            self._kept.pop(next(iter(self._kept)))

    def _fall_back(self, batch: list[tuple[str, "asyncio.Future[V]"]], error: Exception) -> None:
        oldest = time.monotonic() - self._keep_sec
        if isinstance(error, TimeoutError):
            error = DependencyDown(self._name, f"no answer within {self._patience_sec:g} s")
        for key, future in batch:
            if future.done():
                continue
            kept_at, value = self._kept.get(key, (float("-inf"), self._absent))
            if kept_at >= oldest:
                self._stale.inc()
                future.set_result(value)
            else:
                future.set_exception(error)
