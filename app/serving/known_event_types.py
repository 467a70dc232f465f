"""The event types that this process knows: those of the last change, a tenth of a second after it at most."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.adapters import event_types
from app.adapters.changes import EVENT_TYPES_CHANGED
from app.adapters.postgres import Database
from app.core.event_types import NO_OWN_TYPES, EventTypes
from app.serving.fresh_cache import FreshCache

# The change feed announces changes; this is for a process that missed one.
_TTL_SEC: Final = 30.0
_PATIENCE_SEC: Final = 1.0


class KnownEventTypes:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: FreshCache[EventTypes] = FreshCache(
            "event_types",
            self._load,
            absent=NO_OWN_TYPES,
            ttl_sec=_TTL_SEC,
            max_keys=1,
            patience_sec=_PATIENCE_SEC,
        )

    async def get(self) -> EventTypes:
        """Does not wait but for the first time. Raises `DependencyDown` when they were never read."""
        found = self._cache.at_hand([EVENT_TYPES_CHANGED])
        return await self._cache.get(EVENT_TYPES_CHANGED) if found is None else found[EVENT_TYPES_CHANGED]

    async def refresh(self) -> None:
        """After a change by this process: its next event is read with it."""
        self._cache.outdate([EVENT_TYPES_CHANGED])
        await self._cache.get(EVENT_TYPES_CHANGED)

    def outdate(self, change: Sequence[str]) -> None:
        if EVENT_TYPES_CHANGED in change:
            self._cache.outdate([EVENT_TYPES_CHANGED])
            self._cache.at_hand([EVENT_TYPES_CHANGED])

    def outdate_all(self) -> None:
        self._cache.outdate_all()

    async def close(self) -> None:
        await self._cache.close()

    async def _load(self, _keys: list[str]) -> Mapping[str, EventTypes]:
        async with self._database.connection() as connection:
            return {EVENT_TYPES_CHANGED: await event_types.read_types(connection)}
