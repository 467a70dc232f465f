"""What Gorse's API lists, page by page in the order of ids."""

from typing import TYPE_CHECKING

from app.adapters import sql
from app.adapters.catalogue import StoredItem

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


async def items(connection: "Connection", after: str, limit: int) -> list[StoredItem]:
    return [StoredItem(**dict(row)) for row in await connection.fetch(_SQL["items"], after, limit)]


async def users(connection: "Connection", after: str, limit: int) -> list[str]:
    """Ids of users who have a history."""
    return [user_id for (user_id,) in await connection.fetch(_SQL["users"], after, limit)]


async def is_known(connection: "Connection", user_id: str) -> bool:
    """Whether anything is stored of the user."""
    return bool(await connection.fetchval(_SQL["known_user"], user_id))


async def feedback(
    connection: "Connection", after: str, limit: int, feedback_type: str | None
) -> list[tuple[str, str]]:
    """Event ids with the events' JSON, without impressions."""
    rows = await connection.fetch(_SQL["feedback"], after, limit, feedback_type)
    return [(event_id, payload) for event_id, payload in rows]


async def feedback_of_user(
    connection: "Connection", user_id: str, *, feedback_type: str | None, item_id: str | None, limit: int
) -> list[str]:
    """The JSON of the user's latest events without impressions, the latest first."""
    rows = await connection.fetch(_SQL["feedback_of_user"], user_id, feedback_type, item_id, limit)
    return [payload for (payload,) in rows]
