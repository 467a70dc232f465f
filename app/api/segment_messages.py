"""What becomes of messages of Segment's protocol: events are stored, ids are joined, faults are told."""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from msgspec import Struct

from app import metrics
from app.adapters import erasures, stored_events, user_links
from app.adapters.postgres import Database
from app.api.accepting import Accepting
from app.core import events
from app.core.decoding import InvalidInput
from app.core.events import Record
from app.core.field_errors import FieldError
from app.core.persons import Link
from app.core.segment_rules import Rules
from app.ingest.group_commit import GroupCommit
from app.ingest.segment import Mapped, read_message
from app.ingest.segment_refunds import taken_back

_log = structlog.get_logger(__name__)

_MAX_ERRORS: Final = 100
_MAX_LOGGED: Final = 200
_NUMBER: Final = re.compile(r"\d+")

Join = Callable[[Collection[Link], int], Awaitable[int]]


class SegmentAnswer(Struct, kw_only=True):
    """`success` is what Segment answers. The others count events by outcome, messages that are `unmapped`, and users
    who were `linked` to an anonymous id.

    `errors` says what is wrong with each message or product that became no event, up to 100 faults. `invalid` counts
    these messages and products, each once, however much is wrong with it.
    """

    success: bool = True
    accepted: int = 0
    duplicate: int = 0
    conflict: int = 0
    unmapped: int = 0
    linked: int = 0
    invalid: int = 0
    errors: list[FieldError] = []


class FirstOfEach:
    """Logs each kind of line once, whatever the numbers in it, up to a bound; a metric counts all."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def add(self, event: str, **fields: str) -> None:
        line = {name: text[:200] for name, text in fields.items()}
        kind = _NUMBER.sub("0", f"{event} {line}")
        if kind not in self._seen and len(self._seen) < _MAX_LOGGED:
            self._seen.add(kind)
            _log.warning(event, **line)


class Messages:
    """What becomes of the messages of one request."""

    def __init__(
        self,
        buffer: GroupCommit,
        database: Database,
        join: Join,
        rules: Rules,
        log: FirstOfEach,
        accepting: Accepting,
        *,
        received_ms: int,
    ) -> None:
        self._buffer = buffer
        self._database = database
        self._join = join
        self._rules = rules
        self._log = log
        self._accepting = accepting
        self._received_ms = received_ms
        self._waiting: list[tuple[Record, str]] = []
        self._refunds: list[tuple[Mapped, str]] = []
        self._links: set[Link] = set()
        self._erasures_then = 0
        self._outcomes: list[tuple[str, str]] = []
        self._answer = SegmentAnswer()

    async def add(self, raw: msgspec.Raw | bytes, path: str, **about: Any) -> None:
        """Translates one message; stores what waits when it is as much as a batch may have."""
        try:
            mapped = read_message(raw, self._rules, received_ms=self._received_ms, **about)
        except InvalidInput as error:
            if error.malformed and path == "$":
                raise
            mapped = Mapped(known=True, errors=error.field_errors, lost=1)
        faults, lost = list(mapped.errors), mapped.lost
        for product, event in zip(mapped.products, mapped.events, strict=True):
            try:
                record = self._accepting.record(event, now_ms=self._received_ms, behind_ms=mapped.clock_behind_ms)
                self._waiting.append((record, path))
            except InvalidInput as error:
                lost += 1
                faults += _in_message(error, mapped, product)
        self._refuse(mapped, faults, path, lost)
        if mapped.link is not None:
            if not self._links:
                # Before anything of the request is stored, which may take a while.
                async with self._database.connection() as connection:
                    self._erasures_then = await erasures.newest(connection)
            self._links.add(mapped.link)
        if not mapped.known:
            self._answer.unmapped += 1
            self._log.add("segment_unmapped", type=mapped.message_type, name=mapped.logged_name)
        if mapped.refund is not None:
            self._refunds.append((mapped, path))
        else:
            outcome = "invalid" if lost else "mapped" if mapped.known else "unmapped"
            self._outcomes.append((mapped.message_type, outcome))
        if len(self._waiting) >= events.MAX_BATCH_EVENTS:
            await self._store()

    async def answer(self) -> SegmentAnswer:
        """Once all is stored. A request that fails before is sent again, and is counted then."""
        await self._store()
        if self._links:
            self._answer.linked = await self._join(self._links, self._erasures_then)
        if self._refunds:
            await self._take_back()
        for labels in self._outcomes:
            metrics.SEGMENT_MESSAGES.labels(*labels).inc()
        counts = {name: getattr(self._answer, name) for name in ("accepted", "duplicate", "conflict", "invalid")}
        for name, count in counts.items():
            metrics.INGEST_EVENTS.labels(name).inc(count)
        self._accepting.context.events = {name: count for name, count in counts.items() if count}
        return self._answer

    async def _take_back(self) -> None:
        """Once the orders of the same request are stored, and its ids joined, wherever in it they are."""
        refunds = [(mapped, mapped.refund, path) for mapped, path in self._refunds if mapped.refund is not None]
        users = {user_id for _, refund, _ in refunds for user_id in refund.user_ids}
        async with self._database.connection() as connection:
            joined = await user_links.all_joined(connection, users)
            orders = await stored_events.read_orders(
                connection, list({key for _, refund, _ in refunds for key in refund.orders(joined)})
            )
        for mapped, refund, path in refunds:
            order = [line for key in refund.orders(joined) for line in orders.get(key, ())]
            faults: list[FieldError] = []
            refused: list[FieldError] = []
            lost = 0
            for event, cancelled in taken_back(refund, order, faults):
                try:
                    record = self._accepting.cancellation(
                        event, cancelled, now_ms=self._received_ms, behind_ms=mapped.clock_behind_ms
                    )
                    self._waiting.append((record, path))
                except InvalidInput as error:
                    lost += 1
                    refused += _in_message(error, mapped, "$.properties")
            lost += len(faults)
            self._refuse(mapped, [*faults, *refused], path, lost)
            self._outcomes.append((mapped.message_type, "invalid" if mapped.lost or lost else "mapped"))
            if len(self._waiting) >= events.MAX_BATCH_EVENTS:
                await self._store()
        await self._store()

    async def _store(self) -> None:
        while self._waiting:
            batch = self._waiting[: events.MAX_BATCH_EVENTS]
            results = await self._buffer.submit([record for record, _ in batch])
            del self._waiting[: len(batch)]
            for (_, path), result in zip(batch, results, strict=True):
                if isinstance(result, asyncpg.PostgresError):
                    self._answer.invalid += 1
                    self._log.add("segment_invalid", error="Postgres refused the event")
                    self._tell(FieldError(path, f"Postgres refused the event: {result}"))
                else:
                    setattr(self._answer, result, getattr(self._answer, result) + 1)

    def _refuse(self, mapped: Mapped, errors: Sequence[FieldError], path: str, lost: int) -> None:
        """`lost`: how many products, or messages, become no event. What is wrong with all of them is told once."""
        self._answer.invalid += lost
        for error in dict.fromkeys(errors):
            self._log.add("segment_invalid", name=mapped.logged_name, path=error.path, error=error.message)
            self._tell(FieldError(path + error.path.removeprefix("$"), error.message))

    def _tell(self, error: FieldError) -> None:
        if len(self._answer.errors) < _MAX_ERRORS:
            self._answer.errors.append(error)


def _in_message(error: InvalidInput, mapped: Mapped, product: str) -> list[FieldError]:
    """What is wrong with an event, with the paths of the message that it was made of."""
    paths = {"$.ts_ms": mapped.time_path, "$.rating": f"{product}.rating"}
    return [FieldError(paths.get(fault.path, fault.path), fault.message) for fault in error.field_errors]
