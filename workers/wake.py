"""Wakes the relay when a flush has added rows to the outbox: LISTEN, on a connection that is replaced when it dies."""

import asyncio
import contextlib
import time
from typing import Final

from app.adapters.outbox import CHANNEL
from app.adapters.postgres import Database
from app.adapters.postgres_errors import DRIVER_ERRORS
from app.errors import DependencyDown
from app.supervisor import Progress

_CHECK_SEC: Final = 5.0
_RECONNECT_SEC: Final = 1.0
_BEAT_SEC: Final = 1.0
# Of the driver, and `DependencyDown` for a file of the URL that cannot be read just now, such as a certificate.
_ERRORS: Final = (DependencyDown, *DRIVER_ERRORS)


class OutboxWake:
    """An event that NOTIFY sets. Polling is the fallback, so a lost notification costs one poll interval."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout_sec: float, progress: Progress) -> None:
        """Returns when rows were announced, or after `timeout_sec`. Beats meanwhile: waiting is not a stall."""
        until = time.monotonic() + timeout_sec
        while not self._event.is_set() and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _BEAT_SEC)):
                    await self._event.wait()
            progress.beat(progress.detail)
        self._event.clear()

    async def listen(self) -> None:
        """Keeps a LISTEN connection until cancelled. It dies silently with its server, so it is probed regularly."""
        while True:
            try:
                connection = await self._database.listen()
                try:
                    await connection.add_listener(CHANNEL, lambda *_: self._event.set())
                    self._event.set()  # notifications sent before the connection existed were missed
                    while True:
                        await asyncio.sleep(_CHECK_SEC)
                        await connection.execute("SELECT 1", timeout=_CHECK_SEC)
                finally:
                    connection.terminate()
            except _ERRORS:
                await asyncio.sleep(_RECONNECT_SEC)
