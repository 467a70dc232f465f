"""Items that are named one by one, by requests and by histories: their sums are read once somebody asks for them."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.adapters.read_replica import ReadSource
from app.errors import DependencyDown
from app.serving.fresh_cache import FreshCache
from app.serving.loaded_items import LoadedItems

_A_LOAD: Final = 1_000
_PATIENCE_SEC: Final = 0.25


class AskedItems:
    """Those that somebody asked for of late stay in the table of `items`, at most `max_keys`."""

    def __init__(
        self,
        database: ReadSource,
        items: LoadedItems,
        *,
        ttl_sec: float,
        refresh_sec: float,
        max_keys: int,
        reload_throttle: float,
        loaded: Callable[[], None],
    ) -> None:
        """`loaded` is called after each load."""
        self._database = database
        self._items = items
        self._index = items.table.index
        self._refresh_sec = refresh_sec
        self._loaded = loaded
        # Each item is its own value: what is asked for is that its sums are in the table.
        self.cache: FreshCache[str] = FreshCache(
            "asked",
            self._load,
            absent="",
            ttl_sec=ttl_sec,
            max_keys=max_keys,
            max_batch=_A_LOAD,
            reload_throttle=reload_throttle,
        )

    async def numbers_of(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of all these items. Reads the sums of those that have none yet. Raises `DependencyDown`."""
        await self.cache.get_many(self._index.without_number(item_ids), allow_partial=False)
        return self._index.number(item_ids)

    async def have(self, item_ids: Collection[str]) -> None:
        """Reads the sums of those of these items that have no number yet, for `_PATIENCE_SEC` at most. While Postgres
        is slow or away, some have none afterwards.
        """
        if wanted := self._index.without_number(item_ids):
            with suppress(DependencyDown, TimeoutError):
                async with asyncio.timeout(_PATIENCE_SEC):
                    await self.cache.get_many(wanted)

    def are_at_hand(self, item_ids: Collection[str]) -> bool:
        """Whether those of these items that have sums have a number. If not, they are read meanwhile."""
        return self.cache.at_hand(self._index.without_number(item_ids)) is not None

    async def _load(self, item_ids: list[str]) -> Mapping[str, str]:
        async with self._database.connection() as connection:
            await self._items.refresh(connection, older_than_sec=self._refresh_sec)
            await self._items.have(connection, item_ids)
        self._loaded()
        return {item_id: item_id for item_id in item_ids}
