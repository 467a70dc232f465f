"""The connection of a command to the database."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg
import psycopg

from app.adapters import migrations
from app.adapters.postgres_connect import Connector
from app.errors import DependencyDown, UserError, describe
from app.settings import Settings

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

V = TypeVar("V")

_TIMEOUT_SEC: Final = 10.0


def run_on_postgres(work: Callable[["Connection"], Awaitable[V]]) -> V:
    """Runs `work` on a connection with a session to the database. Its errors are raised as `UserError`."""

    async def run() -> V:
        connection = await Connector(url).connect(timeout=_TIMEOUT_SEC, command_timeout=_TIMEOUT_SEC)
        try:
            return await work(connection)
        finally:
            connection.terminate()

    url = Settings.from_env({**os.environ, "ROLE": "api"}).session_url
    try:
        return asyncio.run(run())
    except asyncpg.UndefinedTableError as error:
        raise UserError("The schema does not exist yet, or is older: run `reco migrate` first.") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, DependencyDown) as error:
        raise UserError(f"Postgres: {describe(error)}. Check DATABASE_URL and that the server is up.") from error


@contextmanager
def database() -> Iterator[psycopg.Connection]:
    """A connection with a session to the database in autocommit mode. Its errors are raised as `UserError`."""
    try:
        url = Settings.from_env({**os.environ, "ROLE": "api"}).session_url
        with migrations.connect(url) as connection:
            yield connection
    except DependencyDown as error:
        raise UserError(f"{error}. Check DATABASE_URL and that the server is up.") from error
    except psycopg.errors.UndefinedTable as error:
        raise UserError("The schema does not exist yet: run `reco migrate` first.") from error
    except psycopg.Error as error:
        raise UserError(f"Postgres: {describe(error)}. Completed work is kept; run the command again.") from error
