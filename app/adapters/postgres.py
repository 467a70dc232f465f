"""Connections to Postgres."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from app import metrics
from app.adapters import sql
from app.adapters.pool_options import PoolOptions
from app.adapters.pooled_connection import OF_SESSIONS, SESSIONLESS, busy
from app.adapters.postgres_connect import Connector
from app.adapters.postgres_errors import (
    DRIVER_ERRORS,
    READ_ONLY,
    error_kind,
    is_interrupted,
    is_outage,
    is_too_large,
    reason_of,
)
from app.adapters.probe_connection import ProbeConnection
from app.clock import clock
from app.errors import DependencyDown, Interrupted, TooLarge, describe

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

_SQL: Final = sql.load(__file__)

_PROBE_SEC: Final = 1.0
# Nearly as long as the monitor waits: a probe may wait in the queue of a pooler, whose server lives.
_POOLED_PROBE_SEC: Final = 2.5
_OPENING_WAIT_SEC: Final = 0.5


class Database:
    """A pool that survives the server: while Postgres is away, asking for a connection raises `DependencyDown`.

    The health probe calls `open` repeatedly: a pool whose server fell silent is replaced. `session_url`: where sessions
    are to be had, if not at `url`.
    """

    def __init__(self, url: str, options: PoolOptions, session_url: str | None = None) -> None:
        self._connector = Connector(url)
        self._session_connector = Connector(session_url or url)
        self._options = options
        self.has_sessions = options.has_sessions
        self._kind = OF_SESSIONS if options.has_sessions else SESSIONLESS
        self._pool: Pool | None = None
        self._is_open = asyncio.Event()
        self._probe_sec = _PROBE_SEC if options.has_sessions else _POOLED_PROBE_SEC
        self._probe = ProbeConnection(self._connect_probe, self._probe_sec)
        self._server: datetime | None = None
        """When the server started that answered the last probe, which tells it from any other."""
        self._releasing: set[asyncio.Future[None]] = set()
        self.source = 0
        """Stays the same: see `read_replica.ReadSource`."""
        self.sessions = 0
        """How many connections the pool has opened. Each later one may be to another server. A change of servers behind
        a pooler counts as one.
        """
        self.sequences_checked = False
        """False as long as sequences may be behind their tables: after each reconnection and each duplicate key."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """A connection for a short piece of work. Outages are raised as `DependencyDown`, other errors unchanged.

        `TooLarge` is the outage that a smaller batch may avoid, `Interrupted` one of a single statement, `Busy` one of
        too few connections. Any deadline may be set around it: whoever is cancelled does not wait for a silent server,
        not even in a transaction. It is rolled back when the connection is released.
        """
        pool = self._pool or await self._opened()
        try:
            connection = await self._acquire(pool)
            cancelled = False
            try:
                yield connection
            except (asyncpg.InternalClientError, asyncpg.InvalidSQLStatementNameError):
                # Its protocol state is undefined, or its prepared statements are gone: do not reuse it.
                connection.terminate()
                raise
            except TimeoutError:
                if self.has_sessions:
                    self._abandon(pool)
                else:
                    connection.terminate()  # of one server behind a pooler, which says nothing of others
                raise
            except asyncio.CancelledError:
                cancelled = True
                raise
            finally:
                if cancelled:
                    self._release_later(pool, connection)
                else:
                    await pool.release(connection)
        except DRIVER_ERRORS as error:
            metrics.DATABASE_ERRORS.labels(error_kind(error)).inc()
            if isinstance(error, asyncpg.UniqueViolationError):
                self.sequences_checked = False
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                # A pool keeps its connections to a demoted primary until told otherwise.
                await pool.expire_connections()
            if is_too_large(error):
                raise TooLarge("postgres", reason_of(error)) from error
            if is_interrupted(error):
                raise Interrupted("postgres", reason_of(error)) from error
            if is_outage(error):
                raise DependencyDown("postgres", reason_of(error)) from error
            raise

    async def _acquire(self, pool: "Pool") -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
        try:
            return await pool.acquire(timeout=self._options.connect_timeout_sec)
        except TimeoutError as error:
            if pool.get_idle_size() or pool.get_size() < pool.get_max_size():
                raise  # one was being made
            why = f"all {pool.get_size()} connections of the pool are in use: see DB_POOL_MAX_SIZE"
            raise busy(error, why) from error

    def _release_later(self, pool: "Pool", connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        """Gives a connection back whose statement was cancelled, in a task of its own.

        The pool waits until the server has ended the statement, or ends the connection after the time to connect.
        Whoever gave up must not wait for that, and a second cancellation would leave the error of that wait unread.
        """
        releasing = asyncio.ensure_future(pool.release(connection))
        self._releasing.add(releasing)

        def released(task: "asyncio.Future[None]") -> None:
            self._releasing.discard(task)
            if not task.cancelled():
                task.exception()  # the connection has been ended, which is all that it says

        releasing.add_done_callback(released)

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
        """A separate connection with a session, for LISTEN and locks; the caller closes it."""
        connection = await self._session_connector.connect(**self._connect_options(), **OF_SESSIONS)
        await self._limit(connection)
        return connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """As `listen`, closed at the end. Outages are raised as `DependencyDown`."""
        try:
            opened = await self.listen()
            try:
                yield opened
            finally:
                opened.terminate()
        except DRIVER_ERRORS as error:
            raise DependencyDown("postgres", reason_of(error)) from error

    async def open(self) -> None:
        """Opens the pool unless it is open; raises `DependencyDown` while the server is away."""
        if self._pool is None:
            try:
                self._pool = await asyncpg.create_pool(
                    connect=self._connect_pooled,
                    min_size=self._options.min_size,
                    max_size=self._options.max_size,
                    # Nothing changes session state on a pooled connection, so the reset round trip is skipped.
                    reset=_keep_session,
                    **{**self._connect_options(), **self._kind},
                )
            except DRIVER_ERRORS as error:
                raise DependencyDown("postgres", describe(error)) from error
            self._is_open.set()

    def probing(self) -> "AbstractAsyncContextManager[asyncpg.Connection[asyncpg.Record]]":
        """A separate connection, one user at a time, so that a busy pool does not look like a dead server.

        All of it has to end within a second, or 2.5 behind a pooler without sessions. Outages are raised as
        `DependencyDown`.
        """
        return self._probe.use()

    async def probe(self) -> None:
        """Runs one statement. Raises `DependencyDown`, also for a server that no longer takes writes."""
        async with self.probing() as connection:
            started, before_ms = time.perf_counter(), clock.host_ms()
            row = await connection.fetchrow(_SQL["probe"])
            assert row is not None  # it has no FROM
            read_only, theirs_ms, server = row
            clock.compare(theirs_ms, before_ms=before_ms, after_ms=clock.host_ms())
        metrics.DATABASE_LATENCY.observe((time.perf_counter() - started) * 1000)
        if read_only:
            self._probe.drop()  # the next probe may reach the new primary
            raise DependencyDown("postgres", READ_ONLY)
        if not self.has_sessions and self._server not in (None, server):
            await self._meet_another_server()
        self._server = server
        if self._pool is not None:
            idle = self._pool.get_idle_size()
            metrics.POOL_CONNECTIONS.labels("idle").set(idle)
            metrics.POOL_CONNECTIONS.labels("busy").set(self._pool.get_size() - idle)

    async def _meet_another_server(self) -> None:
        """A pooler without sessions keeps our connections while it changes servers."""
        self.sequences_checked = False
        self.sessions += 1
        if self._pool is not None:
            await self._pool.expire_connections()  # they know the types of the other one

    async def close(self, timeout_sec: float) -> None:
        self._probe.drop()
        if self._pool is not None:
            try:
                async with asyncio.timeout(timeout_sec):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()
            self._pool = None

    async def _connect_pooled(self, *_: Any, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        connection = await self._connector.connect(**options)
        if self._options.has_sessions:
            await self._limit(connection)
        else:
            connection.limit(self._options.limits())  # type: ignore[attr-defined]
        self.sessions += 1
        return connection

    async def _connect_probe(self) -> "asyncpg.Connection[asyncpg.Record]":
        options = {**self._connect_options(), "timeout": self._probe_sec}
        connection = await self._connector.connect(**options, **self._kind)
        self.sequences_checked = False
        return connection

    async def _limit(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Sets them for the session, and closes a connection that does not take them."""
        keepalives = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "3", "tcp_keepalives_count": "3"}
        limits = self._options.limits() | keepalives
        try:
            await set_for_session(connection, limits)
        except BaseException:
            connection.terminate()
            raise

    def _connect_options(self) -> dict[str, Any]:
        options = self._options
        return {
            "timeout": options.connect_timeout_sec,
            # Without it a dead peer hangs a query indefinitely (asyncpg#549); the server's own limit fires first.
            "command_timeout": options.statement_timeout_ms / 1000 + 1,
            "server_settings": {"application_name": options.application_name},
        }


async def now(connection: "Connection") -> datetime:
    """The database's clock, which stamps rows; within a transaction, too, the time of the call."""
    found: datetime = await connection.fetchval(_SQL["now"])
    return found


async def set_for_session(connection: "asyncpg.Connection[asyncpg.Record]", settings: Mapping[str, str]) -> None:
    """Sets them for the session, apart from those that this server does not know. They are no parameters of the
    connection: poolers refuse, or ignore, most of those.
    """
    await connection.execute(_SQL["set_what_is_known"], list(settings), list(settings.values()))


async def _keep_session(connection: Any) -> None:
    return None
