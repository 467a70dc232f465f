"""The sums of items in this process: those that lists name, and those that are popular, as fresh as the change feed."""

import asyncio
import itertools
import math
import time
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from app.adapters import features
from app.adapters.generations import ServingGeneration
from app.clock import clock
from app.core.event_times import MAX_AHEAD_MS
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.model import MODEL, Model
from app.core.neighbours import Neighbours
from app.core.popularity import Popular

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_BATCH: Final = 2_000
_LISTS_A_TURN: Final = 500
# So many look-ups take a millisecond; an answer does not wait for more.
_ITEMS_A_TURN: Final = 2_000
# So many items may wait for the next refresh, besides those that have a number.
_MOST_CHANGED: Final = 100_000
# Some of the most popular items may cease to be servable.
_MOST_POPULAR: Final = 4 * MODEL.popular


class LoadedItems:
    """Keeps an `ItemTable` up to date: `changed` collects what the change feed announces, `refresh` reads it.

    `model` has the parameters of the sums as of the last refresh.
    """

    def __init__(self, *, catalogue_only: bool = False) -> None:
        """`catalogue_only`: what the catalogue does not have is not popular."""
        self.table = ItemTable(ItemIndex(), MODEL)
        self._catalogue_only = catalogue_only
        self._has_just_read = False
        self._has_all: Sequence[bool] = ()  # by half-life, once all was read
        self._generation = ServingGeneration()
        self._changed: set[str] = set()
        self._lock = asyncio.Lock()
        self._is_filled = False
        self._refreshed_at = 0.0

    @property
    def model(self) -> Model:
        return self._generation.model

    def changed(self, item_ids: Iterable[str]) -> None:
        self._changed.update(item_ids)
        if len(self._changed) > _MOST_CHANGED + len(self.table.index.items):
            # Nobody has asked for long. The next one needs what the lists hold, and what is popular by then.
            self._changed.clear()
            self.forget()

    def forget(self) -> None:
        """Everything is read again: another server may have come back than the one that it was read from."""
        self._is_filled = False
        self._changed.update(self.table.index.items)

    async def sweep(self, near: Sequence[Neighbours], popular: Sequence[Popular]) -> None:
        """Forgets items that are in none of these lists, are not popular, and were not read of late.

        All lists that are kept are needed, but for those that are read meanwhile.
        """
        table = self.table
        for start in range(0, len(near), _LISTS_A_TURN):
            lists = near[start : start + _LISTS_A_TURN]
            table.index.use(np.concatenate([one.neighbour_entries()["number"] for one in lists]))
            table.index.use(np.concatenate([one.follower_entries()["number"] for one in lists]))
            await asyncio.sleep(0)  # an answer must not wait until all lists are looked at
        for best in popular:
            table.index.use(np.frombuffer(best.numbers, np.int32))
        table.index.use(table.best(_MOST_POPULAR))
        table.forget(table.index.sweep())

    async def refresh(self, connection: "Connection", *, older_than_sec: float = 0.0) -> ItemTable:
        """Reads what has changed since the last refresh, which is at least so long ago, and computes all features."""
        async with self._lock:
            now = time.monotonic()
            if not self._is_filled or now - self._refreshed_at >= older_than_sec:
                await self._read_changed(connection)
                for _ in self.table.refreshing(self.table.log_ms):
                    await asyncio.sleep(0)
                self._refreshed_at = now
            return self.table

    async def _read_changed(self, connection: "Connection") -> None:
        is_filled, changed = self._is_filled, self._changed
        self._is_filled, self._changed = True, set()
        try:
            self.table.model = model = await self._generation.follow(connection)
            if is_filled:
                await self._read(connection, changed)
            else:
                await self._read_all(connection, changed, model)
        except BaseException:
            self._is_filled = is_filled and self._is_filled
            self._changed |= changed
            raise

    async def _read_all(self, connection: "Connection", changed: set[str], model: Model) -> None:
        """And what is popular, with the item of the latest event: the log of a restored database ends earlier."""
        self.table.latest_ms = 0
        changed.update(await self._read_popular(connection, model))
        await self._read(connection, changed)
        self.table.log_ms = self.table.latest_ms
        self._has_just_read = True

    async def _read_popular(self, connection: "Connection", model: Model) -> list[str]:
        return await features.read_popular(connection, _MOST_POPULAR, model=model, catalogue_only=self._catalogue_only)

    async def has_read_more(self, connection: "Connection", too_few: Sequence[bool]) -> bool:
        """Reads what is popular again, if it may help. `too_few`: by half-life, whether few of the popular items that
        are here are servable.

        Whatever gets events, or is changed in the catalogue, is here. So where there were few when all was read, all
        are here; where they have become few since, there may be others.
        """
        if self._has_just_read:
            self._has_just_read, self._has_all = False, too_few
            return False
        if not any(few and not has_all for few, has_all in zip(too_few, self._has_all, strict=True)):
            return False
        await self.have(connection, await self._read_popular(connection, self.model))
        self._has_just_read = True
        return True

    async def add(self, connection: "Connection", item_ids: Collection[str]) -> None:
        """Reads the sums of those of these items that have none yet."""
        await self._read(connection, await self._without_sums(item_ids))

    async def have(self, connection: "Connection", item_ids: Collection[str]) -> None:
        """As `add`; what is read has its features at once."""
        await self.refresh(connection, older_than_sec=math.inf)
        for numbers in await self._read(connection, await self._without_sums(item_ids)):
            self.table.refresh_some(numbers)

    async def number(self, connection: "Connection", item_ids: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of all these items, however many they are. Those that have none get one, once they are read."""
        index = self.table.index
        turns = [item_ids[start : start + _ITEMS_A_TURN] for start in range(0, len(item_ids), _ITEMS_A_TURN)]
        new: list[str] = []
        for some in turns:
            new += index.without_number(some)
            await asyncio.sleep(0)
        await self.have(connection, new)
        parts = [np.zeros(0, np.int32)]
        for some in turns:  # without a wait for Postgres: a second sweep would forget what is numbered first
            parts.append(index.number(some))
            self.table.make_room()
            await asyncio.sleep(0)
        return np.concatenate(parts)

    async def _without_sums(self, item_ids: Collection[str]) -> list[str]:
        found, rest = [], iter(item_ids)
        while part := list(itertools.islice(rest, _ITEMS_A_TURN)):
            found += [item_id for item_id in part if not self.table.has_sums(item_id)]
            if len(part) == _ITEMS_A_TURN:
                await asyncio.sleep(0)
        return found

    async def _read(self, connection: "Connection", item_ids: Iterable[str]) -> list[NDArray[np.int32]]:
        """Returns the numbers of those that have sums. Those that have none any more lose them, as in a restored
        database.
        """
        read, table = [], self.table
        wanted: Sequence[str] = list(item_ids)
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            # An item without sums may get some from another read before this one is answered: those stay.
            known = set(filter(table.has_sums, batch))
            found, sums = await features.read_sums(connection, batch)
            if gone := table.index.numbers(known.difference(found)):
                table.forget(np.array(gone, np.int32))
            if found:
                read.append(table.index.number(found))
                table.update(read[-1], sums, most_ms=clock.now_ms() + MAX_AHEAD_MS)
        return read
