"""Removes what is left of users and items that are gone: histories, links, sums of items, their pairs, and when an item
was shown last.
"""

import time
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from app import metrics
from app.adapters import analytics, gone, walks
from app.adapters.postgres import Database
from app.adapters.walks import Walk
from app.core.batch_size import BatchSize
from app.errors import DependencyDown, TooLarge
from workers.retention import RetentionOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.adapters.postgres import Connection

_log = structlog.get_logger(__name__)

_BLOCKS: Final = 1_000
"""8 MB of a table are looked at in a statement, and less where Postgres cannot do so much in its time."""
_ITEMS: Final = 100
_PAIRS: Final = 5_000
_STEP_SEC: Final = 0.4
_TURN_SEC: Final = 0.5
# How long a removal of a hundred items waits for a moment in which nobody counts; consumers wait behind it. The wait
# doubles each time that it was too short, up to half of a consumer's own lock timeout. After the longest wait the next
# try comes a minute later, and later each time.
_WAIT_MS: Final = 100
_LONGEST_WAIT_MS: Final = 800
_FIRST_RETRY_SEC: Final = 60.0
_LAST_RETRY_SEC: Final = 3600.0
# So many walks in the time that something is kept.
_WALKS: Final = 400
_LONGEST_BETWEEN_WALKS_SEC: Final = 24 * 3600.0
_DAY_SEC: Final = 86_400.0


class GoneRemover:
    """`sweep` is a turn. Any number of processes may take turns: one at a time goes on with a walk, where it is."""

    def __init__(self, database: Database, keep: RetentionOptions) -> None:
        self._database = database
        self._histories_sec = keep.histories_days * _DAY_SEC
        self._items_sec = keep.items_days * _DAY_SEC
        self._longest_wait_ms = max(1, min(_LONGEST_WAIT_MS, keep.lock_timeout_ms // 2))
        self._wait_ms = min(_WAIT_MS, self._longest_wait_ms)
        self._retry_sec, self._removes_at = _FIRST_RETRY_SEC, 0.0
        self._waited_sec = 0.0
        steps = (self._histories, self._links, self._shown, self._items)
        self._sizes = {step: BatchSize(_BLOCKS, _STEP_SEC) for step in steps}

    async def sweep(self) -> None:
        """Walks on for two seconds or so. A walk that fails holds up no other.

        Raises `DependencyDown`, and asyncpg's error of rows that cannot be removed.
        """
        failure: DependencyDown | asyncpg.PostgresError | None = None
        for step, size in self._sizes.items():
            ends = time.monotonic() + _TURN_SEC
            try:
                while await self._fitting(step, size) and time.monotonic() < ends:
                    pass
            except (DependencyDown, asyncpg.PostgresError) as error:
                failure = error
        if failure is not None:
            raise failure

    async def _histories(self, blocks: int) -> bool:
        return await self._forget("user_history", gone.forget_histories, self._histories_sec, blocks)

    async def _links(self, blocks: int) -> bool:
        return await self._forget("user_links", gone.forget_links, self._histories_sec, blocks)

    async def _shown(self, blocks: int) -> bool:
        return await self._forget("analytics_items", gone.forget_shown, analytics.KEEP_DAYS * _DAY_SEC, blocks)

    async def _forget(self, table: Walk, forget: "Callable[..., Awaitable[int]]", kept_sec: float, blocks: int) -> bool:
        """One step; False at the end of the walk, or when it is not ours."""
        async with self._database.connection() as connection, connection.transaction():
            first = await walks.take(connection, table, every_sec=_between_walks_sec(kept_sec))
            if first is None:
                return False
            end = first + blocks
            deleted = await forget(connection, first, end, older_sec=kept_sec)
            position = end if end < await walks.blocks_of(connection, table) else 0
            await walks.advance(connection, table, since=first, position=position)
        metrics.MAINTENANCE_DELETED.labels(table).inc(deleted)
        return position > 0

    async def _items(self, blocks: int) -> bool:
        """One step; False at the end of the walk, or when it goes on later."""
        if time.monotonic() < self._removes_at:
            return False
        every_sec, most_items, most_pairs = (
            _between_walks_sec(self._items_sec),
            _part(_ITEMS, blocks),
            _part(_PAIRS, blocks),
        )
        pairs = 0
        async with self._database.connection() as connection:
            async with connection.transaction():
                first = await walks.take(connection, "item_stats", every_sec=every_sec)
                if first is None:
                    return False
                end = first + blocks
                keys = await gone.gone_items(connection, first, end, older_sec=self._items_sec, limit=most_items)
                if keys:
                    pairs = await gone.delete_pairs(connection, keys, limit=most_pairs)
            metrics.MAINTENANCE_DELETED.labels("item_pairs").inc(pairs)
            if pairs == most_pairs:
                return True
            # In a transaction of its own: while it waits for who counts, nobody waits for those pairs.
            async with connection.transaction():
                if await walks.take(connection, "item_stats", every_sec=every_sec) != first:
                    return False
                removed = await self._remove(connection, keys) if keys else 0
                position = 0
                if is_done := removed == len(keys) < most_items:
                    position = end if end < await walks.blocks_of(connection, "item_stats") else 0
                    await walks.advance(connection, "item_stats", since=first, position=position)
        metrics.MAINTENANCE_DELETED.labels("item_stats").inc(removed)
        return position > 0 if is_done else removed > 0 or pairs > 0

    async def _remove(self, connection: "Connection", keys: list[int]) -> int:
        """0 when those who count leave no gap: the next try waits longer, or comes later. Also during a rebuild."""
        try:
            async with connection.transaction():
                if not await self._stop_counting(connection):
                    return 0
                removed = await gone.remove_items(connection, keys, older_sec=self._items_sec)
        except asyncpg.LockNotAvailableError:
            if self._wait_ms < self._longest_wait_ms:
                self._wait_ms = min(self._longest_wait_ms, 2 * self._wait_ms)
                return 0
            if self._retry_sec == _FIRST_RETRY_SEC:
                _log.warning("items_not_removed", items=len(keys), reason="others count", waited_ms=self._wait_ms)
            self._removes_at = time.monotonic() + self._retry_sec
            self._retry_sec = min(_LAST_RETRY_SEC, 2 * self._retry_sec)
            return 0
        self._wait_ms, self._retry_sec = min(_WAIT_MS, self._longest_wait_ms), _FIRST_RETRY_SEC
        return removed

    async def _stop_counting(self, connection: "Connection") -> bool:
        started = time.monotonic()
        try:
            return await gone.stop_counting(connection, wait_ms=self._wait_ms)
        finally:
            self._waited_sec = time.monotonic() - started

    async def _fitting(self, step: "Callable[[int], Awaitable[bool]]", size: BatchSize) -> bool:
        """A step of so many blocks as fit; where Postgres gave it up or it took long, the next one is smaller. What it
        waited for who counts is no work.
        """
        started, blocks, self._waited_sec = time.monotonic(), size.limit, 0.0
        try:
            goes_on = await step(blocks)
        except TooLarge:
            size.too_large(blocks)
            if blocks == 1:
                raise
            return True
        took_sec = time.monotonic() - started - self._waited_sec
        if goes_on or took_sec > _STEP_SEC:  # the last step of a walk has less to do than others
            size.kept_pace(blocks, took_sec)
        return goes_on


def _part(most: int, blocks: int) -> int:
    """Of what is done with all blocks of a step."""
    return max(1, most * blocks // _BLOCKS)


def _between_walks_sec(kept_sec: float) -> float:
    return min(kept_sec / _WALKS, _LONGEST_BETWEEN_WALKS_SEC)
