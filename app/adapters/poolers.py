"""Poolers between us and Postgres: whether one is there and keeps sessions, and what it refuses."""

import re
from typing import TYPE_CHECKING, Final

import asyncpg

from app.errors import DependencyDown, UserError

if TYPE_CHECKING:
    import psycopg

    from app.adapters.postgres import Connection

_TRIES: Final = 3
_REFUSED: Final = re.compile(r"unsupported startup parameter(?: in options)?: (\w+)")

NO_SESSIONS: Final = (
    "a pooler in transaction mode, which keeps no sessions. Set DATABASE_POOLER=transaction, and DATABASE_DIRECT_URL "
    "to the server itself for migrations, LISTEN and commands; or use the pooler in session mode"
)

_NO_SESSIONS_OF_READS: Final = (
    "DATABASE_READ_URL leads to a pooler in transaction mode, which keeps no sessions. Set DATABASE_POOLER=transaction "
    "with DATABASE_DIRECT_URL, use the pooler in session mode, or name the replica itself"
)


def refusal(error: BaseException) -> str | None:
    """Which parameter a pooler refuses, and what to do; None for another error."""
    found = _REFUSED.search(str(error))
    return found and (
        f"the pooler refuses the parameter {found[1]} of the database URL: remove it there, or name it in "
        "ignore_startup_parameters of PgBouncer, which then ignores it"
    )


def check_session(
    connection: "psycopg.Connection",
    another: "psycopg.Connection",
    setting: str = "The database URL (DATABASE_DIRECT_URL, or DATABASE_URL where that is not set)",
) -> None:
    """Raises `UserError`, which names the setting of the URL, when a pooler gives the statements of these two
    connections, in autocommit mode, to the same server process, or those of one to several.

    A busy pooler may do neither for a moment. Nothing tells it from one in session mode then.
    """
    first = {_process(connection) for _ in range(_TRIES) if _process(another)}
    second = {_process(another) for _ in range(_TRIES) if _process(connection)}
    if _are_shared(first, second):
        raise UserError(f"{setting} leads to {NO_SESSIONS}")


async def check_reads(connection: "Connection", another: "Connection") -> None:
    """The same for two connections of reads; raises `DependencyDown`. Also where a statement is gone before it runs."""
    try:
        own = await _process_of(connection)
        if own == connection.get_server_pid():
            return
        first = {await _process_of(connection) for _ in range(_TRIES) if await _process_of(another)}
        second = {await _process_of(another) for _ in range(_TRIES) if await _process_of(connection)}
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError) as error:
        raise DependencyDown("postgres-read", _NO_SESSIONS_OF_READS) from error
    if _are_shared(first, second):
        raise DependencyDown("postgres-read", _NO_SESSIONS_OF_READS)


def _are_shared(first: set[int], second: set[int]) -> bool:
    """Whether the statements of two connections went to the same process of the server, or those of one to several."""
    return len(first) > 1 or len(second) > 1 or bool(first & second)


async def _process_of(connection: "Connection") -> int:
    found: int = await connection.fetchval("SELECT pg_backend_pid()")
    return found


def is_pooled(connection: "psycopg.Connection") -> bool:
    """Whether another process than the server itself has answered: it gives out process ids of its own."""
    return connection.info.backend_pid != _process(connection)


def _process(connection: "psycopg.Connection") -> int:
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    assert row is not None
    return int(row[0])
