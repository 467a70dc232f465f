"""Connections to Postgres, and which of its errors mean an outage rather than bad data."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from msgspec import Struct

from app import metrics
from app.adapters import sql
from app.errors import DependencyDown, describe

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

_SQL: Final = sql.load(__file__)

# What a server that is down, starting, stopping, failing over, out of room or overloaded answers, by SQLSTATE class
# or code (PostgreSQL documentation, appendix A). The same statement may pass later as it is.
_OUTAGE_STATES: Final = (
    "08",  # connection exception
    "28",  # authorization: credentials in rotation
    "40",  # serialization failure, deadlock detected
    "42",  # a table, column or privilege is missing: a migration or a grant has yet to come
    "53",  # out of disk, memory or connections
    "57",  # shutdown, crash, statement_timeout
    "58",  # I/O error
    "25006",  # read-only transaction: this server is a standby now
    "25P03",  # idle_in_transaction_session_timeout
    "3D000",  # the database does not exist (yet)
    "55P03",  # lock_timeout
)
# What a statement's own values cause: data exceptions and integrity constraint violations.
_DATA_STATES: Final = ("22", "23")
_DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_PROBE_TIMEOUT_SEC: Final = 1.0
_OPENING_WAIT_SEC: Final = 0.5


def is_outage(error: BaseException) -> bool:
    """True when the error comes from Postgres' state and not from the statement's data: wait and retry."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_OUTAGE_STATES)
    # asyncpg's complaint about an argument is an InterfaceError as well, but a ValueError too. An InternalClientError
    # is what a statement meets on a connection whose server has just said that it is dying.
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError) and not isinstance(
        error, ValueError
    )


def is_data_error(error: asyncpg.PostgresError) -> bool:
    """True when Postgres refuses the values of the statement, so that they will never be stored as they are."""
    return str(error.sqlstate or "").startswith(_DATA_STATES)


def error_kind(error: BaseException) -> str:
    """The label of `reco_database_errors_total`."""
    if isinstance(error, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError):
        return "lock"
    if isinstance(error, asyncpg.QueryCanceledError | TimeoutError):
        return "timeout"
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return "read_only"
    return "connection" if is_outage(error) else "statement"


class PoolOptions(Struct, frozen=True, kw_only=True):
    min_size: int
    max_size: int
    connect_timeout_sec: float
    statement_timeout_ms: int
    lock_timeout_ms: int
    application_name: str
    transaction_timeout_sec: float = 20.0
    """The server ends a transaction that takes longer. More than the longest may take."""


class Database:
    """A pool that survives the server: while Postgres is away, asking for a connection raises `DependencyDown`.

    The health probe calls `open` repeatedly: a pool whose server fell silent is replaced.
    """

    def __init__(self, url: str, options: PoolOptions) -> None:
        self._url = url
        self._options = options
        self._pool: Pool | None = None
        self._is_open = asyncio.Event()
        self._probe_connection: asyncpg.Connection[asyncpg.Record] | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """A connection for a short piece of work. Outages are raised as `DependencyDown`, other errors unchanged."""
        pool = self._pool or await self._opened()
        try:
            async with pool.acquire(timeout=self._options.connect_timeout_sec) as connection:
                try:
                    yield connection
                except asyncpg.InternalClientError:
                    connection.terminate()  # the connection's protocol state is undefined: do not reuse it
                    raise
                except TimeoutError:
                    self._abandon(pool)
                    raise
        except _DRIVER_ERRORS as error:
            metrics.DATABASE_ERRORS.labels(error_kind(error)).inc()
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                # A pool keeps its connections to a demoted primary until told otherwise.
                await pool.expire_connections()
            if is_outage(error):
                raise DependencyDown("postgres", describe(error)) from error
            raise

    def _abandon(self, pool: "Pool") -> None:
        """Drops the pool after one of its connections fell silent; `open` makes the next one.

        A live server ends a statement before our deadline, so the server is gone, and the other connections with it.
        Each one left in the pool would cost its next user the whole deadline again.
        """
        if self._pool is pool:
            self._pool = None
            self._is_open.clear()
        pool.terminate()

    async def _opened(self) -> "Pool":
        """The pool; waits a little for it at the start and after it was dropped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OPENING_WAIT_SEC):
                await self._is_open.wait()
        if self._pool is None:
            raise DependencyDown("postgres", "not connected yet")
        return self._pool

    async def listen(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A separate connection for LISTEN; the caller closes it."""
        return await asyncpg.connect(self._url, **self._connect_options())

    async def open(self) -> None:
        """Opens the pool unless it is open; raises `DependencyDown` while the server is away."""
        if self._pool is None:
            try:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=self._options.min_size,
                    max_size=self._options.max_size,
                    # Nothing changes session state on a pooled connection, so the reset round trip is skipped.
                    reset=_keep_session,
                    init=self._limit_lost_transactions,
                    **self._connect_options(),
                )
            except _DRIVER_ERRORS as error:
                raise DependencyDown("postgres", describe(error)) from error
            self._is_open.set()

    async def probe(self) -> None:
        """Runs one statement on a separate connection, so that a busy pool does not look like a dead server.

        Raises `DependencyDown`, also for a server that no longer takes writes.
        """
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_SEC):
                if self._probe_connection is None or self._probe_connection.is_closed():
                    self._probe_connection = await asyncpg.connect(self._url, **self._connect_options())
                started = time.perf_counter()
                read_only = await self._probe_connection.fetchval("SHOW transaction_read_only")
        except _DRIVER_ERRORS as error:
            self._drop_probe()
            raise DependencyDown("postgres", describe(error)) from error
        metrics.DATABASE_LATENCY.observe((time.perf_counter() - started) * 1000)
        if read_only == "on":
            self._drop_probe()  # the next probe may reach the new primary
            raise DependencyDown("postgres", "read-only: a standby, or default_transaction_read_only is on")
        if self._pool is not None:
            idle = self._pool.get_idle_size()
            metrics.POOL_CONNECTIONS.labels("idle").set(idle)
            metrics.POOL_CONNECTIONS.labels("busy").set(self._pool.get_size() - idle)

    async def close(self, timeout_sec: float) -> None:
        self._drop_probe()
        if self._pool is not None:
            try:
                async with asyncio.timeout(timeout_sec):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()
            self._pool = None

    async def _limit_lost_transactions(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Server settings that end locks whose client is gone. A server that waits for the rest of a statement (between
        parse and bind) does not count as idle: only the transaction timeout ends that (Postgres 17), or keepalives when
        the peer is unreachable. Settings that the server does not know are left out.
        """
        limits = {
            "transaction_timeout": str(round(self._options.transaction_timeout_sec * 1000)),
            "tcp_keepalives_idle": "5",
            "tcp_keepalives_interval": "3",
            "tcp_keepalives_count": "3",
        }
        await connection.execute(_SQL["set_what_is_known"], list(limits), list(limits.values()))

    def _drop_probe(self) -> None:
        if self._probe_connection is not None:
            self._probe_connection.terminate()
            self._probe_connection = None

    def _connect_options(self) -> dict[str, Any]:
        options = self._options
        return {
            "timeout": options.connect_timeout_sec,
            # Without it a dead peer hangs a query indefinitely (asyncpg#549); the server's own limit fires first.
            "command_timeout": options.statement_timeout_ms / 1000 + 1,
            "server_settings": {
                "application_name": options.application_name,
                "statement_timeout": str(options.statement_timeout_ms),
                "lock_timeout": str(options.lock_timeout_ms),
                # A process that is stopped in the middle of a transaction must not keep its locks.
                "idle_in_transaction_session_timeout": "15000",
                "jit": "off",  # JIT compilation costs more than any of our short statements
            },
        }


async def _keep_session(connection: Any) -> None:
    return None
