"""Events that were accepted, read by their ids."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from app.adapters import sql
from app.core.messages import Message, decode_message

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


async def read_messages(connection: "Connection", event_ids: Sequence[str]) -> Mapping[str, Message]:
    """The messages of those that are stored."""
    rows = await connection.fetch(_SQL["read_messages"], event_ids)
    return {event_id: decode_message(payload.encode()) for event_id, payload in rows}
