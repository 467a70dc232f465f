"""Segment's HTTP protocol (segment.com/docs/connections/sources/catalog/libraries/server/http-api).

Its libraries look at nothing but the status of an answer, and give up a whole batch at a 4xx. So a message that is not
valid, or that no rule is for, costs itself alone: it is named in the answer, counted by a metric and logged.
"""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from app.adapters.postgres import Database
from app.api.accepting import Accepting
from app.api.segment_messages import FirstOfEach, Join, Messages, SegmentAnswer
from app.clock import clock
from app.core import events
from app.core.batch_body import take_apart
from app.core.decoding import TOO_DEEP, InvalidInput, decode
from app.core.event_times import OutsideTimes
from app.core.segment_rules import Rules
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.responses import reply
from app.ingest.group_commit import GroupCommit
from app.ingest.segment import MessageType, SegmentMessage
from app.serving.known_event_types import KnownEventTypes

MAX_MESSAGES: Final = 2_500

_Request = Request[Any, Any, Any]


class SegmentBatch(Struct, rename="camel", kw_only=True):
    """The body of `/v1/batch`. Fields that are not named here are accepted and not read."""

    batch: Annotated[list[SegmentMessage], Meta(max_length=MAX_MESSAGES)]
    sent_at: str | int | None = None


class _RawBatch(Struct, rename="camel", kw_only=True):
    batch: Annotated[list[msgspec.Raw], Meta(max_length=MAX_MESSAGES)]
    sent_at: str | int | None = None


_batch_decoder: Final = msgspec.json.Decoder(_RawBatch)
_SENT_AT: Final = b'"sentAt"'
_ANSWERS: Final = {200: SegmentAnswer, **schema.problems(400, 413, 415, 503)}


def _decode_batch(body: bytes) -> _RawBatch:
    """The messages, each still to be decoded on its own: one that is not JSON, or is too deep, costs itself alone."""
    try:
        return decode(_batch_decoder, body)
    except InvalidInput as error:
        if not error.malformed and TOO_DEEP not in error.field_errors:
            raise
    messages, others = take_apart(body, "batch", MAX_MESSAGES)
    read = [b'"batch":[]', *(member for member in others if member.startswith(_SENT_AT))]
    batch = decode(_batch_decoder, b"{" + b",".join(read) + b"}")
    batch.batch = messages
    return batch


def handlers(
    buffer: GroupCommit,
    database: Database,
    join: Join,
    rules: Rules,
    known: KnownEventTypes,
    outside: OutsideTimes,
) -> list[HTTPRouteHandler]:
    """The routes; `buffer` stores the events, `database` has the orders that are refunded, and `join` links the ids of
    a person. `outside`: what becomes of late and early events.
    """
    log = FirstOfEach()

    async def messages_of(request: _Request) -> Messages:
        accepting = Accepting(context_of(request.scope), await known.get(), outside)
        return Messages(buffer, database, join, rules, log, accepting, received_ms=clock.now_ms())

    async def one(request: _Request, kind: MessageType) -> ASGIApp:
        body = await read_body(request, events.MAX_EVENT_BYTES)
        messages = await messages_of(request)
        await messages.add(body, "$", kind=kind)
        return reply(await messages.answer())

    @post("/v1/batch", opt=_call(SegmentBatch))
    async def segment_batch(request: _Request) -> ASGIApp:
        """Up to 2,500 messages of any type, by Segment's protocol.

        Messages that are not valid or not mapped to events do not affect the others, and the answer is 200.
        """
        batch = _decode_batch(await read_body(request, events.MAX_BODY_BYTES))
        messages = await messages_of(request)
        for index, raw in enumerate(batch.batch):
            await messages.add(raw, f"$.batch[{index}]", sent_at=batch.sent_at)
        return reply(await messages.answer())

    @post("/v1/track", opt=_call(SegmentMessage))
    async def segment_track(request: _Request) -> ASGIApp:
        """An event by its name, such as `Product Viewed` or `Order Completed`."""
        return await one(request, "track")

    @post("/v1/identify", opt=_call(SegmentMessage))
    async def segment_identify(request: _Request) -> ASGIApp:
        """Who a user is: the history of `anonymousId` is joined into that of `userId`. Traits are not kept; without
        both ids the message is counted as unmapped.
        """
        return await one(request, "identify")

    @post("/v1/page", opt=_call(SegmentMessage))
    async def segment_page(request: _Request) -> ASGIApp:
        """A page that was viewed: the event `Viewed NAME Page`."""
        return await one(request, "page")

    @post("/v1/screen", opt=_call(SegmentMessage))
    async def segment_screen(request: _Request) -> ASGIApp:
        """A screen that was viewed: the event `Viewed NAME Screen`."""
        return await one(request, "screen")

    @post("/v1/alias", opt=_call(SegmentMessage))
    async def segment_alias(request: _Request) -> ASGIApp:
        """Another id of a user: the history of `previousId` is joined into that of `userId`."""
        return await one(request, "alias")

    @post("/v1/group", opt=_call(SegmentMessage))
    async def segment_group(request: _Request) -> ASGIApp:
        """A group of a user. Accepted, and counted as unmapped: groups are not kept."""
        return await one(request, "group")

    return [
        segment_batch,
        segment_track,
        segment_identify,
        segment_page,
        segment_screen,
        segment_alias,
        segment_group,
    ]


def _call(body: Any) -> dict[str, Any]:
    answers = _ANSWERS | schema.problems(422) if body is SegmentBatch else _ANSWERS
    return schema.call(needs="write", tag="events", body=body, answers=answers, foreign=True)
