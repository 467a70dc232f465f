"""What has become of the rows that were to be published."""

from collections.abc import Sequence
from typing import Final

import structlog

from app.adapters.outbox import OutboxRow, Reschedule
from app.core.failing_partitions import Partition
from app.errors import DependencyDown, describe

_log = structlog.get_logger(__name__)

_REFUSED_SHOWN: Final = 20

PublishResult = BaseException | None
"""None: Kafka has acknowledged the row. `PartitionDown`: its partition takes nothing, and Kafka answers. Another
`DependencyDown`: Kafka has not acknowledged it. `POSTPONED`: the row's turn did not come. Any other error is the row's
own.
"""


class _Postponed(Exception):
    """Not an error: the row is sent the next time."""


POSTPONED: Final = _Postponed()


class PartitionDown(DependencyDown):
    """`sent`: the producer still has the row, and may send it later."""

    def __init__(self, partition: Partition, reason: str, *, sent: bool) -> None:
        super().__init__("kafka", f"partition {partition[1]} of {partition[0]} {reason}")
        self.sent = sent


def log_refused(refused: Sequence[tuple[OutboxRow, BaseException]], rescheduled: Sequence[Reschedule]) -> None:
    """A line for each topic and kind of error, with the first of its rows by their event ids."""
    groups: dict[tuple[str, type[BaseException]], list[int]] = {}
    for number, (row, error) in enumerate(refused):
        groups.setdefault((row.topic, type(error)), []).append(number)
    for (topic, _), numbers in groups.items():
        dead = sum(rescheduled[number].delay_sec is None for number in numbers)
        _log.warning(
            "relay_rows_refused",
            topic=topic,
            error=describe(refused[numbers[0]][1]),
            reschedule=len(numbers) - dead,
            dead=dead,
            event_ids=[refused[number][0].event_id for number in numbers[:_REFUSED_SHOWN]],
        )
