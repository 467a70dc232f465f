"""The catalogue as a whole: its items page by page, and many deleted at once."""

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import UNSET, Meta, Struct, UnsetType

from app.adapters import catalogue
from app.adapters.catalogue import StoredItem, card_of
from app.adapters.postgres import Database
from app.api.audited import change
from app.api.field_checks import FieldChecks, check_cursor, filter_check
from app.api.item_bodies import MAX_ITEMS, CatalogueItem, shown_item
from app.api.pages import list_asked
from app.clock import clock
from app.core.decoding import InvalidInput, decode
from app.core.events import MAX_BODY_BYTES, Id
from app.core.field_errors import FieldError
from app.core.filter_language import FilterText
from app.core.filters import Filter
from app.core.page_cursor import MAX_LENGTH, CataloguePosition, PageCursor, read_cursor, write_cursor
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.responses import reply

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

FilterOf = Callable[[str], Awaitable[Filter]]
Placed = list[tuple[CataloguePosition, StoredItem]]

_MAX_LISTED: Final = 200
_LOOK: Final = 500
# A filter may leave out many: one page looks at no more than this.
_MOST_LOOKS: Final = 20
_MAX_WORDS: Final = 10
_WORD: Final = re.compile(r"[^\W_]+")


Limit = Annotated[int, Meta(ge=1, le=_MAX_LISTED, description="At most so many items.")]
NextPage = Annotated[
    str, Meta(min_length=1, max_length=MAX_LENGTH, description="The `cursor` of an answer asks for the next page.")
]
OfCategory = Annotated[Id, Meta(description="Only items of this category.")]
TitleWords = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="Only items whose title has words that begin with each of these words, in any order and case.",
    ),
]


class ItemListQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which items of the catalogue."""

    limit: Limit = 50
    cursor: NextPage | None = None
    category: OfCategory | None = None
    title: TitleWords | None = None
    filter: FilterText | None = None


class ItemList(Struct, kw_only=True):
    """Items, the newest first. A page may have fewer than `limit`; the last one has no `cursor`."""

    items: list[CatalogueItem]
    cursor: str | UnsetType = UNSET


class ItemsToDelete(Struct, forbid_unknown_fields=True):
    """The ids of up to 1,000 items."""

    item_ids: Annotated[list[Id], Meta(min_length=1, max_length=MAX_ITEMS)]


class ItemsDeleted(Struct):
    """How many items were deleted, and the ids of which the catalogue had no item."""

    deleted: int
    absent: list[str]


_delete_decoder: Final = msgspec.json.Decoder(ItemsToDelete)


def handlers(database: Database, filter_of: FilterOf) -> list[HTTPRouteHandler]:
    """`filter_of` makes a filter of a text."""

    async def title(text: str, _: Scope) -> None:
        words_of(text)

    checks = FieldChecks({"title": (str, title), "filter": filter_check(filter_of), "cursor": (str, check_cursor)})

    @get(
        "/items",
        opt=schema.call(
            needs="read",
            tag="catalogue",
            query=ItemListQuery,
            answers={200: ItemList, **schema.problems(422, 503)},
        ),
    )
    async def get_items(scope: Scope) -> ASGIApp:
        """The items of the catalogue, the newest first, also those that are hidden or have expired. `title` searches;
        `filter=hidden` gives those that are hidden.
        """
        query = await checks.query(scope, ItemListQuery)
        of, words = list_asked(scope), words_of(query.title)
        wanted = None if query.filter is None else await filter_of(query.filter)
        async with database.connection() as connection:
            found, after = await _page(connection, query, of, words, wanted)
        cursor = UNSET if after is None else write_cursor(PageCursor(b"", True, after), of)
        answer = ItemList(items=[shown_item(item) for _, item in found], cursor=cursor)
        return reply(answer)

    @post(
        "/items:delete",
        status_code=200,
        opt=schema.call(
            needs="catalogue",
            tag="catalogue",
            body=ItemsToDelete,
            answers={200: ItemsDeleted, **schema.problems(400, 413, 415, 422, 503)},
        ),
    )
    async def delete_items(request: Request[Any, Any, Any]) -> ASGIApp:
        """Removes up to 1,000 items from the catalogue, all in one transaction."""
        item_ids = decode(_delete_decoder, await read_body(request, MAX_BODY_BYTES)).item_ids
        async with change(database, context_of(request.scope), "delete_item") as changed:
            deleted = await catalogue.delete_many(changed.connection, item_ids)
            if deleted:
                changed.made(sorted(deleted), f"{len(deleted)} deleted")
        there = {*deleted}
        return reply(ItemsDeleted(len(deleted), [item for item in dict.fromkeys(item_ids) if item not in there]))

    return [get_items, delete_items]


def words_of(title: str | None) -> list[str]:
    """The words to search for. Raises `InvalidInput` where there are none or too many."""
    if title is None:
        return []
    words = _WORD.findall(title)
    if not 1 <= len(words) <= _MAX_WORDS:
        raise InvalidInput(FieldError("$.title", f"expected 1 to {_MAX_WORDS} words of letters and digits"))
    return words


async def _page(
    connection: "Connection", query: ItemListQuery, of: str, words: list[str], wanted: Filter | None
) -> tuple[Placed, CataloguePosition | None]:
    """The items of a page, and the position behind which the next one begins: None at the end of the catalogue."""
    found: Placed = []
    after = None if query.cursor is None else read_cursor(query.cursor, of).after
    look = query.limit + 1 if wanted is None else _LOOK
    for _ in range(_MOST_LOOKS):
        rows = await catalogue.list_items(connection, after, look, category=query.category, words=words)
        found += rows if wanted is None else _kept(rows, wanted)
        if len(found) > query.limit:
            return found[: query.limit], found[query.limit - 1][0]
        if len(rows) < look:
            return found, None
        after = rows[-1][0]
    return found, after


def _kept(rows: Placed, wanted: Filter) -> Placed:
    cards = {item.item_id: card_of(item) for _, item in rows}
    kept = {*wanted.kept([*cards], cards, clock.now_ms())}
    return [(position, item) for position, item in rows if item.item_id in kept]
