"""The migration of a process that started before Postgres answered."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from app.daemon import begin
from app.errors import DependencyDown

# A probe asks Postgres before and after that, and may take three seconds in all.
_WAIT_SEC: Final = 0.5


class DeferredMigration:
    """One at a time, in a thread that does not keep the process from its end.

    It may take longer than a probe, and wait for other hosts, processes and transactions. `waits_for` says of the
    database for which.
    """

    def __init__(self, migrate: Callable[[], None], waits_for: Callable[[], Awaitable[str | None]]) -> None:
        self._migrate = migrate
        self._waits_for = waits_for
        self._running: asyncio.Future[None] | None = None
        self._since = 0.0

    async def wait(self) -> None:
        """Returns once it has ended well. Raises its error, after which the next call begins it anew, and
        `DependencyDown` as long as it runs.
        """
        if self._running is None:
            self._running, self._since = asyncio.wrap_future(begin(self._migrate)), time.monotonic()
        await asyncio.wait([self._running], timeout=_WAIT_SEC)  # cancelled, it cancels nothing
        if not self._running.done():
            cause = await self._waits_for()
            waits = f", and waits for {cause}" if cause else ""
            for_sec = time.monotonic() - self._since
            raise DependencyDown("postgres", f"for {for_sec:.0f} s this process or another one migrates{waits}")
        ended, self._running = self._running, None
        ended.result()
