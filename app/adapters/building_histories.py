"""The histories of the generation that `reco rebuild` makes.

Each keeps the time when something was last counted for its user, by which retention goes: a rebuild counts nothing new.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from app.adapters import features, sql
from app.adapters.building_schema import live_names
from app.core.history import History, decode_history, encode_history

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


async def read(connection: "Connection", user_ids: Collection[str]) -> dict[str, History]:
    found = await features.read_histories(connection, list(user_ids))
    return {user_id: decode_history(stored.history) for user_id, stored in found.items() if stored.history}


async def put(connection: "Connection", histories: Mapping[str, History]) -> None:
    """In a transaction."""
    if histories:
        users = sorted(histories)
        encoded = [encode_history(histories[user_id]) for user_id in users]
        await connection.execute(_SQL["put"], users, encoded, await _last_counted(connection, users))


async def copy(connection: "Connection", users: Sequence[str], encoded: Sequence[bytes]) -> None:
    """Adds the encoded histories of users who have none yet. In a transaction."""
    records = zip(users, encoded, await _last_counted(connection, users), strict=True)
    columns = ["user_id", "history", "updated_at"]
    await connection.copy_records_to_table("user_history", records=records, columns=columns)


async def forget(connection: "Connection", user_ids: Sequence[str]) -> None:
    await connection.execute(_SQL["forget"], user_ids)


async def replace(connection: "Connection", user_ids: Sequence[str], histories: Mapping[str, History]) -> None:
    """Replaces what is built for these users. In a transaction."""
    await forget(connection, user_ids)
    await put(connection, histories)


async def _last_counted(connection: "Connection", users: Sequence[str]) -> list[datetime]:
    """When something was last counted for each of them; now, for whom nothing was."""
    async with live_names(connection):
        return [at for (at,) in await connection.fetch(_SQL["last_counted"], users)]
