"""Gorse's feedback: stored as events, and listed from them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import msgspec
from litestar import Request, delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Struct

from app import metrics
from app.adapters import gorse_pages
from app.adapters.postgres import Database
from app.api.gorse.shapes import PageQuery, Success, gorse_call, not_supported
from app.clock import clock
from app.core import events
from app.core.events import MAX_BATCH_EVENTS, Record
from app.core.field_errors import FieldError
from app.core.gorse_types import GorseTypes
from app.http import schema
from app.http.body import read_body
from app.http.context import RequestContext, context_of
from app.http.path_ids import path_ids
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import Reply, reply
from app.ingest.gorse import decode_feedback, events_of
from app.ingest.group_commit import GroupCommit

_MAX_OF_USER: Final = 1_000

_Request = Request[Any, Any, Any]


class ListedFeedback(Struct, rename="pascal", kw_only=True):
    feedback_type: str
    user_id: str
    item_id: str
    value: float
    timestamp: datetime
    comment: str = ""


class FeedbackPage(Struct, rename="pascal"):
    """`feedbacks` is what gorsejs reads, `feedback` what PyGorse reads. `cursor` is empty on the last page."""

    cursor: str
    feedback: Sequence[ListedFeedback]
    feedbacks: Sequence[ListedFeedback]


def handlers(buffer: GroupCommit, database: Database, types: GorseTypes) -> list[HTTPRouteHandler]:
    async def insert(request: _Request) -> ASGIApp:
        now_ms = clock.now_ms()
        feedback = decode_feedback(await read_body(request, events.MAX_BODY_BYTES))
        context = context_of(request.scope)
        records = [
            events.accept(
                event,
                now_ms=now_ms,
                entropy=b"",
                traceparent=context.traceparent,
                tracestate=context.tracestate,
                any_time=True,
            )
            for event in events_of(feedback, types, now_ms=now_ms)
        ]
        await _store(buffer, records, context)
        return reply(Success(len(feedback)))

    @post("/api/feedback", status_code=200, opt=gorse_call("write"))
    async def post_feedback(request: _Request) -> ASGIApp:
        """Stores all of it, or nothing if some of it is not valid."""
        return await insert(request)

    @put("/api/feedback", status_code=200, opt=gorse_call("write"))
    async def put_feedback(request: _Request) -> ASGIApp:
        """As POST: an event is never changed."""
        return await insert(request)

    @get("/api/feedback", opt=gorse_call("users"))
    async def list_feedback(scope: Scope) -> ASGIApp:
        return await page(scope)

    @get("/api/feedback/{feedback_type:str}", opt=gorse_call("users"))
    async def list_feedback_of_type(scope: Scope) -> ASGIApp:
        return await page(scope)

    async def page(scope: Scope) -> Reply:
        query = schema.query_of(scope, PageQuery)
        async with database.connection() as connection:
            found = await gorse_pages.feedback(connection, query.after, query.n, path_ids(scope).get("feedback_type"))
        listed = [_listed(payload) for _, payload in found]
        return reply(FeedbackPage(found[-1][0] if len(found) == query.n else "", listed, listed))

    @get("/api/user/{user_id:str}/feedback", opt=gorse_call("users"))
    async def list_feedback_of_user(scope: Scope) -> ASGIApp:
        return reply(await of_user(scope))

    @get("/api/user/{user_id:str}/feedback/{feedback_type:str}", opt=gorse_call("users"))
    async def list_feedback_of_user_and_type(scope: Scope) -> ASGIApp:
        return reply(await of_user(scope))

    @get("/api/feedback/{user_id:str}/{item_id:str}", opt=gorse_call("users"))
    async def list_feedback_of_user_to_item(scope: Scope) -> ASGIApp:
        return reply(await of_user(scope))

    @get("/api/feedback/{feedback_type:str}/{user_id:str}/{item_id:str}", opt=gorse_call("users"))
    async def get_feedback(scope: Scope) -> ASGIApp:
        """The latest of this type; an empty object where there is none, as Gorse answers."""
        found = await of_user(scope)
        return reply(found[0] if found else {})

    async def of_user(scope: Scope) -> list[ListedFeedback]:
        ids = path_ids(scope)
        async with database.connection() as connection:
            found = await gorse_pages.feedback_of_user(
                connection,
                ids["user_id"],
                feedback_type=ids.get("feedback_type"),
                item_id=ids.get("item_id"),
                limit=_MAX_OF_USER,
            )
        return [_listed(payload) for payload in found]

    @delete(
        ["/api/feedback/{user_id:str}/{item_id:str}", "/api/feedback/{feedback_type:str}/{user_id:str}/{item_id:str}"],
        status_code=200,
        opt=gorse_call("users"),
    )
    async def delete_feedback(scope: Scope) -> ASGIApp:
        raise not_supported("Single events are not taken back. DELETE /api/user/{user-id} erases a user's events.")

    @get(
        ["/api/item/{item_id:str}/feedback", "/api/item/{item_id:str}/feedback/{feedback_type:str}"],
        opt=gorse_call("users"),
    )
    async def list_feedback_of_item(scope: Scope) -> ASGIApp:
        raise not_supported("Events are not listed by item. `reco export events` writes all of them to files.")

    return [
        post_feedback,
        put_feedback,
        list_feedback,
        list_feedback_of_type,
        list_feedback_of_user,
        list_feedback_of_user_and_type,
        list_feedback_of_user_to_item,
        get_feedback,
        delete_feedback,
        list_feedback_of_item,
    ]


async def _store(buffer: GroupCommit, records: Sequence[Record], context: RequestContext) -> None:
    """Raises `ProblemError` for feedback that is stored with other content, and for what Postgres refuses."""
    errors = []
    for start in range(0, len(records), MAX_BATCH_EVENTS):
        batch = records[start : start + MAX_BATCH_EVENTS]
        for record, result in zip(batch, await buffer.submit(batch), strict=True):
            refused = isinstance(result, asyncpg.PostgresError)
            outcome = "invalid" if refused else str(result)
            metrics.INGEST_EVENTS.labels(outcome).inc()
            context.events = {**(context.events or {}), outcome: (context.events or {}).get(outcome, 0) + 1}
            if outcome not in ("accepted", "duplicate"):
                why = f"Postgres refused it: {result}" if refused else "stored before with another value"
                errors.append(FieldError("$", f"feedback of {record.user_id} ({record.event_id}): {why}"))
    if errors:
        raise ProblemError(
            ProblemCode.ID_TAKEN, "Some of the feedback was not stored; the rest was.", errors=errors[:100]
        )


def _listed(payload: str) -> ListedFeedback:
    event = msgspec.json.decode(payload)
    return ListedFeedback(
        feedback_type=(event.get("context") or {}).get("feedback_type", event["event_type"]),
        user_id=event["user_id"],
        item_id=event["item_id"],
        value=event.get("watch_time_sec", 0.0),
        timestamp=datetime.fromtimestamp(event["ts_ms"] / 1000, UTC),
    )
