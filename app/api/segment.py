"""Segment's HTTP protocol (segment.com/docs/connections/sources/catalog/libraries/server/http-api).

Its libraries look at nothing but the status of an answer, and give up a whole batch at a 4xx. So a message that is not
valid, or that no rule is for, costs itself alone: it is named in the answer, counted by a metric and logged.
"""

import os
import re
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Annotated, Any, Final

import asyncpg
import msgspec
import structlog
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import UNSET, Meta, Struct

from app import metrics
from app.core import events, submitted
from app.core.batch_body import take_apart
from app.core.decoding import InvalidInput, decode
from app.core.event_types import EventTypes
from app.core.events import Record
from app.core.field_errors import FieldError
from app.core.persons import Link
from app.core.segment_rules import Rules
from app.http import schema
from app.http.body import read_body
from app.http.context import RequestContext, context_of
from app.http.responses import Reply, reply
from app.ingest.group_commit import GroupCommit
from app.ingest.segment import Mapped, MessageType, SegmentMessage, read_message
from app.serving.known_event_types import KnownEventTypes

_log = structlog.get_logger(__name__)

MAX_MESSAGES: Final = 2_500
_MAX_ERRORS: Final = 100
_MAX_LOGGED: Final = 200
_NUMBER: Final = re.compile(r"\d+")

_Request = Request[Any, Any, Any]
Join = Callable[[Collection[Link]], Awaitable[int]]


class SegmentBatch(Struct, rename="camel", kw_only=True):
    """The body of `/v1/batch`. Fields that are not named here are accepted and not read."""

    batch: Annotated[list[SegmentMessage], Meta(max_length=MAX_MESSAGES)]
    sent_at: str | int | None = None


class _RawBatch(Struct, rename="camel", kw_only=True):
    batch: Annotated[list[msgspec.Raw], Meta(max_length=MAX_MESSAGES)]
    sent_at: str | int | None = None


class SegmentAnswer(Struct, kw_only=True):
    """`success` is what Segment answers. The others count events by outcome, messages that are `unmapped`, and users
    who were `linked` to an anonymous id.

    `errors` says what is wrong with each message or product that became no event, up to 100 of them.
    """

    success: bool = True
    accepted: int = 0
    duplicate: int = 0
    conflict: int = 0
    unmapped: int = 0
    linked: int = 0
    invalid: int = 0
    errors: list[FieldError] = []


_batch_decoder: Final = msgspec.json.Decoder(_RawBatch)
_SENT_AT: Final = b'"sentAt"'
_ANSWERS: Final = {200: SegmentAnswer, **schema.problems(400, 413, 415, 503)}


class _Messages:
    """What becomes of the messages of one request."""

    def __init__(
        self,
        buffer: GroupCommit,
        join: Join,
        rules: Rules,
        types: EventTypes,
        log: "_FirstOfEach",
        context: RequestContext,
    ) -> None:
        self._buffer = buffer
        self._join = join
        self._types = types
        self._rules = rules
        self._log = log
        self._context = context
        self._received_ms = time.time_ns() // 1_000_000
        self._waiting: list[tuple[Record, str]] = []
        self._links: set[Link] = set()
        self._outcomes: list[tuple[str, str]] = []
        self._answer = SegmentAnswer()

    async def add(self, raw: msgspec.Raw | bytes, path: str, **about: Any) -> None:
        """Translates one message; stores what waits when it is as much as a batch may have."""
        try:
            mapped = read_message(raw, self._rules, received_ms=self._received_ms, **about)
        except InvalidInput as error:
            if error.malformed and path == "$":
                raise
            mapped = Mapped(known=True, errors=error.field_errors)
        # What somebody called a page may say who they are.
        name = mapped.name if mapped.message_type == "track" else ""
        self._refuse(mapped.errors, path, name)
        for event in mapped.events:
            try:
                self._waiting.append((self._record(event, mapped.clock_behind_ms), path))
            except InvalidInput as error:
                mapped.errors = error.field_errors
                self._refuse(error.field_errors, path, name)
        if mapped.link is not None:
            self._links.add(mapped.link)
        if not mapped.known:
            self._answer.unmapped += 1
            self._log.add("segment_unmapped", type=mapped.message_type, name=name)
        outcome = "invalid" if mapped.errors else "mapped" if mapped.known else "unmapped"
        self._outcomes.append((mapped.message_type, outcome))
        if len(self._waiting) >= events.MAX_BATCH_EVENTS:
            await self._store()

    async def answer(self) -> Reply:
        """Once all is stored. A request that fails before is sent again, and is counted then."""
        await self._store()
        if self._links:
            self._answer.linked = await self._join(self._links)
        for labels in self._outcomes:
            metrics.SEGMENT_MESSAGES.labels(*labels).inc()
        counts = {name: getattr(self._answer, name) for name in ("accepted", "duplicate", "conflict", "invalid")}
        for name, count in counts.items():
            metrics.INGEST_EVENTS.labels(name).inc(count)
        self._context.events = {name: count for name, count in counts.items() if count}
        return reply(self._answer)

    def _record(self, event: events.DirectEvent, clock_behind_ms: int) -> Record:
        return events.accept(
            event,
            counts=submitted.counts_of(event, self._types),
            now_ms=self._received_ms,
            entropy=os.urandom(10) if event.event_id is UNSET else b"",
            traceparent=self._context.traceparent,
            tracestate=self._context.tracestate,
            clock_behind_ms=clock_behind_ms,
        )

    async def _store(self) -> None:
        while self._waiting:
            batch = self._waiting[: events.MAX_BATCH_EVENTS]
            results = await self._buffer.submit([record for record, _ in batch])
            del self._waiting[: len(batch)]
            for (_, path), result in zip(batch, results, strict=True):
                if isinstance(result, asyncpg.PostgresError):
                    self._log.add("segment_invalid", error="Postgres refused the event")
                    self._tell(FieldError(path, f"Postgres refused the event: {result}"))
                else:
                    setattr(self._answer, result, getattr(self._answer, result) + 1)

    def _refuse(self, errors: Sequence[FieldError], path: str, name: str) -> None:
        for error in errors:
            self._log.add("segment_invalid", name=name, path=error.path, error=error.message)
            self._tell(FieldError(path + error.path.removeprefix("$"), error.message))

    def _tell(self, error: FieldError) -> None:
        self._answer.invalid += 1
        if len(self._answer.errors) < _MAX_ERRORS:
            self._answer.errors.append(error)


def _decode_batch(body: bytes) -> _RawBatch:
    """The messages, each still to be decoded on its own: one that is not JSON costs itself alone."""
    try:
        return decode(_batch_decoder, body)
    except InvalidInput as error:
        if not error.malformed:
            raise
    messages, others = take_apart(body, "batch", MAX_MESSAGES)
    read = [b'"batch":[]', *(member for member in others if member.startswith(_SENT_AT))]
    batch = decode(_batch_decoder, b"{" + b",".join(read) + b"}")
    batch.batch = messages
    return batch


class _FirstOfEach:
    """Logs each kind of line once, whatever the numbers in it, up to a bound; a metric counts all."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def add(self, event: str, **fields: str) -> None:
        line = {name: text[:200] for name, text in fields.items()}
        kind = _NUMBER.sub("0", f"{event} {line}")
        if kind not in self._seen and len(self._seen) < _MAX_LOGGED:
            self._seen.add(kind)
            _log.warning(event, **line)


def handlers(buffer: GroupCommit, join: Join, rules: Rules, known: KnownEventTypes) -> list[HTTPRouteHandler]:
    """The routes; `buffer` stores the events, and `join` links the ids of a person."""
    log = _FirstOfEach()

    async def one(request: _Request, kind: MessageType) -> ASGIApp:
        body = await read_body(request, events.MAX_EVENT_BYTES)
        messages = _Messages(buffer, join, rules, await known.get(), log, context_of(request.scope))
        await messages.add(body, "$", kind=kind)
        return await messages.answer()

    @post("/v1/batch", opt=_call(SegmentBatch))
    async def segment_batch(request: _Request) -> ASGIApp:
        """Up to 2,500 messages of any type, by Segment's protocol.

        Messages that are not valid or not mapped to events do not affect the others, and the answer is 200.
        """
        batch = _decode_batch(await read_body(request, events.MAX_BODY_BYTES))
        messages = _Messages(buffer, join, rules, await known.get(), log, context_of(request.scope))
        for index, raw in enumerate(batch.batch):
            await messages.add(raw, f"$.batch[{index}]", sent_at=batch.sent_at)
        return await messages.answer()

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
