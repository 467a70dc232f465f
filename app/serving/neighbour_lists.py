"""Reads the neighbours of items: many lists with one statement, and fewer where one would take too long."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

from app.adapters import features
from app.adapters.read_replica import ReadSource
from app.core.batch_size import BatchSize
from app.core.neighbours import Neighbours, neighbours_of
from app.errors import TooLarge
from app.serving.loaded_items import LoadedItems

# A list costs Postgres a millisecond, and that of an item which has met a hundred thousand others, hundreds.
LISTS_A_LOAD: Final = 50
_LISTS_A_TURN: Final = 25
_STATEMENT_SEC: Final = 1.0


class NeighbourLists:
    """`load` reads the items that stand in the lists into the table of `items`, too."""

    def __init__(self, database: ReadSource, items: LoadedItems, *, refresh_sec: float) -> None:
        self._database = database
        self._items = items
        self._refresh_sec = refresh_sec
        self._size = BatchSize(LISTS_A_LOAD, _STATEMENT_SEC)

    async def load(self, item_ids: Sequence[str]) -> Mapping[str, Neighbours]:
        """Items without neighbours may be left out. Raises `DependencyDown`, and with `TooLarge` the next load reads
        half as many at once: whoever waits for this one gets the answer while there is time.
        """
        lists: dict[str, Neighbours] = {}
        rest = item_ids
        while rest:
            part, started = rest[: self._size.limit], time.monotonic()
            try:
                lists |= await self._read(part)
            except TooLarge:
                self._size.too_large(len(part))
                raise
            self._size.fitted(len(part), time.monotonic() - started)
            rest = rest[len(part) :]
        return lists

    async def _read(self, item_ids: Sequence[str]) -> Mapping[str, Neighbours]:
        async with self._database.connection() as connection:
            table = await self._items.refresh(connection, older_than_sec=self._refresh_sec)
            found = await features.read_pairs(connection, item_ids, log_ms=table.log_ms, model=self._items.model)
            await self._items.add(connection, {*found, *chain.from_iterable(pairs.ids for pairs in found.values())})
        lists = {}
        for number, (item_id, pairs) in enumerate(found.items(), 1):
            lists[item_id] = self._neighbours_of(pairs)
            if number % _LISTS_A_TURN == 0:
                await asyncio.sleep(0)  # a hundred lists in one go would delay the answers
        return lists

    def _neighbours_of(self, pairs: features.ItemPairs) -> Neighbours:
        table = self._items.table
        sums = table.pair_sums(table.index.number(pairs.ids), pairs.weights, pairs.met, pairs.follows)
        return neighbours_of(pairs.item, sums, now_ms=table.log_ms, model=self._items.model)
