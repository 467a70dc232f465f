"""The database of an import: prepared, opened, and waited for while it is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from app.adapters import event_types, migrations
from app.adapters.pool_options import PoolOptions
from app.adapters.postgres import Database
from app.core.event_types import EventTypes
from app.errors import DependencyDown, UserError

_PATIENCE_SEC: Final = 60.0
_RETRY_SEC: Final = 1.0
_T = TypeVar("_T")


def prepare(database_url: str) -> None:
    """Applies missing migrations, as the service itself does at its start. Raises `UserError`."""
    try:
        migrations.migrate(database_url)
    except DependencyDown as error:
        raise UserError(f"{error}. Check DATABASE_URL and that the server is up.") from error


async def types_in_use(database_url: str) -> EventTypes:
    """What rows may be, and for how much they count. Raises `UserError`."""
    database = open_database(database_url)

    async def read() -> EventTypes:
        async with database.connection() as connection:
            return await event_types.read_types(connection)

    try:
        return await patiently(database, read)
    finally:
        await database.close(timeout_sec=1.0)


def open_database(url: str) -> Database:
    """A small pool for one import: batches are larger than requests, so the timeouts are longer than the API's."""
    return Database(
        url,
        PoolOptions(
            min_size=1,
            max_size=2,
            connect_timeout_sec=5.0,
            statement_timeout_ms=30_000,
            lock_timeout_ms=10_000,
            application_name="reco import",
            transaction_timeout_sec=120.0,
        ),
    )


async def patiently(database: Database, work: Callable[[], Awaitable[_T]]) -> _T:
    """Runs `work`, and retries it while Postgres is unreachable, for up to a minute. Then raises `UserError`."""
    deadline = time.monotonic() + _PATIENCE_SEC
    while True:
        try:
            await database.open()
            return await work()
        except DependencyDown as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"Postgres stays unreachable ({error}). Imported events are safe; run the same command again."
                ) from error
        await asyncio.sleep(_RETRY_SEC)
