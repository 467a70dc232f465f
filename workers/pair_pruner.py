"""Keeps the table of pairs bounded: the best pairs of each item and the young ones stay, a few items a step."""

import time
from typing import Final

from app import metrics
from app.adapters import pair_bounds, walks
from app.adapters.generations import ServingGeneration
from app.adapters.postgres import Database
from app.core.batch_size import BatchSize
from app.errors import TooLarge
from workers.retention import RetentionOptions

_ITEMS: Final = 200
# So long a step may take: the consumer waits for its end where it adds to a pair that is being deleted.
_STEP_SEC: Final = 0.4
# So many at a time: then the step looks at the clock.
_PAIRS: Final = 1_000
# One turn of maintenance ends after this time even if more pairs are to go.
_TURN_SEC: Final = 1.0
# So many walks in the time in which a pair is young: what is no longer young goes soon, and walks read the whole table.
_WALKS: Final = 48
_MINUTES: Final = 24 * 60
_DAY_SEC: Final = 86_400.0


class PairPruner:
    """`sweep` is a turn. Any number of processes may take turns: one at a time goes on with the walk, where it is."""

    def __init__(self, database: Database, keep: RetentionOptions) -> None:
        self._database = database
        self._kept = keep.pairs_per_item
        self._young_days = keep.pairs_days
        self._size = BatchSize(_ITEMS, _STEP_SEC)
        self._generation = ServingGeneration()

    async def sweep(self) -> int:
        """Walks on for about a second; returns how many pairs were deleted. Raises `DependencyDown`."""
        deleted, ends = 0, time.monotonic() + _TURN_SEC
        while time.monotonic() < ends:
            started, limit = time.monotonic(), self._size.limit
            try:
                pairs, goes_on = await self._step(limit)
            except TooLarge:
                self._size.too_large(limit)
                if limit > 1:
                    continue
                # Its pairs go as those of the other items. Where it was never judged, it has no floor and keeps all.
                await self._pass_over()
                raise
            deleted += pairs
            if not goes_on:
                break
            self._size.kept_pace(limit, time.monotonic() - started)
        return deleted

    async def _step(self, limit: int) -> tuple[int, bool]:
        """How many pairs were deleted, and whether the walk goes on; not at its end, nor in another process.

        A step that has taken its time ends at the item where it is.
        """
        deleted, every_sec, ends = 0, self._young_days * _DAY_SEC / _WALKS, time.monotonic() + _STEP_SEC
        async with self._database.connection() as connection, connection.transaction():
            position = await walks.take(connection, "item_pairs", every_sec=every_sec)
            if position is None:
                return 0, False
            model = await self._generation.follow(connection)
            keys = await pair_bounds.items_after(connection, position, limit)
            is_last = len(keys) < limit
            position_after = 0 if is_last else keys[-1]
            floors: dict[int, float] = {}
            for item in await pair_bounds.read_crowded(
                connection, keys, kept=self._kept, young_minutes=self._young_days * _MINUTES
            ):
                if floors and time.monotonic() >= ends:
                    is_last, position_after = False, item.key - 1
                    break
                judged = item.judged(self._kept, model)
                floors[item.key] = judged.floor
                rows, taken, pruned = judged.pruned.nonzero()[0], 0, 0
                while taken < len(rows) and (not taken or time.monotonic() < ends):
                    pruned += await pair_bounds.prune(connection, item, rows[taken : taken + _PAIRS])
                    taken += _PAIRS
                deleted += pruned
                if taken < len(rows) and pruned:  # without `pruned`, rows that others hold would stop the walk
                    is_last, position_after = False, max(1, item.key - 1)  # the rest of the first of all: next time
                    break
            if floors:
                await pair_bounds.set_floors(connection, floors)
            await walks.advance(connection, "item_pairs", since=position, position=position_after)
        metrics.MAINTENANCE_DELETED.labels("item_pairs").inc(deleted)
        return deleted, not is_last

    async def _pass_over(self) -> None:
        async with self._database.connection() as connection, connection.transaction():
            position = await walks.take(connection, "item_pairs", every_sec=0.0)
            if position is not None:
                for key in await pair_bounds.items_after(connection, position, 1):
                    await walks.advance(connection, "item_pairs", since=position, position=key)
