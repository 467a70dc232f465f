"""Whether histories can be read from Postgres: those of users whom the cache does not know, and of those with own
writes.
"""

import asyncio
from typing import Final

from app.adapters import features
from app.adapters.postgres import Database
from app.errors import DependencyDown, describe
from app.serving.histories import DATABASE_PATIENCE_SEC
from app.supervisor import Progress, wait_for_stop

_EVERY_SEC: Final = 5.0
_EVERY_SEC_FAILING: Final = 1.0
_NOBODY: Final = ""
"""No user has this id."""


class HistoryProbe:
    """Its `run` is the task `histories`, whose work fails while such users get no list. Lists of others do not show it:
    their histories are in the cache, or kept for outages.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        while True:
            reads = await self._read(progress)
            progress.beat()
            if await wait_for_stop(stop, _EVERY_SEC if reads else _EVERY_SEC_FAILING):
                return

    async def _read(self, progress: Progress) -> bool:
        try:
            async with asyncio.timeout(DATABASE_PATIENCE_SEC), self._database.connection() as connection:
                await features.read_histories(connection, [_NOBODY])
        except DependencyDown as error:
            progress.failed(describe(error))
        except TimeoutError:
            progress.failed(f"Postgres gave no history within {DATABASE_PATIENCE_SEC:g} s")
        else:
            progress.worked()
            return True
        return False
