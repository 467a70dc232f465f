"""Logs the trace ids of batches, in a bounded number of lines, to follow a request to the features.

At DEBUG each batch has a line. At INFO, events whose features missed the freshness target have one: consecutive batches
with such events share it, so that a backlog or an import has a line every half minute.
"""

import heapq
import logging
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

import structlog
from msgspec import Struct, field

from app.core.sla import SlaTargets
from app.core.traces import trace_id
from workers.applied import Applied
from workers.incoming import Incoming

_log = structlog.get_logger(__name__)

_LATE_MS: Final = SlaTargets().freshness_p99_ms
_LATE_SHOWN: Final = 5
_SHOWN: Final = 20
# The time between two lines of a sequence of late batches.
_PAUSE_MS: Final = 10_000.0
_LONGEST_MS: Final = 30_000.0


class _Late(Struct):
    """Late events that are not logged yet."""

    since_ms: float
    events: int = 0
    of: int = 0
    batches: int = 0
    slowest: list[tuple[float, str | None]] = field(default_factory=list)
    """Milliseconds and trace id of the slowest."""


class LateFeatures:
    """Late events of one consumer, from batch to batch. Times are milliseconds since 1970."""

    def __init__(self) -> None:
        self._pending: _Late | None = None
        self._logged_ms = 0.0

    def add(self, incoming: Sequence[Incoming], *, now_ms: float) -> None:
        """A turn of the consumer: a batch whose features are committed, empty when none came.

        Logs the late events of the turns before when this turn has none, or when they go on for long.
        """
        late = [
            (now_ms - item.message.received_ms, number)
            for number, item in enumerate(incoming)
            if item.message is not None and now_ms - item.message.received_ms > _LATE_MS
        ]
        if late:
            pending = self._pending = self._pending or _Late(now_ms)
            pending.events += len(late)
            pending.of += len(incoming)
            pending.batches += 1
            slowest = [(late_ms, _trace_id(incoming[n])) for late_ms, n in heapq.nlargest(_LATE_SHOWN, late)]
            pending.slowest = heapq.nlargest(_LATE_SHOWN, [*pending.slowest, *slowest], key=itemgetter(0))
            ends = now_ms - pending.since_ms >= _LONGEST_MS
        else:
            ends = now_ms - self._logged_ms >= _PAUSE_MS
        if ends:
            self.flush(now_ms=now_ms)

    def flush(self, *, now_ms: float) -> None:
        """Logs what was not logged yet."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._logged_ms = now_ms
            traces = list(dict.fromkeys(trace for _, trace in pending.slowest if trace is not None))
            _log.info(
                "features_late",
                late=pending.events,
                of=pending.of,
                batches=pending.batches,
                slowest_ms=round(pending.slowest[0][0]),
                **({"trace_ids": traces} if traces else {}),
            )


def log_batch(incoming: Sequence[Incoming], applied: Applied) -> None:
    """At DEBUG, a line for a batch whose features are committed."""
    if logging.root.isEnabledFor(logging.DEBUG):
        found = list(dict.fromkeys(trace for item in incoming if (trace := _trace_id(item)) is not None))
        _log.debug(
            "batch_counted",
            messages=len(incoming),
            counted=applied.counted,
            duplicates=applied.duplicates,
            dead=applied.dead,
            trace_ids=found[:_SHOWN],
            more_traces=max(0, len(found) - _SHOWN),
        )


def _trace_id(item: Incoming) -> str | None:
    """The message's trace id."""
    values = (value for name, value in item.record.headers if name == "traceparent")
    return next((found for value in values if (found := trace_id(value)) is not None), None)
