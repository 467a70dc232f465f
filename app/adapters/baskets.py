"""What was bought together, from the purchases that are kept."""

from typing import TYPE_CHECKING, Final

from app.adapters import sql
from app.core.baskets import MAX_OF_A_USER, MAX_PURCHASES, MAX_READ, MAX_SHARED, VISIT_MS, Baskets, baskets_of

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


async def read(connection: "Connection", item_id: str) -> Baskets:
    """The baskets of the item's latest purchases."""
    ((count, item_ids, shared),) = await connection.fetch(
        _SQL["read"], item_id, MAX_PURCHASES, VISIT_MS, MAX_SHARED, MAX_OF_A_USER, MAX_READ
    )
    return baskets_of(count, item_ids or (), shared or ())
