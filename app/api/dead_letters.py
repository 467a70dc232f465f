"""Dead rows and dead letters: list them, open one, send them again or give them up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from app.adapters import dead_messages, postgres
from app.adapters.dead_messages import Wanted
from app.adapters.postgres import Database
from app.adapters.replay import Filters, Found, ReplaySource
from app.api.audited import change
from app.api.opened_letter import DeadLetter, opened
from app.api.timestamps import Timestamp, timestamp_faults
from app.core.decoding import decode_checked
from app.core.events import PRINTABLE, Id
from app.core.field_errors import FieldError
from app.core.replay import split_by_replays
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.path_ids import path_id
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply

MAX_A_CALL: Final = 500
MAX_REPLAYS: Final = 3
_MAX_BYTES: Final = 64 * 1024
_PROBLEMS: Final = schema.problems(400, 413, 415, 422, 503)

Source = Annotated[
    Literal["outbox", "dlq"],
    Meta(description="`outbox`: rows that Kafka refused too often. `dlq`: messages that could not be counted."),
]
Status = Annotated[
    Literal["pending", "replayed", "discarded"],
    Meta(description="`pending`: nothing was done yet. Dead rows that are replayed are no longer dead."),
]
ErrorText = Annotated[
    str, Meta(min_length=1, max_length=500, pattern=PRINTABLE, description="Only if the error contains this text.")
]
After = Annotated[int, Meta(ge=0, le=2**63 - 1, description="Continue after this id.")]
Until = Annotated[
    datetime,
    Meta(tz=True, description="Only what failed up to then: with the `as_of` of a list no more than it has counted."),
]
RowId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=PRINTABLE, description="Why; kept with the row.")]


class DeadLetterQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    source: Source = "dlq"
    status: Status = "pending"
    topic: Annotated[Id, Meta(description="Only of this topic, without the prefix.")] | None = None
    error: ErrorText | None = None
    event_id: Annotated[Id, Meta(description="Only of this event.")] | None = None
    after: After = 0
    limit: Annotated[int, Meta(ge=1, le=200, description="How many to list.")] = 50


class DeadLetterEntry(Struct, kw_only=True):
    """One of the list. `kind`: `refused` by Kafka, or why it could not be counted: `decode`, `data` or `batch`."""

    id: int
    status: str
    topic: str
    event_id: str | None
    replays: int
    attempts: int
    failed_at: Timestamp | None
    kind: str
    error: str | None


class DeadLetterList(Struct, kw_only=True):
    """By id. `matching`: how many there are in all, counted up to 100,000. `next`: the `after` of what follows.
    `as_of`: when they were counted, by the database's clock.
    """

    entries: list[DeadLetterEntry]
    matching: int
    next: int | None
    as_of: Timestamp


class OneDeadLetterQuery(Struct, frozen=True, forbid_unknown_fields=True):
    source: Source = "dlq"


class Selection(Struct, kw_only=True, forbid_unknown_fields=True):
    """Rows by their ids, or all that match. One call takes up to 500 of them; `after` continues."""

    source: Source
    ids: Annotated[list[RowId], Meta(min_length=1, max_length=MAX_A_CALL)] | None = None
    status: Literal["pending", "replayed"] = "pending"
    topic: Id | None = None
    error: ErrorText | None = None
    event_id: Id | None = None
    until: Until | None = None
    after: After = 0


class ReplaySelection(Selection, kw_only=True, forbid_unknown_fields=True):
    """`force`: those as well that were replayed three times and came back."""

    force: bool = False


class DiscardSelection(Selection, kw_only=True, forbid_unknown_fields=True):
    reason: Reason


class Acted(Struct, kw_only=True):
    """`done`: sent again, or given up. `counted`: counted meanwhile, so only marked. `held_back`: came back too often.
    `next`: the `after` of the next call; null: there is no more.
    """

    done: int
    counted: int
    held_back: int
    next: int | None


_replay_decoder: Final = msgspec.json.Decoder(ReplaySelection)
_discard_decoder: Final = msgspec.json.Decoder(DiscardSelection)


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @get(
        "/dead-letters",
        opt=schema.call(
            needs="operate",
            tag="operations",
            query=DeadLetterQuery,
            answers={200: DeadLetterList, **schema.problems(422, 503)},
        ),
    )
    async def get_dead_letters(request: Request[Any, Any, Any]) -> ASGIApp:
        """Dead rows of the outbox, or messages that the consumer could not count, oldest first."""
        query = schema.query_of(request.scope, DeadLetterQuery)
        status = "dead" if query.source == "outbox" and query.status == "pending" else query.status
        wanted = Wanted(status=status, topic=query.topic, error=query.error, event_id=query.event_id)
        async with database.connection() as connection:
            as_of = await postgres.now(connection)
            found = await dead_messages.read_page(
                connection, query.source, wanted, after=query.after, limit=query.limit
            )
            matching = await dead_messages.count(connection, query.source, wanted)
        entries = [msgspec.convert(msgspec.structs.asdict(entry), DeadLetterEntry) for entry in found]
        following = found[-1].id if len(found) == query.limit else None
        return reply(DeadLetterList(entries=entries, matching=matching, next=following, as_of=as_of))

    @get(
        "/dead-letters/{row_id:path}",
        opt=schema.call(
            needs="operate",
            tag="operations",
            query=OneDeadLetterQuery,
            answers={200: DeadLetter, **schema.problems(404, 422, 503)},
        ),
    )
    async def get_dead_letter(request: Request[Any, Any, Any]) -> ASGIApp:
        """All that is stored about one of them: the message, its bytes and headers, and its errors."""
        source = schema.query_of(request.scope, OneDeadLetterQuery).source
        text = path_id(request.scope)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise ProblemError(ProblemCode.NO_SUCH_ROW, "There is no such row: its id is a number.")
        async with database.connection() as connection:
            row = await dead_messages.read_one(connection, source, int(text))
        if row is None or (row["status"] == "pending" and source == "outbox"):
            raise ProblemError(ProblemCode.NO_SUCH_ROW, "There is no such row.")
        return reply(opened(row))

    @post(
        "/dead-letters/replay",
        status_code=200,
        opt=schema.call(needs="operate", tag="operations", body=ReplaySelection, answers={200: Acted, **_PROBLEMS}),
    )
    async def replay_dead_letters(request: Request[Any, Any, Any]) -> ASGIApp:
        """Sends rows again, up to 500. What was counted meanwhile is only marked; nothing is counted twice."""
        asked = decode_checked(_replay_decoder, await read_body(request, _MAX_BYTES), _faults)
        context = context_of(request.scope)
        async with change(database, context, "replay_messages") as changed:
            filters = msgspec.structs.replace(_filters(asked), sendable_only=True)
            found = await dead_messages.lock(
                changed.connection, asked.source, filters, after=asked.after, limit=MAX_A_CALL
            )
            sendable, held = split_by_replays(found, None if asked.force else MAX_REPLAYS)
            sent = 0
            if sendable:
                sent = await dead_messages.requeue(
                    changed.connection, asked.source, sendable, status=asked.status, by=context.actor
                )
                changed.made(_targets(asked.source, sendable), f"{len(sendable)} replayed")
        return reply(Acted(done=sent, counted=len(sendable) - sent, held_back=len(held), next=_next(found)))

    @post(
        "/dead-letters/discard",
        status_code=200,
        opt=schema.call(needs="operate", tag="operations", body=DiscardSelection, answers={200: Acted, **_PROBLEMS}),
    )
    async def discard_dead_letters(request: Request[Any, Any, Any]) -> ASGIApp:
        """Gives rows up, up to 500. They stay, with who and why, until retention removes them."""
        asked = decode_checked(_discard_decoder, await read_body(request, _MAX_BYTES), _faults)
        context = context_of(request.scope)
        async with change(database, context, "discard_messages") as changed:
            found = await dead_messages.lock(
                changed.connection, asked.source, _filters(asked), after=asked.after, limit=MAX_A_CALL
            )
            done = 0
            if found:
                done = await dead_messages.discard(
                    changed.connection,
                    asked.source,
                    [row.id for row in found],
                    by=context.actor,
                    reason=asked.reason,
                )
                changed.made(_targets(asked.source, found), f"{done} discarded")
        return reply(Acted(done=done, counted=0, held_back=0, next=_next(found)))

    return [get_dead_letters, get_dead_letter, replay_dead_letters, discard_dead_letters]


def _faults(asked: Selection) -> list[FieldError]:
    """Of a body of which at least a part is known."""
    return timestamp_faults(asked.until, "$.until") if isinstance(asked.until, datetime) else []


def _filters(asked: Selection) -> Filters:
    return Filters(
        status=asked.status,
        ids=asked.ids,
        topic=asked.topic,
        error=asked.error,
        event_id=asked.event_id,
        until=asked.until,
    )


def _targets(source: ReplaySource, found: Sequence[Found]) -> list[str]:
    return [f"{source} {row.id}" for row in found]


def _next(found: Sequence[Found]) -> int | None:
    return found[-1].id if len(found) == MAX_A_CALL else None
