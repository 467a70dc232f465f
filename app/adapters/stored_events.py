"""Events that were accepted, read by their ids, or by the order that they are of."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from app.adapters import sql
from app.adapters.arrays import joined_texts
from app.core.messages import Message, PurchaseMessage, decode_message

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)
_MAX_OF_AN_ORDER: Final = 1_000


class OrderedItem(PurchaseMessage, tag="purchase"):
    """A purchase as it is stored."""

    quantity: int = 1


class OrderLine(Struct):
    """A purchase of an order. `cancelled_by`: the `context.message_id` of what took it back, empty where there is none;
    None while it counts.
    """

    item: OrderedItem
    cancelled_by: str | None


_ordered: Final = msgspec.json.Decoder(OrderedItem)


async def read_messages(connection: "Connection", event_ids: Sequence[str]) -> Mapping[str, Message]:
    """The messages of those that are stored."""
    rows = await connection.fetch(_SQL["read_messages"], event_ids)
    return {event_id: decode_message(payload.encode()) for event_id, payload in rows}


async def read_orders(
    connection: "Connection", orders: Sequence[tuple[str, str]]
) -> Mapping[tuple[str, str], list[OrderLine]]:
    """Up to 1,000 purchases of each pair of a user and an order (`context.order_id`), in the order of their ids."""
    users, ids = zip(*orders, strict=True)
    rows = await connection.fetch(_SQL["read_orders"], joined_texts(users), joined_texts(ids), _MAX_OF_AN_ORDER)
    found: dict[tuple[str, str], list[OrderLine]] = {}
    for user_id, order_id, payload, cancelled_by in rows:
        found.setdefault((user_id, order_id), []).append(OrderLine(_ordered.decode(payload), cancelled_by))
    return found
