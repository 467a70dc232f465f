"""The catalogue: the application's descriptions of its items."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Meta, Struct

from app.adapters import catalogue
from app.adapters.catalogue import StoredItem, Written
from app.adapters.postgres import Database
from app.adapters.timestamps import with_zone
from app.api.audited import Change, change
from app.api.timestamps import Timestamp, check_timestamp
from app.core import events
from app.core.decoding import InvalidInput, decode
from app.core.events import PRINTABLE, Id
from app.core.field_errors import FieldError
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.paths import path_id
from app.http.problems import ProblemError
from app.http.responses import Reply, reply

MAX_ITEMS: Final = 1_000
MAX_ITEM_BYTES: Final = 64 * 1024
_MAX_FIELD_ERRORS: Final = 100

_WRITE_PROBLEMS: Final = schema.problems(400, 413, 415, 422, 503)

Title = Annotated[
    str, Meta(min_length=1, max_length=500, pattern=PRINTABLE, description="1 to 500 printable characters")
]
Labels = Annotated[list[Id], Meta(max_length=50, description="one that is given twice is stored once")]


class CatalogueItemInput(Struct, kw_only=True, forbid_unknown_fields=True):
    """An item without its id. It is served from `published_at` until `expires_at`, unless it is `hidden`."""

    title: Title | None = None
    categories: Labels = []
    tags: Labels = []
    published_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    hidden: bool = False


class CatalogueBatchItem(CatalogueItemInput, kw_only=True, forbid_unknown_fields=True):
    """An item with its id."""

    item_id: Id


class CatalogueItem(Struct, kw_only=True):
    """An item as it is stored."""

    item_id: str
    title: str | None
    categories: list[str]
    tags: list[str]
    published_at: Timestamp | None
    expires_at: Timestamp | None
    hidden: bool
    updated_at: Timestamp


class CatalogueBatch(Struct, forbid_unknown_fields=True):
    """Several items; each replaces the stored item of its id."""

    items: Annotated[list[CatalogueBatchItem], Meta(min_length=1, max_length=MAX_ITEMS)]


class _RawItems(Struct):
    items: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_ITEMS)]


class CatalogueBatchResult(Struct):
    """The number of new items and of replaced ones."""

    created: int
    replaced: int


_item_decoder: Final = msgspec.json.Decoder(CatalogueItemInput)
_items_decoder: Final = msgspec.json.Decoder(CatalogueBatch)
_named_decoder: Final = msgspec.json.Decoder(CatalogueBatchItem)
_raw_items_decoder: Final = msgspec.json.Decoder(_RawItems)


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @put(
        "/items/{item_id:path}",
        opt=schema.call(
            needs="catalogue",
            tag="catalogue",
            body=CatalogueItemInput,
            answers={200: CatalogueItem, 201: CatalogueItem, **_WRITE_PROBLEMS},
        ),
    )
    async def put_item(request: Request[Any, Any, Any]) -> ASGIApp:
        """Stores a whole item: fields that are left out become empty. 201 when it is new."""
        named = path_id(request.scope)
        item = decode(_item_decoder, await read_body(request, MAX_ITEM_BYTES))
        entry = _checked(named, item, "$")
        async with change(database, context_of(request.scope), "store_items") as changed:
            written = await catalogue.store(changed.connection, [entry])
            stored = await catalogue.read(changed.connection, named)
            _record(changed, written)
        if stored is None:
            raise ProblemError(503, "The item was deleted at the same time.", headers={"Retry-After": "1"})
        return reply(_shown(stored), status=201 if written.created else 200)

    @get(
        "/items/{item_id:path}",
        opt=schema.call(needs="read", tag="catalogue", answers={200: CatalogueItem, **_ABSENT}),
    )
    async def get_item(scope: Scope) -> ASGIApp:
        """An item of the catalogue."""
        async with database.connection() as connection:
            stored = await catalogue.read(connection, path_id(scope))
        if stored is None:
            raise ProblemError(404, "The catalogue has no such item.")
        return reply(_shown(stored))

    @delete(
        "/items/{item_id:path}",
        status_code=200,
        opt=schema.call(needs="catalogue", tag="catalogue", answers={204: None, **_ABSENT}),
    )
    async def delete_item(scope: Scope) -> ASGIApp:
        """Removes an item from the catalogue. With `CATALOGUE_ONLY` that ends its service. Otherwise it is still
        served when it is popular: set `hidden` to stop that.
        """
        async with change(database, context_of(scope), "delete_item") as changed:
            if not await catalogue.delete(changed.connection, path_id(scope)):
                raise ProblemError(404, "The catalogue has no such item.")
            changed.made([path_id(scope)], "deleted")
        return Reply(b"", status=204)

    @post(
        "/items",
        status_code=200,
        opt=schema.call(
            needs="catalogue",
            tag="catalogue",
            body=CatalogueBatch,
            answers={200: CatalogueBatchResult, **_WRITE_PROBLEMS},
        ),
    )
    async def post_items(request: Request[Any, Any, Any]) -> ASGIApp:
        """Stores up to 1,000 items, all or none. A refusal names the errors of each item, for up to 100 items."""
        items = _decode_items(await read_body(request, events.MAX_BODY_BYTES))
        entries = [_checked(item.item_id, item, f"$.items[{index}]") for index, item in enumerate(items)]
        _refuse_repeated(items)
        async with change(database, context_of(request.scope), "store_items") as changed:
            written = await catalogue.store(changed.connection, entries)
            _record(changed, written)
        return reply(CatalogueBatchResult(written.created, len(entries) - written.created))

    return [put_item, get_item, delete_item, post_items]


_ABSENT: Final = schema.problems(404, 422, 503)


def _record(changed: Change, written: Written) -> None:
    """Items that were stored as they are already are not in the record."""
    if written.item_ids:
        changed.made(written.item_ids, f"{written.created} created, {written.changed} replaced")


def _checked(item_id: str, item: CatalogueItemInput, path: str) -> StoredItem:
    for name in ("published_at", "expires_at"):
        check_timestamp(getattr(item, name), f"{path}.{name}")
    return StoredItem(
        item_id=item_id,
        title=item.title,
        categories=list(dict.fromkeys(item.categories)),
        tags=list(dict.fromkeys(item.tags)),
        published_at=item.published_at,
        expires_at=item.expires_at,
        hidden=item.hidden,
    )


def _decode_items(body: bytes) -> list[CatalogueBatchItem]:
    try:
        return decode(_items_decoder, body).items
    except InvalidInput as error:
        if error.malformed:
            raise
        # The decoder stops at the first error; a client that sends a thousand items wants all errors.
        field_errors = _item_errors(decode(_raw_items_decoder, body).items)
        raise (InvalidInput(*field_errors) if field_errors else error) from None


def _item_errors(items: Sequence[msgspec.Raw]) -> list[FieldError]:
    field_errors: list[FieldError] = []
    for index, item in enumerate(items):
        try:
            decode(_named_decoder, item)
        except InvalidInput as error:
            field_errors += [
                FieldError(f"$.items[{index}]{field_error.path[1:]}", field_error.message)
                for field_error in error.field_errors
            ]
            if len(field_errors) >= _MAX_FIELD_ERRORS:
                break
    return field_errors


def _refuse_repeated(items: Sequence[CatalogueBatchItem]) -> None:
    seen: dict[str, int] = {}
    field_errors = []
    for index, item in enumerate(items):
        first = seen.setdefault(item.item_id, index)
        if first != index:
            field_errors.append(FieldError(f"$.items[{index}].item_id", f"the same item is at $.items[{first}]"))
    if field_errors:
        raise InvalidInput(*field_errors[:_MAX_FIELD_ERRORS])


def _shown(item: StoredItem) -> CatalogueItem:
    return CatalogueItem(
        item_id=item.item_id,
        title=item.title,
        categories=item.categories,
        tags=item.tags,
        published_at=with_zone(item.published_at),
        expires_at=with_zone(item.expires_at),
        hidden=item.hidden,
        updated_at=item.updated_at or datetime.now(UTC),
    )
