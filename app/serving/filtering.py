"""Filters of requests: what their texts stand for, and which items of a long catalogue they keep."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.adapters import attributes, catalogue
from app.adapters.changes import ATTRIBUTES_CHANGED
from app.adapters.read_replica import ReadSource
from app.adapters.timestamps import read_ms
from app.clock import clock
from app.core.attributes import AttributeType
from app.core.content_index import MAX_ITEMS
from app.core.filter_index import NO_FILTERABLE, Filterable, FilterIndex, Matches
from app.core.filter_language import UnfitFilter, filter_of
from app.core.filters import Filter
from app.core.needs import MatchesOf
from app.core.newest_first import Paced
from app.serving.fresh_cache import FreshCache
from app.serving.loaded_items import LoadedItems
from app.serving.newest_items import NewestItems
from app.serving.paced import paced

_INDEX: Final = "index"
_INDEX_TTL_SEC: Final = 1.0
# An index of 100,000 items takes 1.3 to 1.8 s of computing, paced five times as long. Making it anew may take a fifth
# of the time: a twenty-fifth of the interpreter's.
_INDEX_THROTTLE: Final = 4.0
_FIRST_PATIENCE_SEC: Final = 0.5
# The change feed announces changes of attributes; this is for a process that missed one.
_DECLARED_TTL_SEC: Final = 30.0
# For a text that is refused otherwise: a filter that fits does not wait for a slow Postgres.
_UNFIT_PATIENCE_SEC: Final = 1.0


class Filtering:
    """Reads the catalogue with the first filter, and then what has changed of it. `changed` collects what the change
    feed announces. 1 KB an item.
    """

    def __init__(self, database: ReadSource, items: LoadedItems) -> None:
        """`items`: where the items get their numbers and their sums."""
        self._database = database
        self._items = items
        self._newest: NewestItems[Filterable] = NewestItems(database, catalogue.read_filterable)
        self._made: tuple[int, FilterIndex] = (-1, NO_FILTERABLE)
        self._declared: FreshCache[Mapping[str, AttributeType]] = FreshCache(
            "attributes", self._load_declared, absent={}, ttl_sec=_DECLARED_TTL_SEC, max_keys=1
        )
        self._index: FreshCache[FilterIndex] = FreshCache(
            "filter_index",
            self._load_index,
            absent=NO_FILTERABLE,
            ttl_sec=_INDEX_TTL_SEC,
            max_keys=1,
            patience_sec=0.0,
            reload_throttle=_INDEX_THROTTLE,
        )

    @property
    def numbers(self) -> NDArray[np.int32]:
        """Item numbers that the index needs as long as it is kept."""
        return self._made[1].numbers

    async def filter_of(self, text: str) -> Filter:
        """Raises `InvalidInput` for a text that is not a filter, or does not fit the declared attributes."""
        declared = await self._declared.get(ATTRIBUTES_CHANGED)
        try:
            return filter_of(text, declared, read_ms)
        except UnfitFilter:  # or its attribute was declared a moment ago
            self._declared.outdate([ATTRIBUTES_CHANGED])
            asked = self._declared.get_many([ATTRIBUTES_CHANGED], patience_sec=_UNFIT_PATIENCE_SEC)
            declared = (await asked)[ATTRIBUTES_CHANGED]
            return filter_of(text, declared, read_ms)

    async def matches(self, need: MatchesOf) -> Matches | None:
        """None while a long catalogue is read for the first time, which the answer does not wait for."""
        try:
            async with asyncio.timeout(_FIRST_PATIENCE_SEC):
                index = await self._index.get(_INDEX)
        except TimeoutError:
            return None
        return index.matches(need, self._items.table)

    async def warm_up(self) -> None:
        """Makes the index before the first filter, where attributes are declared: without any, few filter. Raises
        `DependencyDown`.
        """
        if await self._declared.get(ATTRIBUTES_CHANGED):
            await self._index.get(_INDEX)

    def changed(self, item_ids: Iterable[str]) -> None:
        """Makes stale what depends on these items; `ATTRIBUTES_CHANGED` stands for the declared attributes."""
        self._newest.changed(item_ids)
        if ATTRIBUTES_CHANGED in item_ids:
            self._declared.outdate([ATTRIBUTES_CHANGED])

    def forget(self) -> None:
        """Everything is read again."""
        self._newest.forget()
        self._declared.outdate_all()
        self._index.outdate_all()

    async def close(self) -> None:
        await self._declared.close()
        await self._index.close()

    async def _load_declared(self, _keys: list[str]) -> Mapping[str, Mapping[str, AttributeType]]:
        async with self._database.connection() as connection:
            return {ATTRIBUTES_CHANGED: await attributes.read_types(connection)}

    async def _load_index(self, _keys: list[str]) -> Mapping[str, FilterIndex]:
        await self._newest.refresh()
        now_ms, version, (made_of, before) = clock.now_ms(), self._newest.version, self._made
        if version == made_of and now_ms < before.until_ms:
            return {_INDEX: before}
        # In a thread of its own, for an answer must not wait for it; but for the first one, which answers wait for.
        pace: Paced = iter if before is NO_FILTERABLE else paced
        index = await asyncio.to_thread(FilterIndex, dict(self._newest.items), MAX_ITEMS, now_ms, pace)
        async with self._database.connection() as connection:
            index.numbers = await self._items.number(connection, index.ids)
        self._made = version, index
        return {_INDEX: index}
