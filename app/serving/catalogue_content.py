"""The content of the catalogue's newest items in this process, as fresh as the change feed."""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.adapters import catalogue
from app.adapters.read_replica import ReadSource
from app.clock import clock
from app.core.content import Content
from app.core.content_index import NO_CONTENT, ContentIndex
from app.core.newest_first import Paced
from app.serving.loaded_items import LoadedItems
from app.serving.newest_items import NewestItems
from app.serving.paced import paced

# Items are published and expire without a change that would be announced.
_KEPT_SEC: Final = 60.0


class CatalogueContent:
    """`changed` collects what the change feed announces; `load` reads it, and makes the index anew if any item is
    another or, once a minute at most, begins or ceases to be servable. 250 bytes an item, and as much again for the
    index.
    """

    def __init__(self, database: ReadSource, items: LoadedItems) -> None:
        """`items`: where cold items get their numbers."""
        self._database = database
        self._items = items
        self._newest: NewestItems[Content] = NewestItems(database, catalogue.read_content)
        self._index = NO_CONTENT
        self._made_of = -1
        self._made_at = 0.0

    @property
    def numbers(self) -> NDArray[np.int32]:
        """Item numbers that the index needs as long as it is kept."""
        return self._index.numbers

    def changed(self, item_ids: Iterable[str]) -> None:
        self._newest.changed(item_ids)

    def forget(self) -> None:
        """The next load reads everything again."""
        self._newest.forget()

    async def load(self) -> ContentIndex:
        """Not for two callers at the same time. Raises `DependencyDown` when Postgres cannot be read."""
        await self._newest.refresh()
        now, now_ms, version = time.monotonic(), clock.now_ms(), self._newest.version
        if self._made_of == version and (now_ms < self._index.until_ms or now - self._made_at < _KEPT_SEC):
            return self._index
        # In a thread of its own, for of 100,000 items it takes half a second; the first one is waited for.
        pace: Paced = iter if self._index is NO_CONTENT else paced
        index = await asyncio.to_thread(ContentIndex, dict(self._newest.items), now_ms, pace)
        if index.counted_ids:
            async with self._database.connection() as connection:
                await self._items.add(connection, index.counted_ids)
        index.number(self._items.table.index)
        self._index, self._made_of, self._made_at = index, version, now
        return index
