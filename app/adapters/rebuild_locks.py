"""The locks of `reco rebuild`: who rebuilds, who counts, and the tables that are swapped."""

from typing import TYPE_CHECKING, Final

from app.adapters import sql
from app.adapters.building_schema import live_names

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)

# Whoever waits for a lock makes all others wait that come after.
_BRIEFLY_MS: Final = 1000
_MOMENT_MS: Final = 200
_ANSWER_SEC: Final = 60.0


async def check_alive(connection: "Connection") -> None:
    """Raises the driver's error when the session is lost, and its locks with it, or does not answer."""
    await connection.execute("SELECT", timeout=_ANSWER_SEC)


async def try_alone(connection: "Connection") -> bool:
    """Whether no other session rebuilds. If so, none does until this session ends."""
    alone: bool = await connection.fetchval(_SQL["try_alone"])
    return alone


async def stop_counting(connection: "Connection", *, wait_ms: int = _BRIEFLY_MS) -> None:
    """Waits until nobody counts, and keeps everybody from counting until the transaction ends.

    Raises `LockNotAvailableError` when somebody counts for so long: others who want to count wait behind us.
    """
    await connection.execute("SELECT set_config('lock_timeout', $1, true)", f"{wait_ms}ms")
    await connection.execute(_SQL["stop_counting"])


async def hold_erasures(connection: "Connection") -> None:
    """From here on no erasure removes histories of the new tables, until the transaction ends.

    So an erasure is either seen by what the transaction reads from here on, or removes what it has put.
    """
    await connection.execute(_SQL["hold_erasures"])


async def await_histories(connection: "Connection") -> None:
    """For an erasure, before it removes histories of the new tables: whoever has looked for erasures before it was
    committed, and has put some, ends first. The next statement sees them.
    """
    await connection.fetchval(_SQL["await_histories"])  # `execute` would have no limit behind a pooler


async def end_vacuums(connection: "Connection") -> None:
    """From here on no table of either generation is vacuumed, until the transaction ends.

    Postgres ends an autovacuum that somebody has waited for during `deadlock_timeout`, a second, which is longer than
    anybody may wait for who keeps readers waiting. Vacuums of large tables take minutes. Raises `LockNotAvailableError`
    for one that Postgres does not end.
    """
    async with live_names(connection):
        await connection.execute(_SQL["end_vacuums"])


async def lock_new_tables(connection: "Connection") -> None:
    """From here on nobody else writes the new tables, until the transaction ends."""
    await connection.execute(_SQL["lock_new_tables"])


async def lock_tables(connection: "Connection") -> None:
    """From here on nobody reads or writes the tables that serve, until the transaction ends.

    Raises `LockNotAvailableError` when somebody reads one of them for longer than a moment: readers wait behind us.
    """
    await connection.execute("SELECT set_config('lock_timeout', $1, true)", f"{_MOMENT_MS}ms")
    async with live_names(connection):
        await connection.execute(_SQL["lock_tables"])
