"""Sessions of late, and the user who began each."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import sql
from app.adapters.arrays import joined_texts, number_array

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)

_YOUNG_MS: Final = 86_400_000


class Session(Struct, frozen=True):
    """`started_ms`: the time of its first event that was counted."""

    user_id: str
    started_ms: int


async def remember(connection: "Connection", sessions: Mapping[str, Session]) -> None:
    """Stores new sessions that are young enough. In key order, after all other features, to avoid deadlocks."""
    await connection.execute(
        _SQL["remember"],
        joined_texts(sessions),
        joined_texts([session.user_id for session in sessions.values()]),
        number_array([session.started_ms for session in sessions.values()]),
        _YOUNG_MS,
    )


async def read(connection: "Connection", session_ids: Sequence[str]) -> dict[str, Session]:
    """Session id → session, for the known ones."""
    rows = await connection.fetch(_SQL["read"], session_ids)
    return {session_id: Session(user_id, started_ms) for session_id, user_id, started_ms in rows}


async def erase(connection: "Connection", user_ids: Collection[str]) -> None:
    await connection.execute(_SQL["erase"], list(user_ids))
