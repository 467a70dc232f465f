"""The calls that take events."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

import asyncpg
import msgspec
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from app import metrics
from app.adapters.postgres import Database
from app.api.accepting import Accepting
from app.api.browser_events import BrowserEvents
from app.api.event_bodies import EVENTS, INTERACTIONS, BatchQuery, EventBatch, Events, Interaction
from app.api.event_results import BatchEventResult, EventBatchResult, EventResult
from app.api.taken_back import taken_back
from app.clock import clock
from app.core import events, submitted
from app.core.batch_body import decode_batch, split_lines
from app.core.decoding import InvalidInput
from app.core.event_times import OutsideTimes
from app.core.event_types import EventTypes
from app.core.events import AnyEvent, Cancellation, Record
from app.core.field_errors import FieldError
from app.core.messages import Message
from app.core.submitted import Further
from app.core.visitors import OtherUser
from app.http import schema
from app.http.body import read_body
from app.http.context import RequestContext, context_of
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply
from app.ingest.group_commit import GroupCommit, Result
from app.serving.known_event_types import KnownEventTypes

_OUTCOMES: Final = {
    name: metrics.INGEST_EVENTS.labels(name) for name in ("accepted", "duplicate", "conflict", "invalid")
}

# The events by outcome in the log line of a request with one event.
_ONE: Final = {name: {name: 1} for name in _OUTCOMES}

_Request = Request[Any, Any, Any]

_ABOUT: Final[dict[str, Any]] = {"needs": "write", "tag": "events", "for_browsers": True}
_ANSWERS: Final = {202: EventResult, 200: EventResult, **schema.problems(400, 409, 413, 415, 422, 503)}
_BATCH_ANSWERS: Final = {200: EventBatchResult, **schema.problems(400, 409, 413, 415, 422, 503)}
_LINES: Final = (b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/x-jsonlines")


def handlers(
    buffer: GroupCommit,
    database: Database,
    known: KnownEventTypes,
    outside: OutsideTimes,
    browsers: BrowserEvents,
) -> list[HTTPRouteHandler]:
    """The routes; `buffer` stores the accepted events. `database` has the events that are taken back. `outside`: what
    becomes of late and early ones. `browsers` checks those of visitors.
    """

    async def log_one(request: _Request, decode: Callable[[bytes, EventTypes, Further], AnyEvent]) -> ASGIApp:
        body = await read_body(request, events.MAX_EVENT_BYTES)
        context = context_of(request.scope)
        types = await known.get()
        try:
            event = decode(browsers.fill_in(body, context), types, _further(types, outside))
            fault = (await browsers.faults([event], context)).get(0)
            cancelled = await taken_back(database, (event,))
            record = _accept(event, fault, Accepting(context, types, outside), cancelled)
        except InvalidInput:
            _count(context, "invalid")
            raise
        result = (await buffer.submit((record,)))[0]
        if isinstance(result, asyncpg.PostgresError):
            _count(context, "invalid")
            raise ProblemError(ProblemCode.REFUSED_VALUES, _refusal(result), event_id=record.event_id)
        _count(context, result)
        if result == "conflict":
            raise ProblemError(ProblemCode.ID_TAKEN, _CONFLICT, event_id=record.event_id)
        return reply(EventResult(record.event_id, result), status=202 if result == "accepted" else 200)

    @post("/log/watch", opt=schema.call(**_ABOUT, body=events.Watch, answers=_ANSWERS))
    async def log_watch(request: _Request) -> ASGIApp:
        """A user watched an item, wholly or in part."""
        return await log_one(request, submitted.decode_watch)

    @post("/log/impression", opt=schema.call(**_ABOUT, body=events.Impression, answers=_ANSWERS))
    async def log_impression(request: _Request) -> ASGIApp:
        """A list of items was shown to a user."""
        return await log_one(request, submitted.decode_impression)

    @post(
        "/event",
        opt=schema.call(**_ABOUT, body=Interaction, parts=INTERACTIONS, answers=_ANSWERS),
    )
    async def log_interaction(request: _Request) -> ASGIApp:
        """A user viewed, clicked, bought, liked, rated or hid an item, took such an event back, or did what the
        application has an event type for.
        """
        return await log_one(request, submitted.decode_interaction)

    @post(
        "/log/batch",
        opt=schema.call(
            **_ABOUT,
            query=BatchQuery,
            body=EventBatch | Events,
            parts=EVENTS,
            answers=_BATCH_ANSWERS,
        ),
    )
    async def log_batch(request: _Request) -> ASGIApp:
        """Up to 1,000 events of any kind. An invalid one does not affect the others, unless `atomic` is set.

        The body is `{"events": [...]}` or an array of events. The content type may also be `text/plain`, which
        `navigator.sendBeacon` sends, or `application/x-ndjson` with one event a line.
        """
        body = await read_body(request, events.MAX_BODY_BYTES)
        context = context_of(request.scope)
        in_lines = context.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() in _LINES
        batch = split_lines(body) if in_lines else decode_batch(body)
        atomic = schema.query_of(request.scope, BatchQuery).atomic
        browsers.charge(context, len(batch.events))
        types = await known.get()
        further = _further(types, outside)
        read = [_read(browsers.fill_in(raw, context), types, further) for raw in batch.events]
        faults = await browsers.faults(read, context)
        cancelled = await taken_back(database, read)
        accepting = Accepting(context, types, outside)
        items = [
            one if isinstance(one, BatchEventResult) else _taken(one, faults.get(place), accepting, cancelled)
            for place, one in enumerate(read)
        ]
        records = [item for item in items if isinstance(item, Record)]
        if atomic and len(records) < len(items):
            detail = "Not every event is valid, so none was stored (atomic=true)."
            raise ProblemError(ProblemCode.INVALID, detail, errors=_field_errors(items, batch.path))
        results = await buffer.submit(records, atomic=atomic) if records else []
        if atomic and (conflicts := _conflicts(records, results, batch.path)):
            raise ProblemError(
                ProblemCode.ID_TAKEN,
                "An event id is taken by other content, so none was stored (atomic=true).",
                errors=conflicts,
            )
        left = iter(results)
        answer = _batch_answer([_result(item, next(left)) if isinstance(item, Record) else item for item in items])
        context.events = {name: count for name in _OUTCOMES if (count := getattr(answer, name))}
        return reply(answer)

    return [log_watch, log_impression, log_interaction, log_batch]


_CONFLICT: Final = "The event id is taken by an event with other content. Use a new id for a new event."


def _count(context: RequestContext, outcome: Literal["accepted", "duplicate", "conflict", "invalid"]) -> None:
    _OUTCOMES[outcome].inc()
    context.events = _ONE[outcome]


def _accept(
    event: AnyEvent, fault: InvalidInput | None, accepting: Accepting, cancelled: Mapping[str, Message]
) -> Record:
    """Raises `InvalidInput` with the `fault` that is known, and what else is wrong. Of somebody else's event nothing
    else is told: whether that person has the event that it would take back is secret.
    """
    if isinstance(fault, OtherUser):
        raise fault
    now_ms = clock.now_ms()
    behind_ms = submitted.settle_times(event, now_ms)
    try:
        if isinstance(event, Cancellation):
            cancels = cancelled.get(event.cancels)
            record = accepting.cancellation(event, cancels, now_ms=now_ms, behind_ms=behind_ms)
        else:
            record = accepting.record(event, now_ms=now_ms, behind_ms=behind_ms)
    except InvalidInput as error:
        raise InvalidInput(*(() if fault is None else fault.field_errors), *error.field_errors) from None
    if fault is not None:
        raise fault
    return record


def _further(types: EventTypes, outside: OutsideTimes) -> Further:
    """Of events that are received now."""
    return partial(submitted.known_faults, types=types, now_ms=clock.now_ms(), outside=outside)


def _read(raw: bytes | msgspec.Raw, types: EventTypes, further: Further) -> AnyEvent | BatchEventResult:
    """One event of a batch, or why it cannot be read."""
    if len(raw) > events.MAX_EVENT_BYTES:
        field_error = FieldError("$", f"{len(raw)} bytes; an event has at most {events.MAX_EVENT_BYTES}")
        return BatchEventResult(status="invalid", event_id=None, errors=[field_error])
    try:
        return submitted.decode_any(raw, types, further)
    except InvalidInput as error:
        return BatchEventResult(status="invalid", event_id=None, errors=list(error.field_errors))


def _taken(
    event: AnyEvent, fault: InvalidInput | None, accepting: Accepting, cancelled: Mapping[str, Message]
) -> Record | BatchEventResult:
    """The record to store, or why the event is invalid."""
    try:
        return _accept(event, fault, accepting, cancelled)
    except InvalidInput as error:
        event_id = event.event_id if isinstance(event.event_id, str) else None
        return BatchEventResult(status="invalid", event_id=event_id, errors=list(error.field_errors))


def _result(record: Record, result: Result) -> BatchEventResult:
    if isinstance(result, asyncpg.PostgresError):
        return BatchEventResult(status="invalid", event_id=record.event_id, errors=[FieldError("$", _refusal(result))])
    return BatchEventResult(status=result, event_id=record.event_id)


def _batch_answer(results: list[BatchEventResult]) -> EventBatchResult:
    counts = dict.fromkeys(_OUTCOMES, 0)
    for item in results:
        counts[item.status] += 1
    for status, count in counts.items():
        _OUTCOMES[status].inc(count)
    return EventBatchResult(**counts, results=results)


def _field_errors(items: Sequence[Record | BatchEventResult], path: str) -> list[FieldError]:
    """The errors of all events, with paths from the body's root; `path` is that of their array."""
    return [
        FieldError(f"{path}[{index}]{field_error.path.removeprefix('$')}", field_error.message)
        for index, item in enumerate(items)
        if isinstance(item, BatchEventResult)
        for field_error in item.errors
    ]


def _conflicts(records: Sequence[Record], results: Sequence[Result], path: str) -> list[FieldError]:
    return [
        FieldError(f"{path}[{index}].event_id", f"{record.event_id} is taken by an event with other content")
        for index, (record, result) in enumerate(zip(records, results, strict=True))
        if result == "conflict"
    ]


def _refusal(error: asyncpg.PostgresError) -> str:
    return f"Postgres refused the event: {error}"
