"""Follows the feed of changes, so that the process's caches are as fresh as the last commit."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from app.adapters import changes
from app.adapters.postgres import Database
from app.core.watermark import Watermark
from app.errors import DependencyDown, describe
from app.supervisor import Progress, wait_for_stop

_EVERY_SEC: Final = 0.1
_AWAY_SEC: Final = 1.0
# Transactions that may be open at the start: reading a change twice is harmless, missing one is not.
_LOOK_BACK: Final = 1000


class ChangeFeed:
    """`run` is the supervised task. It calls `outdate` with the items of every change; one of them may be
    `changes.RULES_CHANGED`.

    A restart continues where the last run ended, so that no change in between is missed.
    """

    def __init__(self, database: Database, outdate: Callable[[Sequence[str]], None]) -> None:
        self._database = database
        self._outdate = outdate
        self._watermark: Watermark | None = None

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        while not stop.is_set():
            try:
                await self._read()
            except DependencyDown as error:  # without Postgres nothing changes either
                progress.beat(f"waiting: {describe(error)}")
                await wait_for_stop(stop, _AWAY_SEC)
            else:
                progress.beat()
                await wait_for_stop(stop, _EVERY_SEC)

    async def _read(self) -> None:
        async with self._database.connection() as connection:
            if self._watermark is None:
                self._watermark = Watermark(low=max(0, await changes.newest(connection) - _LOOK_BACK))
            rows = await changes.read(connection, self._watermark.low, self._watermark.seen)
        for _, item_ids in rows:
            self._outdate(item_ids)
        self._watermark.advance([row_id for row_id, _ in rows], time.monotonic())
