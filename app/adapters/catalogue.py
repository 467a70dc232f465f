"""The catalogue: what the application has told about its items."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


class Card(Struct, frozen=True):
    """What serving needs to know of an item. One that the catalogue does not know is served, without a title."""

    title: str | None = None
    categories: frozenset[str] = frozenset()
    hidden: bool = False
    published_ms: int | None = None
    expires_ms: int | None = None

    def servable(self, now_ms: int, category: str | None) -> bool:
        if self.hidden or (self.expires_ms is not None and self.expires_ms <= now_ms):
            return False
        if self.published_ms is not None and self.published_ms > now_ms:
            return False
        return category is None or category in self.categories


UNKNOWN: Final = Card()


async def read_cards(connection: "Connection", item_ids: Sequence[str]) -> dict[str, Card]:
    rows = await connection.fetch(_SQL["read_cards"], item_ids)
    return {
        item_id: Card(title, frozenset(categories), hidden, published_ms, expires_ms)
        for item_id, title, categories, hidden, published_ms, expires_ms in rows
    }
