"""The catalogue: what the application told about its items."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from app.adapters import sql
from app.adapters.timestamps import to_ms, with_zone
from app.core.catalogue import NO_ATTRIBUTES, Card
from app.core.content import COLD_EVENTS, Content, terms_of
from app.core.filter_index import Filterable
from app.core.page_cursor import CataloguePosition

if TYPE_CHECKING:
    from asyncpg import Record

    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)

_attributes: Final = msgspec.json.Decoder(dict[str, Any])

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The latest time that does not stand for infinity (see `app.adapters.timestamps`).
_LAST: Final = datetime.max.replace(tzinfo=UTC) - timedelta(microseconds=1)


async def read_cards(connection: "Connection", item_ids: Sequence[str]) -> dict[str, Card]:
    rows = await connection.fetch(_SQL["read_cards"], item_ids)
    return {
        item_id: Card(
            title,
            frozenset(categories),
            hidden,
            published_ms,
            expires_ms,
            frozenset(tags),
            _attributes.decode(attributes) if attributes else NO_ATTRIBUTES,
        )
        for item_id, title, categories, hidden, published_ms, expires_ms, tags, attributes in rows
    }


class NewItem(NamedTuple):
    """`responses`: events but impressions and views. `published_ms`: when it was published, else when it was added."""

    item_id: str
    impressions: int
    responses: int
    published_ms: int


async def read_new(
    connection: "Connection", category: str | None, since: datetime, limit: int, *, newest: int
) -> list[NewItem]:
    """Up to `limit` servable items published (or, without that time, added) at or after `since` (with a time zone), of
    the `newest` of them. Ordered by impressions, fewest first, then newest first.
    """
    if category is None:
        rows = await connection.fetch(_SQL["read_new"], since, limit, newest)
    else:
        rows = await connection.fetch(_SQL["read_new_of_category"], since, limit, newest, category)
    return [NewItem(*row) for row in rows]


async def read_fallback(connection: "Connection", category: str | None, limit: int) -> list[str]:
    """Up to `limit` ids of servable items, newest first.

    Without a category, items that have features but no catalogue row follow.
    """
    if category is not None:
        return [item_id for (item_id,) in await connection.fetch(_SQL["read_newest_of_category"], limit, category)]
    found = [item_id for (item_id,) in await connection.fetch(_SQL["read_newest"], limit)]
    if len(found) < limit:
        rows = await connection.fetch(_SQL["read_uncatalogued"], limit - len(found))
        found.extend(item_id for (item_id,) in rows)
    return found


async def read_after(
    connection: "Connection", category: str | None, after: CataloguePosition | None, limit: int
) -> list[CataloguePosition]:
    """Up to `limit` positions of servable items behind this one, newest first."""
    behind = limit, *_behind(after)
    if category is None:
        rows = await connection.fetch(_SQL["read_after"], *behind)
    else:
        rows = await connection.fetch(_SQL["read_after_of_category"], *behind, category)
    return [CataloguePosition(since_us, item_id) for since_us, item_id in rows]


async def read_newest_to_come(connection: "Connection", limit: int) -> list[str]:
    """Up to `limit` ids, newest first, of items that are servable or will be."""
    return [item_id for (item_id,) in await connection.fetch(_SQL["read_newest_to_come"], limit)]


async def read_content(connection: "Connection", item_ids: Sequence[str]) -> dict[str, Content]:
    """Of those of these items that are neither hidden nor expired."""
    rows = await connection.fetch(_SQL["read_content"], item_ids, COLD_EVENTS)
    return {
        item_id: Content(terms_of(title, categories, tags), *others)
        for item_id, title, categories, tags, *others in rows
    }


async def read_filterable(connection: "Connection", item_ids: Sequence[str]) -> dict[str, Filterable]:
    """Of those of these items that are neither hidden nor expired."""
    return {
        item_id: Filterable(title, tuple(categories), tuple(tags), (attributes or "").encode(), *others)
        for item_id, title, categories, tags, attributes, *others in await connection.fetch(
            _SQL["read_filterable"], item_ids
        )
    }


class StoredItem(Struct, frozen=True, kw_only=True):
    """A row of the catalogue; `updated_at` is None until it is stored. Times have a time zone.

    `attributes`: as `app.core.attributes` stores them.
    """

    item_id: str
    title: str | None
    categories: list[str]
    tags: list[str]
    published_at: datetime | None
    expires_at: datetime | None
    hidden: bool
    attributes: Mapping[str, Any] = {}
    updated_at: datetime | None = None


class Written(Struct, frozen=True):
    """How many items are new and how many changed, and the ids of both; the others were equal to what is stored."""

    created: int
    changed: int
    item_ids: Sequence[str]


async def store(
    connection: "Connection",
    items: Sequence[StoredItem],
    keep: Collection[str] = (),
    attributes: Collection[str] | None = None,
) -> Written:
    """Stores all items or none. Each replaces the stored one, except for the fields in `keep`, and for all attributes
    besides `attributes`, where they are given. Ids must differ.

    A trigger of the table announces the changes.
    """
    rows = await connection.fetch(
        _SQL["store"],
        [item.item_id for item in items],
        [item.title for item in items],
        [_json(item.categories) for item in items],
        [_json(item.tags) for item in items],
        [item.published_at for item in items],
        [item.expires_at for item in items],
        [item.hidden for item in items],
        [_json(item.attributes) for item in items],
        list(keep),
        None if attributes is None else list(attributes),
    )
    created = sum(row["created"] for row in rows)
    return Written(created, len(rows) - created, [row["item_id"] for row in rows])


async def read(connection: "Connection", item_id: str, *, lock: bool = False) -> StoredItem | None:
    """With `lock`, nobody else changes the item until the transaction ends."""
    row = await connection.fetchrow(_SQL["read_locked" if lock else "read"], item_id)
    return None if row is None else _stored(row)


async def delete(connection: "Connection", item_id: str) -> bool:
    """True when the item existed."""
    return await connection.fetchval(_SQL["delete"], item_id) is not None


async def delete_many(connection: "Connection", item_ids: Sequence[str]) -> list[str]:
    """The ids of those that existed."""
    return [item_id for (item_id,) in await connection.fetch(_SQL["delete_many"], item_ids)]


async def list_items(
    connection: "Connection",
    after: CataloguePosition | None,
    limit: int,
    *,
    category: str | None = None,
    words: Sequence[str] = (),
) -> list[tuple[CataloguePosition, StoredItem]]:
    """Up to `limit` items behind this position, newest first, hidden and expired ones too. `words`: prefixes of words
    that the title must have.
    """
    behind = limit, *_behind(after)
    if words:
        query = " & ".join(f"{word}:*" for word in words)
        rows = await connection.fetch(_SQL["list_items_by_title"], *behind, query, category)
    elif category is not None:
        rows = await connection.fetch(_SQL["list_items_of_category"], *behind, category)
    else:
        rows = await connection.fetch(_SQL["list_items"], *behind)
    return [(CataloguePosition(row["since_us"], row["item_id"]), _stored(row)) for row in rows]


def card_of(item: StoredItem) -> Card:
    """The same item as it is served."""
    return Card(
        title=item.title,
        categories=frozenset(item.categories),
        hidden=item.hidden,
        published_ms=_millis(item.published_at),
        expires_ms=_millis(item.expires_at),
        tags=frozenset(item.tags),
        attributes=item.attributes,
    )


def _behind(after: CataloguePosition | None) -> tuple[datetime, str]:
    return (_LAST, "") if after is None else (_EPOCH + timedelta(microseconds=after.since_us), after.item_id)


def _stored(row: "Record") -> StoredItem:
    fields = {name: row[name] for name in StoredItem.__struct_fields__ if name != "attributes"}
    return StoredItem(**fields, attributes=_attributes.decode(row["attributes"]))


def _millis(timestamp: datetime | None) -> int | None:
    zoned = with_zone(timestamp)
    return None if zoned is None else to_ms(zoned)


def _json(values: list[str] | Mapping[str, Any]) -> str:
    return msgspec.json.encode(values).decode()
