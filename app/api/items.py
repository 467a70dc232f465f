"""The catalogue: the application's descriptions of its items."""

from collections.abc import Mapping
from typing import Any, Final

from litestar import Request, delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Struct, structs

from app.adapters import attributes, catalogue
from app.adapters.catalogue import StoredItem, Written
from app.adapters.postgres import Database
from app.api.audited import Change, change
from app.api.item_bodies import (
    CatalogueBatch,
    CatalogueItem,
    CatalogueItemInput,
    CatalogueItemPatch,
    checked_item,
    checked_items,
    decode_item,
    decode_items,
    decode_patch,
    patched_item,
    shown_item,
)
from app.core import events
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.etags import IF_MATCH, ONLY_NEW, check_preconditions, has_preconditions, tagged
from app.http.path_ids import path_faults, path_id
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError, retry_later
from app.http.responses import Reply, reply

MAX_ITEM_BYTES: Final = 64 * 1024

_WRITE_PROBLEMS: Final = schema.problems(400, 413, 415, 422, 503)
_ABSENT: Final = schema.problems(404, 422, 503)
_NO_ITEM: Final = "The catalogue has no such item."


class CatalogueBatchResult(Struct):
    """The number of new items and of replaced ones."""

    created: int
    replaced: int


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @put(
        "/items/{item_id:path}",
        opt=schema.call(
            needs="catalogue",
            tag="catalogue",
            body=CatalogueItemInput,
            answers={200: CatalogueItem, 201: CatalogueItem, **_WRITE_PROBLEMS, **schema.problems(412)},
            headers=[IF_MATCH, ONLY_NEW],
        ),
    )
    async def put_item(request: Request[Any, Any, Any]) -> ASGIApp:
        """Stores a whole item: fields that are left out become empty. 201 when it is new."""
        context = context_of(request.scope)
        item, faults = decode_item(await read_body(request, MAX_ITEM_BYTES))
        async with change(database, context, "store_items") as changed:
            declared = await attributes.read_types(changed.connection) if item.attributes else {}
            row = checked_item(item, declared, faults)
            named = path_id(request.scope)
            entry = structs.replace(row, item_id=named)
            before = None
            if has_preconditions(context.headers):
                before = await catalogue.read(changed.connection, named, lock=True)
                _check(context.headers, before)
            written = await catalogue.store(changed.connection, [entry])
            stored = await catalogue.read(changed.connection, named)
            if before is None and not written.created:  # somebody else has stored it since it was looked for
                _check(context.headers, stored)
            _record(changed, written)
        if stored is None:
            raise retry_later(ProblemCode.CHANGED_MEANWHILE, "The item was deleted at the same time.")
        return tagged(shown_item(stored), status=201 if written.created else 200)

    @patch(
        "/items/{item_id:path}",
        status_code=200,
        opt=schema.call(
            needs="catalogue",
            tag="catalogue",
            body=CatalogueItemPatch,
            answers={200: CatalogueItem, **_WRITE_PROBLEMS, **schema.problems(404, 412)},
            headers=[IF_MATCH],
        ),
    )
    async def patch_item(request: Request[Any, Any, Any]) -> ASGIApp:
        """Changes the fields that are given, and leaves all others. Of `attributes`, those that are named change; null
        removes one.
        """
        context = context_of(request.scope)
        body, faults = decode_patch(await read_body(request, MAX_ITEM_BYTES))
        async with change(database, context, "store_items") as changed:
            declared = await attributes.read_types(changed.connection) if body.attributes else {}
            if path_faults(request.scope):
                checked_item(body, declared, faults)  # what is wrong with the fields is told beside the id
            named = path_id(request.scope)
            stored = await catalogue.read(changed.connection, named, lock=True)
            _check(context.headers, stored)
            if stored is None:
                raise ProblemError(ProblemCode.NO_SUCH_ITEM, _NO_ITEM)
            written = await catalogue.store(changed.connection, [patched_item(stored, body, declared, faults)])
            stored = await catalogue.read(changed.connection, named) or stored
            _record(changed, written)
        return tagged(shown_item(stored))

    @get(
        "/items/{item_id:path}",
        opt=schema.call(
            needs="read",
            tag="catalogue",
            answers={200: CatalogueItem, **_ABSENT},
        ),
    )
    async def get_item(scope: Scope) -> ASGIApp:
        """An item of the catalogue, with the `ETag` of its state."""
        async with database.connection() as connection:
            stored = await catalogue.read(connection, path_id(scope))
        if stored is None:
            raise ProblemError(ProblemCode.NO_SUCH_ITEM, _NO_ITEM)
        return tagged(shown_item(stored))

    @delete(
        "/items/{item_id:path}",
        status_code=200,
        opt=schema.call(
            needs="catalogue",
            tag="catalogue",
            answers={204: None, **_ABSENT, **schema.problems(412)},
            headers=[IF_MATCH],
        ),
    )
    async def delete_item(scope: Scope) -> ASGIApp:
        """Removes an item from the catalogue. With `CATALOGUE_ONLY` that ends its service. Otherwise it is still
        served when it is popular: set `hidden` to stop that.
        """
        named, context = path_id(scope), context_of(scope)
        async with change(database, context, "delete_item") as changed:
            if has_preconditions(context.headers):
                _check(context.headers, await catalogue.read(changed.connection, named, lock=True))
            if not await catalogue.delete(changed.connection, named):
                raise ProblemError(ProblemCode.NO_SUCH_ITEM, _NO_ITEM)
            changed.made([named], "deleted")
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
        items, faults = decode_items(await read_body(request, events.MAX_BODY_BYTES))
        async with change(database, context_of(request.scope), "store_items") as changed:
            has_attributes = any(item.attributes for item in items if item)
            declared = await attributes.read_types(changed.connection) if has_attributes else {}
            entries = checked_items(items, declared, faults)
            written = await catalogue.store(changed.connection, entries)
            _record(changed, written)
        return reply(CatalogueBatchResult(written.created, len(entries) - written.created))

    return [put_item, patch_item, get_item, delete_item, post_items]


def _record(changed: Change, written: Written) -> None:
    """Items that were stored as they are already are not in the record."""
    if written.item_ids:
        changed.made(written.item_ids, f"{written.created} created, {written.changed} replaced")


def _check(request_headers: Mapping[bytes, bytes], stored: StoredItem | None) -> None:
    """Raises a 412 when a precondition of the request does not hold for the stored item."""
    check_preconditions(request_headers, None if stored is None else shown_item(stored))
