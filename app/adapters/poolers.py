"""Poolers between us and Postgres: whether one is there and keeps sessions, and what it refuses."""

import re
from typing import TYPE_CHECKING, Final

from app.errors import UserError

if TYPE_CHECKING:
    import psycopg

_TRIES: Final = 3
_REFUSED: Final = re.compile(r"unsupported startup parameter(?: in options)?: (\w+)")

NO_SESSIONS: Final = (
    "a pooler in transaction mode, which keeps no sessions. Set DATABASE_POOLER=transaction, and DATABASE_DIRECT_URL "
    "to the server itself for migrations, LISTEN and commands; or use the pooler in session mode"
)


def refusal(error: BaseException) -> str | None:
    """Which parameter a pooler refuses, and what to do; None for another error."""
    found = _REFUSED.search(str(error))
    return found and (
        f"the pooler refuses the parameter {found[1]} of the database URL: remove it there, or name it in "
        "ignore_startup_parameters of PgBouncer, which then ignores it"
    )


def check_session(connection: "psycopg.Connection", another: "psycopg.Connection") -> None:
    """Raises `UserError` when a pooler gives the statements of these two connections, in autocommit mode, to the same
    server process, or those of one to several.

    A busy pooler may do neither for a moment. Nothing tells it from one in session mode then.
    """
    first = {_process(connection) for _ in range(_TRIES) if _process(another)}
    second = {_process(another) for _ in range(_TRIES) if _process(connection)}
    if len(first) > 1 or len(second) > 1 or first & second:
        raise UserError(
            f"The database URL (DATABASE_DIRECT_URL, or DATABASE_URL where that is not set) leads to {NO_SESSIONS}"
        )


def is_pooled(connection: "psycopg.Connection") -> bool:
    """Whether another process than the server itself has answered: it gives out process ids of its own."""
    return connection.info.backend_pid != _process(connection)


def _process(connection: "psycopg.Connection") -> int:
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    assert row is not None
    return int(row[0])
