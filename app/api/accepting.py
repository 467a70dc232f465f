"""Turns the events of one request into records, by the types and the setting that the process goes by."""

import os
from typing import Final

from msgspec import UNSET, Struct

from app import metrics
from app.core import events, submitted
from app.core.decoding import InvalidInput, read_noting
from app.core.event_times import OutsideTimes, side_of
from app.core.event_types import EventTypes
from app.core.events import AnyEvent, Cancellation, DirectEvent, Record
from app.core.field_errors import FieldError
from app.core.messages import Message
from app.http.context import RequestContext

_CORRECTED: Final = metrics.EVENT_TIMES.labels("clock", "correct")


class Accepting(Struct, frozen=True):
    """`outside`: what becomes of late and early events.

    Each method takes the time of receipt, and how far the sender's clock is behind it; in milliseconds. It raises
    `InvalidInput`.
    """

    context: RequestContext
    types: EventTypes
    outside: OutsideTimes

    def record(self, event: DirectEvent, *, now_ms: int, behind_ms: int) -> Record:
        """An event of any type but `cancel`."""
        self._note_times(event, now_ms, behind_ms)
        faults: list[FieldError] = []
        counts = read_noting(faults, submitted.counts_of, event, self.types)
        if faults:
            any_time = self.outside != "refuse"
            raise InvalidInput(*events.field_errors(event, now_ms=now_ms - behind_ms, any_time=any_time), *faults)
        return events.accept(
            event,
            counts=counts,
            now_ms=now_ms,
            entropy=os.urandom(10) if event.event_id is UNSET else b"",
            clock_behind_ms=behind_ms,
            outside=self.outside,
            traceparent=self.context.traceparent,
            tracestate=self.context.tracestate,
        )

    def cancellation(self, event: Cancellation, cancelled: Message | None, *, now_ms: int, behind_ms: int) -> Record:
        """`cancelled`: the stored event that is taken back, or None where there is none."""
        self._note_times(event, now_ms, behind_ms)
        return submitted.accept_cancellation(
            event,
            cancelled,
            now_ms=now_ms,
            behind_ms=behind_ms,
            outside=self.outside,
            traceparent=self.context.traceparent,
            tracestate=self.context.tracestate,
        )

    def _note_times(self, event: AnyEvent, now_ms: int, behind_ms: int) -> None:
        """Counts what becomes of the event's own time."""
        if behind_ms:
            _CORRECTED.inc()
        if (side := side_of(event.ts_ms, now_ms - behind_ms)) is not None:
            outcome = "clamp" if side == "early" and self.outside == "keep" else self.outside
            metrics.EVENT_TIMES.labels(side, outcome).inc()
