"""Which traces a batch carried, for whoever follows a request to the features: bounded lines in the log.

Each batch at DEBUG; at INFO those batches that had events whose features came later than the target for freshness. The
log itself holds back more than ten lines of a kind in ten seconds.
"""

import heapq
import logging
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from app.core.sla import SlaTargets
from app.core.traces import trace_id
from workers.batch import Applied, Incoming

_log = structlog.get_logger(__name__)

_LATE_MS: Final = SlaTargets().freshness_p99_ms
_LATE_SHOWN: Final = 5
_SHOWN: Final = 20


def tell(incoming: Sequence[Incoming], applied: Applied, *, now_ms: float) -> None:
    """Logs a batch whose features are committed. `now_ms`: when, in milliseconds since 1970."""
    late = [
        (now_ms - item.message.received_ms, number)
        for number, item in enumerate(incoming)
        if item.message is not None and now_ms - item.message.received_ms > _LATE_MS
    ]
    if late:
        slowest = heapq.nlargest(_LATE_SHOWN, late)
        _log.info(
            "features_late",
            late=len(late),
            of=len(incoming),
            slowest_ms=round(slowest[0][0]),
            trace_ids=_distinct(incoming[number] for _, number in slowest),
        )
    if logging.root.isEnabledFor(logging.DEBUG):
        found = _distinct(incoming)
        _log.debug(
            "batch_counted",
            messages=len(incoming),
            counted=applied.counted,
            duplicates=applied.duplicates,
            dead=applied.dead,
            trace_ids=found[:_SHOWN],
            more_traces=max(0, len(found) - _SHOWN),
        )


def _distinct(incoming: Iterable[Incoming]) -> list[str]:
    """In the order of the messages."""
    values = (value for item in incoming for name, value in item.record.headers if name == "traceparent")
    return list(dict.fromkeys(found for value in values if (found := trace_id(value)) is not None))
