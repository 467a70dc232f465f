"""The attributes that items may have: each is declared once, with its type."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Request, delete, get, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Struct

from app.adapters import attributes
from app.adapters.attributes import StoredAttribute, TooManyAttributes
from app.adapters.postgres import Database
from app.api.audited import change
from app.api.timestamps import Timestamp
from app.core.attributes import BUILT_IN, MAX_DECLARED, AttributeName, AttributeType
from app.core.decoding import InvalidInput, decode_checked
from app.core.field_errors import FieldError, field_error_of
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.path_ids import path_faults, path_id
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import Reply, reply

_MAX_BYTES: Final = 1024
_NONE: Final = "There is no such attribute."
_ABSENT: Final = schema.problems(404, 422, 503)


class AttributeBody(Struct, forbid_unknown_fields=True):
    """The type of an attribute's values."""

    type: AttributeType


class Attribute(Struct, kw_only=True):
    """A declared attribute."""

    name: str
    type: AttributeType
    created_at: Timestamp


class AttributeList(Struct):
    """All declared attributes, in the order of their names."""

    attributes: list[Attribute]


_decoder: Final = msgspec.json.Decoder(AttributeBody)


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @put(
        "/attributes/{name:path}",
        opt=schema.call(
            needs="catalogue",
            tag="catalogue",
            body=AttributeBody,
            answers={200: Attribute, 201: Attribute, **schema.problems(400, 409, 413, 415, 422, 503)},
        ),
    )
    async def put_attribute(request: Request[Any, Any, Any]) -> ASGIApp:
        """Declares an attribute: from now on, items may have values of this type under this name, and filters may name
        it. 201 when it is new, 409 when it has another type or there are 200 others.
        """
        body = await read_body(request, _MAX_BYTES)
        declared = decode_checked(_decoder, body, lambda _: _name_faults(request.scope))
        name = path_id(request.scope)
        try:
            async with change(database, context_of(request.scope), "declare_attribute") as changed:
                stored, created = await attributes.declare(changed.connection, name, declared.type)
                if created:
                    changed.made([name], declared.type)
        except TooManyAttributes:
            raise ProblemError(
                ProblemCode.TOO_MANY, f"There are {MAX_DECLARED} attributes already; delete one first."
            ) from None
        if stored.type != declared.type:
            raise ProblemError(
                ProblemCode.OTHER_TYPE,
                f"The attribute is a {stored.type} already; delete it first, or use another name.",
            )
        return reply(_shown(stored), status=201 if created else 200)

    @get(
        "/attributes",
        opt=schema.call(needs="read", tag="catalogue", answers={200: AttributeList, **schema.problems(503)}),
    )
    async def get_attributes() -> ASGIApp:
        """All declared attributes and their types."""
        async with database.connection() as connection:
            found = await attributes.read_all(connection)
        return reply(AttributeList([_shown(stored) for stored in found]))

    @get(
        "/attributes/{name:path}",
        opt=schema.call(needs="read", tag="catalogue", answers={200: Attribute, **_ABSENT}),
    )
    async def get_attribute(scope: Scope) -> ASGIApp:
        """A declared attribute and its type."""
        name = path_id(scope)
        async with database.connection() as connection:
            found = await attributes.read_all(connection)
        stored = next((one for one in found if one.name == name), None)
        if stored is None:
            raise ProblemError(ProblemCode.NO_SUCH_ATTRIBUTE, _NONE)
        return reply(_shown(stored))

    @delete(
        "/attributes/{name:path}",
        status_code=200,
        opt=schema.call(needs="catalogue", tag="catalogue", answers={204: None, **_ABSENT}),
    )
    async def delete_attribute(scope: Scope) -> ASGIApp:
        """Ends the declaration. Items keep their values, and filters no longer know the name. Declared anew with
        another type, the attribute is missing from the items whose values are of the old one.
        """
        if faults := _name_faults(scope):
            raise InvalidInput(*faults)
        name = path_id(scope)
        async with change(database, context_of(scope), "delete_attribute") as changed:
            if not await attributes.delete(changed.connection, name):
                raise ProblemError(ProblemCode.NO_SUCH_ATTRIBUTE, _NONE)
            changed.made([name], "deleted")
        return Reply(b"", status=204)

    return [put_attribute, get_attributes, get_attribute, delete_attribute]


def _name_faults(scope: Scope) -> Sequence[FieldError]:
    if faults := path_faults(scope):
        return faults
    name = path_id(scope)
    if name in BUILT_IN:
        return (FieldError("$.name", f"every item has `{name}` already; filters know it without declaring"),)
    try:
        msgspec.convert(name, AttributeName)
    except msgspec.ValidationError as error:
        return (FieldError("$.name", field_error_of(error, AttributeName).message),)
    return ()


def _shown(stored: StoredAttribute) -> Attribute:
    return Attribute(name=stored.name, type=stored.type, created_at=stored.created_at)
