"""Wakes the relay when a flush has added rows to the outbox: LISTEN, on a connection that is replaced when it dies."""

import asyncio
from typing import Final

import asyncpg

from app.adapters.outbox import CHANNEL
from app.adapters.postgres import Database

_CHECK_SEC: Final = 5.0
_RECONNECT_SEC: Final = 1.0


class OutboxWake:
    """An event that NOTIFY sets. Polling is the fallback, so a lost notification costs one poll interval."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout_sec: float) -> None:
        """Returns when rows were announced, or after `timeout_sec`."""
        try:
            async with asyncio.timeout(timeout_sec):
                await self._event.wait()
        except TimeoutError:
            pass
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
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                await asyncio.sleep(_RECONNECT_SEC)
