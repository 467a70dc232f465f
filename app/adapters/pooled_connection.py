"""The connections of the pool: those of sessions, and those behind a pooler that has none."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from asyncpg.transaction import Transaction

from app import metrics
from app.adapters.postgres_errors import error_kind
from app.errors import Busy, describe

# The first version that knows `transaction_timeout`, which ends a server that waits for the rest of a statement.
_HAS_TRANSACTION_TIMEOUT: Final = 17


class _Transaction(Transaction):
    """Leaves its ROLLBACK to the release of the connection when the work in it was cancelled.

    It would wait for a silent server: for the end of the statement, and then for the rollback.
    """

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if not isinstance(error, asyncio.CancelledError):
            await super().__aexit__(kind, error, trace)


class SessionConnection(asyncpg.Connection):
    """One session of the server's, for as long as the connection is open."""

    def transaction(self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False) -> Transaction:
        return _Transaction(self, isolation, readonly, deferrable)


class SessionlessConnection(SessionConnection):
    """Behind a pooler in transaction mode: each transaction may be on another session.

    asyncpg parses a statement in one step and runs it in a second one. Each statement is a transaction here, so that
    both are on the same session. What a session would keep, its limits, is set for each transaction.
    """

    _limits = ""

    def limit(self, limits: Mapping[str, str]) -> None:
        """From now on these settings of the server apply to each transaction."""
        known = self.get_server_version().major >= _HAS_TRANSACTION_TIMEOUT
        self._limits = "".join(
            f" SET LOCAL {name} = '{value}';"
            for name, value in limits.items()
            if known or name != "transaction_timeout"
        )

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109
        if args:
            async with self._transaction():
                return await super().execute(query, *args, timeout=timeout)
        begun = self.is_in_transaction()
        try:
            # Several statements without values are one message, and one transaction.
            return await super().execute(query + self._limits if query.startswith("BEGIN") else query, timeout=timeout)
        except TimeoutError as error:
            if begun:
                raise
            self.terminate()
            raise busy(error, "a pooler lets a transaction wait while all its connections are in use") from error

    async def executemany(self, *args: Any, **options: Any) -> None:
        async with self._transaction():
            await super().executemany(*args, **options)

    async def fetchmany(self, *args: Any, **options: Any) -> Any:
        async with self._transaction():
            return await super().fetchmany(*args, **options)

    async def fetch(self, *args: Any, **options: Any) -> Any:
        async with self._transaction():
            return await super().fetch(*args, **options)

    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        async with self._transaction():
            return await super().fetchrow(*args, **options)

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        async with self._transaction():
            return await super().fetchval(*args, **options)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        if self.is_in_transaction():
            yield
        else:
            async with self.transaction():
                yield


def busy(error: TimeoutError, why: str) -> Busy:
    """The error as `Busy`. Counts it here: `Database` counts errors of the driver alone."""
    metrics.DATABASE_ERRORS.labels(error_kind(error)).inc()
    return Busy("postgres", f"{describe(error)}; {why}")


# Options of `asyncpg.connect`.
OF_SESSIONS: Final[Mapping[str, Any]] = {"connection_class": SessionConnection}
# A prepared statement belongs to a session.
SESSIONLESS: Final[Mapping[str, Any]] = {"connection_class": SessionlessConnection, "statement_cache_size": 0}
