"""The content of the catalogue's newest items in this process, as fresh as the change feed."""

import asyncio
import time
from collections.abc import Iterable
from heapq import nlargest
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from app.adapters import catalogue
from app.adapters.read_replica import ReadSource
from app.core.content import Content
from app.core.content_index import MAX_ITEMS, NO_CONTENT, ContentIndex
from app.serving.loaded_items import LoadedItems

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

# Between two answers' worth of other work: the terms of so many items take the loop some milliseconds.
_BATCH: Final = 500
# Items are published and expire without a change that would be announced.
_KEPT_SEC: Final = 60.0


class CatalogueContent:
    """`changed` collects what the change feed announces; `load` reads it, and makes the index anew if any item is
    another, or after a minute. 250 bytes an item, and as much again for the index.
    """

    def __init__(self, database: ReadSource, items: LoadedItems) -> None:
        """`items`: where cold items get their numbers."""
        self._database = database
        self._items = items
        self._content: dict[str, Content] = {}
        self._changed: set[str] = set()
        self._is_filled = False
        self._index = NO_CONTENT
        self._made_at = 0.0

    @property
    def numbers(self) -> NDArray[np.int32]:
        """Item numbers that the index needs as long as it is kept."""
        return self._index.numbers

    def changed(self, item_ids: Iterable[str]) -> None:
        if self._is_filled:
            self._changed.update(item_ids)
            if len(self._changed) > MAX_ITEMS:
                self.forget()

    def forget(self) -> None:
        """The next load reads everything again."""
        self._is_filled = False
        self._changed.clear()

    async def load(self) -> ContentIndex:
        """Not for two callers at the same time. Raises `DependencyDown` when Postgres cannot be read."""
        if not self._is_filled or self._changed:
            await self._read()
        now = time.monotonic()
        if self._made_at and now - self._made_at < _KEPT_SEC:
            return self._index
        # In a thread of its own: of 100,000 items it takes half a second.
        index = await asyncio.to_thread(ContentIndex, dict(self._content), time.time_ns() // 1_000_000)
        if index.counted_ids:
            async with self._database.connection() as connection:
                await self._items.add(connection, index.counted_ids)
        index.number(self._items.table.index)
        self._index, self._made_at = index, now
        return index

    async def _read(self) -> None:
        is_filled, changed = self._is_filled, self._changed
        self._is_filled, self._changed = True, set()
        try:
            async with self._database.connection() as connection:
                if not is_filled:
                    changed = {*self._content, *await catalogue.read_newest_to_come(connection, MAX_ITEMS)}
                await self._read_changed(connection, list(changed))
        except BaseException:
            self._is_filled = is_filled and self._is_filled
            self._changed |= changed
            raise

    async def _read_changed(self, connection: "Connection", item_ids: list[str]) -> None:
        for start in range(0, len(item_ids), _BATCH):
            batch = item_ids[start : start + _BATCH]
            found = await catalogue.read_content(connection, batch)
            for item_id in batch:
                if self._content.get(item_id) != found.get(item_id):
                    self._made_at = 0.0
                    if item_id in found:
                        self._content[item_id] = found[item_id]
                    else:
                        del self._content[item_id]
        if len(self._content) > 2 * MAX_ITEMS:
            newest = nlargest(MAX_ITEMS, self._content, key=lambda item_id: self._content[item_id].since_ms)
            self._content = {item_id: self._content[item_id] for item_id in newest}
