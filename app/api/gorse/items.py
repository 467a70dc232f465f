"""Gorse's items: the catalogue."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from litestar import Request, delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Struct

from app.adapters import catalogue, gorse_pages
from app.adapters.catalogue import StoredItem, Written
from app.adapters.postgres import Database
from app.adapters.timestamps import in_order, with_zone
from app.api.audited import Change, change
from app.api.gorse.item_bodies import categories_of, read_changes, read_item, read_items
from app.api.gorse.shapes import PageQuery, Success, gorse_call, not_supported
from app.core.decoding import InvalidInput
from app.core.events import MAX_BODY_BYTES
from app.core.field_errors import FieldError
from app.http import schema
from app.http.body import read_body
from app.http.context import RequestContext, context_of
from app.http.path_ids import path_ids
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply

_NO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
# What Gorse does not know of an item.
_KEPT: Final = ("expires_at",)

_Request = Request[Any, Any, Any]


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


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @post("/api/item", status_code=200, opt=gorse_call("catalogue"))
    async def post_item(request: _Request) -> ASGIApp:
        body = await read_body(request, MAX_BODY_BYTES)
        await _store(database, context_of(request.scope), [read_item(body)])
        return reply(Success(1))

    @post("/api/items", status_code=200, opt=gorse_call("catalogue"))
    async def post_gorse_items(request: _Request) -> ASGIApp:
        """All or none; of an item that is there twice the last one."""
        items = read_items(await read_body(request, MAX_BODY_BYTES))
        entries = {item.item_id: item for item in items}
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
        changes = read_changes(await read_body(request, MAX_BODY_BYTES))
        await _change(database, request.scope, lambda before: _patched(before, changes))
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
    faults: list[FieldError] = []
    after = msgspec.structs.replace(before, categories=categories_of(categories, "$", faults))
    if faults:
        raise InvalidInput(*faults)
    return after


def _patched(before: StoredItem, changes: Mapping[str, Any]) -> StoredItem:
    after = msgspec.structs.replace(before, **changes)
    if "published_at" in changes and not in_order(after.published_at, after.expires_at):
        raise InvalidInput(FieldError("$.Timestamp", f"not before the item expires, at {after.expires_at}"))
    return after


def _listed(item: StoredItem) -> ListedItem:
    published = with_zone(item.published_at) or _NO_TIME
    return ListedItem(item.item_id, item.hidden, item.categories, published, item.tags, item.title or "")
