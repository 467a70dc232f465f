"""Waits until the relay has published and the consumer has counted what an import stored."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from app.adapters.postgres import Database
from app.importing.writer import SQL

_SAMPLED: Final = 8_192
_LOOK_EVERY_SEC: Final = 0.2
STILL_FOR_SEC: Final = 15.0  # longer than a relay's publish timeout

BacklogReport = Callable[[int], None]


class IdSample:
    """A sample of the imported event ids, evenly spread, plus the newest ones: enough to tell how far the consumer is.

    Each of `ids` stands for `every` events. Its size stays between half the limit and the limit.
    """

    def __init__(self, limit: int = _SAMPLED) -> None:
        self.every = 1
        self._limit = limit
        self._sampled: list[str] = []
        self._newest: list[str] = []
        self._seen = 0

    def add(self, event_ids: list[str]) -> None:
        self._sampled += event_ids[-self._seen % self.every :: self.every]
        self._seen += len(event_ids)
        self._newest = event_ids or self._newest
        while len(self._sampled) > self._limit:
            self._sampled = self._sampled[::2]
            self.every *= 2

    @property
    def ids(self) -> list[str]:
        return list({*self._sampled, *self._newest})


async def wait_for_relay(
    database: Database, *, down_to: int, report: BacklogReport, still_sec: float = STILL_FOR_SEC
) -> bool:
    """Waits until at most `down_to` of the events queued now are unpublished; False when nothing moves for `still_sec`.

    `report` gets the number of waiting events. Raises `DependencyDown`.
    """
    async with database.connection() as connection:
        last = await connection.fetchval(SQL["last_queued"])

    async def look() -> tuple[int, object]:
        async with database.connection() as connection:
            row = await connection.fetchrow(SQL["queued"], last)
        assert row is not None  # an aggregate always has its row
        return row["events"], row["oldest"]

    return await _wait(look, down_to, report, still_sec)


async def wait_for_consumer(
    database: Database, sample: IdSample, *, report: BacklogReport, still_sec: float = STILL_FOR_SEC
) -> bool:
    """Waits until the sample's events are counted; False when nothing moves for `still_sec`. Raises `DependencyDown`.

    `report` gets the approximate number of events left.
    """
    event_ids = sample.ids

    async def look() -> tuple[int, object]:
        async with database.connection() as connection:
            return await connection.fetchval(SQL["uncounted"], event_ids), None

    return await _wait(look, 0, lambda left: report(left * sample.every), still_sec)


async def _wait(
    look: Callable[[], Awaitable[tuple[int, object]]], down_to: int, report: BacklogReport, still_sec: float
) -> bool:
    before: tuple[int, object] | None = None
    moved = time.monotonic()
    while True:
        seen = await look()
        report(seen[0])
        if seen[0] <= down_to:
            return True
        now = time.monotonic()
        if seen != before:
            before, moved = seen, now
        elif now - moved > still_sec:
            return False
        await asyncio.sleep(_LOOK_EVERY_SEC)
