"""A connection beside the pool, so that a busy pool does not look like a dead server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg

from app.adapters.postgres_errors import DRIVER_ERRORS, is_interrupted
from app.errors import DependencyDown, Interrupted, describe


class ProbeConnection:
    """Has one user at a time. It is kept as long as all goes well. `connect` has to end within `timeout_sec`, too."""

    def __init__(
        self, connect: Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]], timeout_sec: float
    ) -> None:
        self._connect = connect
        self._timeout_sec = timeout_sec
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """All of it has to end in time. Outages are raised as `DependencyDown`."""
        try:
            async with asyncio.timeout(self._timeout_sec):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                yield self._connection
        except DRIVER_ERRORS as error:
            self.drop()
            kind = Interrupted if is_interrupted(error) else DependencyDown
            raise kind("postgres", describe(error)) from error
        except BaseException:
            self.drop()  # it may be in the middle of a statement
            raise

    def drop(self) -> None:
        """The next use makes another one."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
