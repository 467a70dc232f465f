"""Gorse's items: the catalogue."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from litestar import Request, delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import UNSET, Struct

from app.adapters import catalogue, gorse_pages
from app.adapters.catalogue import StoredItem, Written
from app.adapters.postgres import Database
from app.adapters.timestamps import in_order, with_zone
from app.api.audited import Change, change
from app.api.gorse.shapes import PageQuery, Success, gorse_call, not_supported
from app.core.decoding import InvalidInput, decode
from app.core.events import MAX_BODY_BYTES, Id
from app.core.field_errors import FieldError
from app.http import schema
from app.http.body import read_body
from app.http.context import RequestContext, context_of
from app.http.paths import path_ids
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply
from app.ingest.gorse import time_ms

_MAX_ITEMS: Final = 1_000
_MAX_LABELS: Final = 50
_MAX_LABEL: Final = 128
_MAX_TITLE: Final = 500
_NO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
# What Gorse does not know of an item.
_KEPT: Final = ("expires_at",)

_Request = Request[Any, Any, Any]


class GorseItem(Struct, rename="pascal", kw_only=True):
    item_id: Id
    is_hidden: bool | None = False
    categories: list[Id] | None = None
    timestamp: str | int | float | None = None
    labels: Any = None
    comment: str | None = ""


class GorseItemPatch(Struct, rename="pascal", kw_only=True):
    """What is null stays as it is."""

    is_hidden: bool | None = None
    categories: list[Id] | None = None
    timestamp: str | int | float | None = None
    labels: Any = None
    comment: str | None = None


class ListedItem(Struct, rename="pascal"):
    item_id: str
    is_hidden: bool
    categories: list[str]
    timestamp: datetime
    labels: list[str]
    comment: str


class ItemPage(Struct, rename="pascal"):
    cursor: str
    items: list[ListedItem]


_item: Final = msgspec.json.Decoder(GorseItem)
_items: Final = msgspec.json.Decoder(list[GorseItem])
_patch: Final = msgspec.json.Decoder(GorseItemPatch)


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @post("/api/item", status_code=200, opt=gorse_call("catalogue"))
    async def post_item(request: _Request) -> ASGIApp:
        item = decode(_item, await read_body(request, MAX_BODY_BYTES))
        await _store(database, context_of(request.scope), [_checked(item, "$")])
        return reply(Success(1))

    @post("/api/items", status_code=200, opt=gorse_call("catalogue"))
    async def post_gorse_items(request: _Request) -> ASGIApp:
        """All or none; of an item that is there twice the last one."""
        items = decode(_items, await read_body(request, MAX_BODY_BYTES))
        if len(items) > _MAX_ITEMS:
            raise InvalidInput(FieldError("$", f"{len(items)} items; a request has at most {_MAX_ITEMS}"))
        entries = {item.item_id: _checked(item, f"$[{index}]") for index, item in enumerate(items)}
        if entries:
            await _store(database, context_of(request.scope), list(entries.values()))
        return reply(Success(len(items)))

    @get("/api/items", opt=gorse_call("read"))
    async def list_items(scope: Scope) -> ASGIApp:
        query = schema.query_of(scope, PageQuery)
        if query.q:
            raise not_supported("Items are not searched by text.")
        async with database.connection() as connection:
            found = await gorse_pages.items(connection, query.after, query.n)
        cursor = found[-1].item_id if len(found) == query.n else ""
        return reply(ItemPage(cursor, [_listed(item) for item in found]))

    @get("/api/item/{item_id:str}", opt=gorse_call("read"))
    async def get_gorse_item(scope: Scope) -> ASGIApp:
        async with database.connection() as connection:
            found = await catalogue.read(connection, path_ids(scope)["item_id"])
        if found is None:
            raise _absent()
        return reply(_listed(found))

    @patch("/api/item/{item_id:str}", opt=gorse_call("catalogue"))
    async def patch_item(request: _Request) -> ASGIApp:
        given = decode(_patch, await read_body(request, MAX_BODY_BYTES))
        await _change(database, request.scope, lambda before: _patched(before, given))
        return reply(Success(1))

    @delete("/api/item/{item_id:str}", status_code=200, opt=gorse_call("catalogue"))
    async def delete_gorse_item(scope: Scope) -> ASGIApp:
        item_id = path_ids(scope)["item_id"]
        async with change(database, context_of(scope), "delete_item") as changed:
            if await catalogue.delete(changed.connection, item_id):
                changed.made([item_id], "deleted")
        return reply(Success(1))

    return [
        post_item,
        post_gorse_items,
        list_items,
        get_gorse_item,
        patch_item,
        delete_gorse_item,
        *_category_handlers(database),
    ]


def _category_handlers(database: Database) -> list[HTTPRouteHandler]:
    @put("/api/item/{item_id:str}/category/{category:str}", status_code=200, opt=gorse_call("catalogue"))
    async def put_category(scope: Scope) -> ASGIApp:
        category = path_ids(scope)["category"]
        await _change(database, scope, lambda before: _in(before, [*before.categories, category]))
        return reply(Success(1))

    @delete("/api/item/{item_id:str}/category/{category:str}", status_code=200, opt=gorse_call("catalogue"))
    async def delete_category(scope: Scope) -> ASGIApp:
        category = path_ids(scope)["category"]
        await _change(database, scope, lambda before: _in(before, [n for n in before.categories if n != category]))
        return reply(Success(1))

    return [put_category, delete_category]


async def _store(database: Database, context: RequestContext, items: list[StoredItem]) -> None:
    async with change(database, context, "store_items") as changed:
        _record(changed, await catalogue.store(changed.connection, items, keep=_KEPT, attributes=[]))


async def _change(database: Database, scope: Scope, changed_of: Callable[[StoredItem], StoredItem]) -> None:
    """Changes the item of the path; nobody else does in between. Raises a 404."""
    async with change(database, context_of(scope), "store_items") as changed:
        before = await catalogue.read(changed.connection, path_ids(scope)["item_id"], lock=True)
        if before is None:
            raise _absent()
        _record(changed, await catalogue.store(changed.connection, [changed_of(before)]))


def _record(changed: Change, written: Written) -> None:
    if written.item_ids:
        changed.made(written.item_ids, f"{written.created} created, {written.changed} replaced")


def _absent() -> ProblemError:
    return ProblemError(ProblemCode.NO_SUCH_ITEM, "The catalogue has no such item.")


def _in(before: StoredItem, categories: list[str]) -> StoredItem:
    return msgspec.structs.replace(before, categories=_categories(categories, "$"))


def _checked(item: GorseItem, path: str) -> StoredItem:
    return StoredItem(
        item_id=item.item_id,
        title=_title(item.comment or ""),
        categories=_categories(item.categories or [], path),
        tags=_labels(item.labels),
        published_at=_time(item.timestamp, f"{path}.Timestamp"),
        expires_at=None,
        hidden=bool(item.is_hidden),
    )


def _patched(before: StoredItem, given: GorseItemPatch) -> StoredItem:
    changes: dict[str, Any] = {}
    if given.is_hidden is not None:
        changes["hidden"] = given.is_hidden
    if given.timestamp is not None:
        changes["published_at"] = _time(given.timestamp, "$.Timestamp")
    if given.categories is not None:
        changes["categories"] = _categories(given.categories, "$")
    if given.labels is not None:
        changes["tags"] = _labels(given.labels)
    if given.comment is not None:
        changes["title"] = _title(given.comment)
    after = msgspec.structs.replace(before, **changes)
    if given.timestamp is not None and not in_order(after.published_at, after.expires_at):
        raise InvalidInput(FieldError("$.Timestamp", f"not before the item expires, at {after.expires_at}"))
    return after


def _categories(names: list[str], path: str) -> list[str]:
    found = list(dict.fromkeys(names))
    if len(found) > _MAX_LABELS:
        raise InvalidInput(FieldError(f"{path}.Categories", f"{len(found)} categories; an item has at most 50"))
    return found


def _time(value: str | float | None, path: str) -> datetime | None:
    at_ms = time_ms(value, path)
    return None if at_ms is UNSET else datetime.fromtimestamp(at_ms / 1000, UTC)


def _title(comment: str) -> str | None:
    """The comment in one line of printable characters, cut to the length of a title."""
    return " ".join("".join(c if c.isprintable() else " " for c in comment).split())[:_MAX_TITLE] or None


def _labels(labels: Any) -> list[str]:
    """The words of labels as tags, those of objects as `name:word`. Numbers are left out: they are embeddings."""
    found: dict[str, None] = {}

    def collect(value: Any, name: str) -> None:
        if isinstance(value, str):
            text = f"{name}:{value}" if name else value
            if value and len(text) <= _MAX_LABEL and text.isprintable():
                found[text] = None
        elif isinstance(value, list):
            for inner in value:
                collect(inner, name)
        elif isinstance(value, dict):
            for key, inner in value.items():
                collect(inner, f"{name}.{key}" if name else key)

    collect(labels, "")
    return list(found)[:_MAX_LABELS]


def _listed(item: StoredItem) -> ListedItem:
    published = with_zone(item.published_at) or _NO_TIME
    return ListedItem(item.item_id, item.hidden, item.categories, published, item.tags, item.title or "")
