"""Which traces a batch carried, for whoever follows a request to the features: bounded lines in the log.

At DEBUG each batch. At INFO the events whose features came later than the target for freshness: batches with such
events in a row are one line, so that a backlog or an import is a line every half minute and not one a batch.
"""

import heapq
import logging
from collections.abc import Sequence
from typing import Final

import structlog

from app.core.sla import SlaTargets
from app.core.traces import trace_id
from workers.batch import Applied, Incoming

_log = structlog.get_logger(__name__)

_LATE_MS: Final = SlaTargets().freshness_p99_ms
_LATE_SHOWN: Final = 5
_SHOWN: Final = 20
# Between two lines, and how long a row of late batches may go on without one.
_PAUSE_MS: Final = 10_000.0
_LONGEST_MS: Final = 30_000.0


class LateFeatures:
    """Late events of one consumer, from batch to batch. Times are milliseconds since 1970."""

    def __init__(self) -> None:
        self._told_ms = 0.0
        self._reset()

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
            self._since_ms = self._since_ms or now_ms
            self._late += len(late)
            self._of += len(incoming)
            self._batches += 1
            slowest = [(late_ms, _of(incoming[n])) for late_ms, n in heapq.nlargest(_LATE_SHOWN, late)]
            self._slowest = heapq.nlargest(_LATE_SHOWN, [*self._slowest, *slowest], key=lambda one: one[0])
            ends = now_ms - self._since_ms >= _LONGEST_MS
        else:
            ends = self._late > 0 and now_ms - self._told_ms >= _PAUSE_MS
        if ends:
            self.tell(now_ms=now_ms)

    def tell(self, *, now_ms: float) -> None:
        """Logs what was not logged yet."""
        if self._late:
            _log.info(
                "features_late",
                late=self._late,
                of=self._of,
                batches=self._batches,
                slowest_ms=round(self._slowest[0][0]),
                trace_ids=list(dict.fromkeys(trace for _, trace in self._slowest if trace is not None)),
            )
            self._told_ms = now_ms
        self._reset()

    def _reset(self) -> None:
        self._since_ms = 0.0
        self._late = self._of = self._batches = 0
        self._slowest: list[tuple[float, str | None]] = []


def tell_batch(incoming: Sequence[Incoming], applied: Applied) -> None:
    """At DEBUG, a line for a batch whose features are committed."""
    if logging.root.isEnabledFor(logging.DEBUG):
        found = list(dict.fromkeys(trace for item in incoming if (trace := _of(item)) is not None))
        _log.debug(
            "batch_counted",
            messages=len(incoming),
            counted=applied.counted,
            duplicates=applied.duplicates,
            dead=applied.dead,
            trace_ids=found[:_SHOWN],
            more_traces=max(0, len(found) - _SHOWN),
        )


def _of(item: Incoming) -> str | None:
    """The message's trace id."""
    values = (value for name, value in item.record.headers if name == "traceparent")
    return next((found for value in values if (found := trace_id(value)) is not None), None)
