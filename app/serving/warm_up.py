"""What the first lists of a process would wait for, or would be without, is read before it is ready."""

import asyncio
import contextlib
from typing import Final

from app.errors import DependencyDown
from app.serving.candidate_caches import EVERYTHING, CandidateCaches
from app.supervisor import Progress, wait_for_stop

_RETRY_SEC: Final = 0.5
_BEAT_SEC: Final = 10.0


class WarmUp:
    """Reads the content of the catalogue, the weights that serve and, once attributes are declared, the index of
    filters. All else is read within the time of an answer. Afterwards it follows which weights serve, so that the gauge
    of their version is right in a process that nobody asks.
    """

    def __init__(self, caches: CandidateCaches) -> None:
        self._caches = caches

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        while not await self._read():
            progress.beat("waits for Postgres")
            if await wait_for_stop(stop, _RETRY_SEC):
                return
        progress.started()
        while not await wait_for_stop(stop, _BEAT_SEC):
            progress.beat()
            with contextlib.suppress(DependencyDown):
                await self._caches.models.of(None)

    async def _read(self) -> bool:
        caches = self._caches
        try:
            await caches.content.get(EVERYTHING)
            await caches.filtering.warm_up()
            await caches.models.of(None)
        except DependencyDown:
            return False
        return True
