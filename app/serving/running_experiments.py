"""The experiments that run, by the lists: those of the last change, a tenth of a second after it at most."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.adapters import experiments
from app.adapters.changes import EXPERIMENTS_CHANGED
from app.adapters.postgres import Database
from app.core.experiments import NO_LAYER, Layer, Lists
from app.core.variants import Variants
from app.errors import DependencyDown
from app.serving.fresh_cache import FreshCache

# The change feed announces changes; this is for a process that missed one.
_TTL_SEC: Final = 30.0


class RunningExperiments:
    """`variants`: those of the setting `VARIANTS`, on lists without an experiment."""

    def __init__(self, database: Database, variants: Variants) -> None:
        self._database = database
        self._set = Layer(variants)
        self._cache: FreshCache[Mapping[Lists, Layer]] = FreshCache(
            "experiments", self._load, absent={}, ttl_sec=_TTL_SEC, max_keys=1
        )

    async def of(self, lists: Lists) -> Layer:
        """Who gets which variant. Nobody, while Postgres has never been read: those who are shown then do not count."""
        try:
            found = await self._cache.get(EXPERIMENTS_CHANGED)
        except DependencyDown:
            return NO_LAYER
        return found.get(lists, self._set)

    async def refresh(self) -> None:
        """After a change by this process: its next list is made with it."""
        self._cache.outdate([EXPERIMENTS_CHANGED])
        await self._cache.get(EXPERIMENTS_CHANGED)

    def outdate(self, change: Sequence[str]) -> None:
        if EXPERIMENTS_CHANGED in change:
            self._cache.outdate([EXPERIMENTS_CHANGED])

    def outdate_all(self) -> None:
        self._cache.outdate_all()

    async def close(self) -> None:
        await self._cache.close()

    async def _load(self, _keys: list[str]) -> Mapping[str, Mapping[Lists, Layer]]:
        async with self._database.connection() as connection:
            return {EXPERIMENTS_CHANGED: await experiments.read_layers(connection)}
