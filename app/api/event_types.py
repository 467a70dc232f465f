"""Event types: those that are ready to use, and those that the application makes."""

import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from litestar import Request, delete, get, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Meta, Struct

from app.adapters import event_types
from app.adapters.event_types import NewEventType, StoredEventType, TooManyTypes
from app.adapters.postgres import Database
from app.api.audited import Change, change
from app.api.timestamps import Timestamp
from app.core.decoding import decode_checked
from app.core.event_types import (
    FIXED,
    MAX_NAMES,
    MAX_TYPES,
    MAX_WEIGHT,
    NAME_PATTERN,
    READY,
    TAKEN,
    Meaning,
    RatingScale,
    field_errors,
)
from app.core.field_errors import FieldError
from app.http import schema
from app.http.body import read_body
from app.http.context import RequestContext, context_of
from app.http.etags import IF_MATCH, ONLY_NEW, check_preconditions, has_preconditions, tagged
from app.http.path_ids import path_faults, path_id
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import Reply, reply
from app.serving.known_event_types import KnownEventTypes

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

MAX_TYPE_BYTES: Final = 4 * 1024

_ABSENT: Final = schema.problems(404, 422, 503)
_NONE: Final = "There is no such event type."
_NAME: Final = "expected a small letter, then up to 31 small letters, digits, hyphens and underscores"
_TAKEN: Final = "is a word with a meaning of its own in lists and imports; choose another name"
_DENIED: Final = "is a type of the service, which counts it in its own way; choose another name"

Weight = Annotated[
    float,
    Meta(gt=0.0, le=MAX_WEIGHT, description="beside a purchase, which is 1; a click is 0.5 and a view 0.3"),
]
MeaningOf = Annotated[
    Meaning,
    Meta(
        description="`interest`: the user may want the item. `consumption`: the user has taken it. `rejection`: the"
        " user does not want it; the weight counts against the item and what is like it."
    ),
]
Pairs = Annotated[bool, Meta(description="Whether it makes pairs: `users also took`. Left out: all but rejections do.")]
EndsOffer = Annotated[
    bool, Meta(description="Whether the user is not offered the item again. Left out: rejections end the offer.")
]


class EventTypeBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """What an event of the type counts."""

    weight: Weight
    meaning: MeaningOf
    pairs: Pairs | None = None
    ends_offer: EndsOffer | None = None
    rating_scale: RatingScale | None = None


class ShownEventType(Struct, kw_only=True):
    """A type that is in use. `updated_at` is null for one that is as it comes with the service."""

    name: str
    weight: float
    meaning: Meaning
    pairs: bool
    ends_offer: bool
    rating_scale: RatingScale | None
    updated_at: Timestamp | None


class EventTypeList(Struct):
    """`types`: those in use, by name. `fixed`: those that the service counts in its own way."""

    types: list[ShownEventType]
    fixed: list[str]


_decoder: Final = msgspec.json.Decoder(EventTypeBody)


def handlers(database: Database, known: KnownEventTypes) -> list[HTTPRouteHandler]:
    """The routes; `known` is told of a change, so that this process takes the next event with it."""

    @put(
        "/event-types/{name:path}",
        opt=schema.call(
            needs="catalogue",
            tag="events",
            body=EventTypeBody,
            answers={
                200: ShownEventType,
                201: ShownEventType,
                **schema.problems(400, 409, 412, 413, 415, 422, 503),
            },
            headers=[IF_MATCH, ONLY_NEW],
        ),
    )
    async def put_event_type(request: Request[Any, Any, Any]) -> ASGIApp:
        """Makes or changes an event type. 201 when it is new, 409 when there are 100 others.

        Every process takes events of the type within a second. Events that were accepted before count as they did.
        """
        body = await read_body(request, MAX_TYPE_BYTES)
        found = decode_checked(_decoder, body, partial(_faults, request.scope))
        new = _new(path_id(request.scope), found)
        context = context_of(request.scope)
        try:
            async with change(database, context, "store_event_type") as changed:
                await _check(context, changed, new.name)
                created = await event_types.store(changed.connection, new)
                changed.made([new.name], "created" if created else "replaced")
        except TooManyTypes:
            raise ProblemError(
                ProblemCode.TOO_MANY,
                f"There are {MAX_TYPES} event types, or there have been {MAX_NAMES} names; delete a type, or use a "
                "name again.",
            ) from None
        await known.refresh()
        return tagged(await _find(new.name), status=201 if created else 200)

    @get(
        "/event-types/{name:path}",
        opt=schema.call(needs="read", tag="events", answers={200: ShownEventType, **_ABSENT}),
    )
    async def get_event_type(scope: Scope) -> ASGIApp:
        """What an event of the type counts."""
        return reply(await _find(path_id(scope)))

    @get(
        "/event-types",
        opt=schema.call(needs="read", tag="events", answers={200: EventTypeList, **schema.problems(503)}),
    )
    async def get_event_types() -> ASGIApp:
        """All event types: those that are ready to use, and those of the application."""
        async with database.connection() as connection:
            found = await event_types.read_all(connection)
        return reply(EventTypeList([_shown(stored) for stored in found], list(FIXED)))

    @delete(
        "/event-types/{name:path}",
        status_code=200,
        opt=schema.call(
            needs="catalogue",
            tag="events",
            answers={204: None, **_ABSENT, **schema.problems(412)},
            headers=[IF_MATCH],
        ),
    )
    async def delete_event_type(scope: Scope) -> ASGIApp:
        """Deletes a type: its events are refused within a second. A type that is ready to use is as it came again.

        Events that were accepted before count as they did.
        """
        name, context = path_id(scope), context_of(scope)
        async with change(database, context, "delete_event_type") as changed:
            await _check(context, changed, name)
            if not await event_types.delete(changed.connection, name):
                unchanged = f"{name} is as it comes with the service; there is nothing to delete."
                raise ProblemError(ProblemCode.NO_SUCH_EVENT_TYPE, unchanged if name in READY else _NONE)
            changed.made([name], "deleted")
        await known.refresh()
        return Reply(b"", status=204)

    async def _find(name: str) -> ShownEventType:
        async with database.connection() as connection:
            found = await _shown_type(connection, name)
        if found is None:
            raise ProblemError(ProblemCode.NO_SUCH_EVENT_TYPE, f"{name} {_DENIED}." if name in FIXED else _NONE)
        return found

    return [put_event_type, get_event_type, get_event_types, delete_event_type]


async def _check(context: RequestContext, changed: Change, name: str) -> None:
    """Raises a 412 when a precondition of the request does not hold for the type, which nobody else changes now."""
    if has_preconditions(context.headers):
        await event_types.lock(changed.connection)
        check_preconditions(context.headers, await _shown_type(changed.connection, name))


async def _shown_type(connection: "Connection", name: str) -> ShownEventType | None:
    found = await event_types.read_all(connection)
    return next((_shown(one) for one in found if one.type.name == name), None)


def _faults(scope: Scope, body: EventTypeBody) -> list[FieldError]:
    """Of the name, and of a body of which at least a part is known."""
    return [*_name_faults(scope), *field_errors(body.meaning, bool(body.pairs), body.rating_scale)]


def _name_faults(scope: Scope) -> Sequence[FieldError]:
    if faults := path_faults(scope):
        return faults
    name = path_id(scope)
    if name in FIXED:
        return (FieldError("$.name", f"{name} {_DENIED}"),)
    if name in TAKEN:
        return (FieldError("$.name", f"{name} {_TAKEN}"),)
    return () if re.match(NAME_PATTERN, name) else (FieldError("$.name", _NAME),)


def _new(name: str, body: EventTypeBody) -> NewEventType:
    is_rejection = body.meaning == "rejection"
    return NewEventType(
        name=name,
        weight=body.weight,
        meaning=body.meaning,
        pairs=not is_rejection if body.pairs is None else body.pairs,
        ends_offer=is_rejection if body.ends_offer is None else body.ends_offer,
        rating_scale=body.rating_scale,
    )


def _shown(stored: StoredEventType) -> ShownEventType:
    one = stored.type
    return ShownEventType(
        name=one.name,
        weight=one.weight,
        meaning=one.meaning,
        pairs=one.pairs,
        ends_offer=one.ends_offer,
        rating_scale=one.rating_scale,
        updated_at=stored.updated_at,
    )
