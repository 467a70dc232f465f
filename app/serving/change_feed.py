"""Follows the feed of changes, so that the process's caches are as fresh as the last commit."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from app.adapters import changes
from app.adapters.read_replica import ReadSource
from app.core.watermark import Watermark
from app.errors import DependencyDown, Interrupted, describe
from app.supervisor import Progress, wait_for_stop

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_EVERY_SEC: Final = 0.1
_AWAY_SEC: Final = 1.0
# Transactions that may be open at the start: reading a change twice is harmless, missing one is not.
_LOOK_BACK: Final = 1000
# A change dates from the begin of its transaction, and may show as much later as a transaction takes at most: 120 s in
# an import.
_LONGEST_PAUSE_SEC: Final = changes.KEEP_SEC - 130.0


class ChangeFeed:
    """`run` is the supervised task. It calls `outdate` with the items of every change; one of them may be
    `changes.RULES_CHANGED`, and `changes.erased_user` tells an erasure.

    A restart of the task continues where the last run ended, so that no change in between is missed. Everything is
    outdated with another generation of sums, after an outage of Postgres, when reads go to another server, and when its
    ids have gone back: a promoted standby or a restored backup may lack changes, and give their ids to others. So it is
    after three minutes without a read, as of a process that was stopped: changes may have been pruned meanwhile.
    """

    def __init__(
        self, database: ReadSource, outdate: Callable[[Sequence[str]], None], outdate_all: Callable[[], None]
    ) -> None:
        self._database = database
        self._outdate = outdate
        self._outdate_all = outdate_all
        self._watermark: Watermark | None = None
        self._interrupted = False
        self._source = database.source
        self._sessions = 0
        self._read_at_sec = math.inf

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        while not stop.is_set():
            try:
                await self._read()
            except Interrupted as error:  # nothing was missed: the next read goes on where the last one ended
                progress.beat(f"again: {describe(error)}")
                await wait_for_stop(stop, _EVERY_SEC)
            except DependencyDown as error:  # without Postgres nothing changes either
                self._interrupted = True
                progress.beat(f"waiting: {describe(error)}")
                await wait_for_stop(stop, _AWAY_SEC)
            else:
                progress.beat()
                await wait_for_stop(stop, _EVERY_SEC)

    async def _read(self) -> None:
        source, self._source = self._source, self._database.source
        self._interrupted = self._interrupted or source != self._source
        erasures: list[list[str]] | None = None
        async with self._database.connection() as connection:
            watermark = self._watermark
            if watermark is None or await self._may_be_another_server(connection, watermark):
                if watermark is not None:
                    # Of other changes only the last thousand are read again.
                    erasures = await changes.erasures(connection)
                watermark = Watermark(low=max(0, await changes.newest(connection) - _LOOK_BACK))
            at_sec, rows = await changes.read(connection, watermark.low, watermark.seen)
            sessions = self._database.sessions
        paused_sec, self._read_at_sec = at_sec - self._read_at_sec, at_sec
        if paused_sec > _LONGEST_PAUSE_SEC and erasures is None:
            self._interrupted = True
            return
        # Whatever is loaded from here on shows all that was read.
        self._watermark, self._interrupted, self._sessions = watermark, False, sessions
        if erasures is not None:
            self._outdate_all()
            for erasure in erasures:
                self._outdate(erasure)
        for _, item_ids in rows:
            self._outdate(item_ids)
            if changes.GENERATION_CHANGED in item_ids:
                self._outdate_all()
        watermark.advance([row_id for row_id, _ in rows], time.monotonic())

    async def _may_be_another_server(self, connection: "Connection", watermark: Watermark) -> bool:
        if self._interrupted:
            return True
        is_new = self._sessions != self._database.sessions
        return is_new and await changes.last_id(connection) < max([watermark.low, *watermark.seen])
