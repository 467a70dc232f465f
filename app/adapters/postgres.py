"""The connection pool, and which of Postgres' errors mean that it is away and not that the data is bad."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

# What a server that is down, starting, stopping, failing over, out of room or overloaded answers, by SQLSTATE class
# or code (PostgreSQL, appendix A). The same statement may pass later as it is, so nothing counts as an attempt.
_OUTAGE_CLASSES: Final = (
    "08",  # connection exception
    "40",  # transaction rollback: serialization failure, deadlock detected
    "53",  # insufficient resources: disk full, too many connections
    "55P03",  # lock not available (lock_timeout)
    "57",  # operator intervention: shutdown, crash, query canceled (statement_timeout)
    "58",  # system error: I/O
    "25006",  # read-only transaction: this server is a standby now
    "3D000",  # the database does not exist (yet)
    "28",  # authorization: credentials in rotation
)

_NETWORK_ERRORS: Final = (
    OSError,  # covers TimeoutError and ConnectionError
    asyncpg.InterfaceError,  # "connection is closed", "pool is closing"
)


def is_outage(error: BaseException) -> bool:
    """True when the fault is Postgres' state and not the statement's data: wait, and do the same again."""
    if isinstance(error, asyncpg.DataError | asyncpg.exceptions.UnsupportedClientFeatureError):
        return False  # asyncpg's own argument errors are InterfaceErrors too
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_OUTAGE_CLASSES)
    return isinstance(error, _NETWORK_ERRORS)


def error_kind(error: BaseException) -> str:
    """The label of `reco_database_errors_total`."""
    match error:
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError():
            return "lock"
        case asyncpg.QueryCanceledError() | TimeoutError():
            return "timeout"
        case asyncpg.ReadOnlySQLTransactionError():
            return "read_only"
        case _ if is_outage(error):
            return "connection"
    return "statement"


async def open_pool(
    database_url: str,
    *,
    min_size: int,
    max_size: int,
    connect_timeout_sec: float,
    statement_timeout_ms: int,
    lock_timeout_ms: int,
    application_name: str,
) -> asyncpg.Pool:
    """A pool that opens its connections when they are first asked for, so that a start without Postgres is no crash."""
    return await asyncpg.create_pool(
        database_url,
        min_size=0 if min_size < 0 else min_size,
        max_size=max_size,
        timeout=connect_timeout_sec,
        # Without it a dead peer hangs a query for ever (asyncpg#549); the server's own limit should fire first.
        command_timeout=statement_timeout_ms / 1000 + 1,
        server_settings={
            "application_name": application_name,
            "statement_timeout": str(statement_timeout_ms),
            "lock_timeout": str(lock_timeout_ms),
            "idle_in_transaction_session_timeout": "60000",
            "jit": "off",  # compiling costs more than any of our short statements take
        },
        # Nothing changes a session's state on a pooled connection, so there is no state to reset on release.
        reset=_keep_session,
    )


async def _keep_session(connection: Any) -> None:
    return None


Probe = Callable[[], Awaitable[None]]
