"""The catalogue: what the application has told about its items."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from app.adapters import changes, sql

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


class CatalogueItem(Struct, frozen=True, kw_only=True):
    """A row of the catalogue; `updated_at` is None until it is stored. Times have a time zone."""

    item_id: str
    title: str | None
    categories: list[str]
    tags: list[str]
    published_at: datetime | None
    expires_at: datetime | None
    hidden: bool
    updated_at: datetime | None = None


async def store(connection: "Connection", items: Sequence[CatalogueItem]) -> int:
    """Stores all of them or none, each in place of what was there; returns how many are new. Ids must differ."""
    async with connection.transaction():
        rows = await connection.fetch(
            _SQL["store"],
            [item.item_id for item in items],
            [item.title for item in items],
            [_json(item.categories) for item in items],
            [_json(item.tags) for item in items],
            [item.published_at for item in items],
            [item.expires_at for item in items],
            [item.hidden for item in items],
        )
        await changes.record(connection, [item.item_id for item in items])
    return sum(created for (created,) in rows)


async def read(connection: "Connection", item_id: str) -> CatalogueItem | None:
    row = await connection.fetchrow(_SQL["read"], item_id)
    return None if row is None else CatalogueItem(**dict(row))


async def delete(connection: "Connection", item_id: str) -> bool:
    """True when there was such an item."""
    async with connection.transaction():
        found = await connection.fetchval(_SQL["delete"], item_id)
        if found is not None:
            await changes.record(connection, [item_id])
    return found is not None


def _json(values: list[str]) -> str:
    return msgspec.json.encode(values).decode()
