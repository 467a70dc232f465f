"""Partitions that take nothing while Kafka answers: which ones a producer passes over, and how long their rows wait.

A batch waits for its slowest partition, and the rows that are left come first in the next one. So a partition that
takes nothing would take the turns of all others.
"""

from collections.abc import Collection
from typing import Final

from msgspec import Struct

# After each further failure it is passed over for twice as long, up to this.
_FIRST_SEC: Final = 1.0
_LONGEST_SEC: Final = 16.0
_SHARE_OF_AGE: Final = 0.1
_LONGEST_WAIT_SEC: Final = 60.0

Partition = tuple[str, int]
"""The topic and the number."""


class _Pause(Struct, frozen=True):
    until: float
    seconds: float


class FailingPartitions:
    """As the producers of a process see them. `now`: seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._pauses: dict[Partition, _Pause] = {}

    def __bool__(self) -> bool:
        return bool(self._pauses)

    def passed_over(self, now: float) -> set[Partition]:
        return {partition for partition, pause in self._pauses.items() if now < pause.until}

    def begin_try(self, partition: Partition, until: float) -> None:
        """One producer sends it a row, if it was failing: the others pass it over until that is judged."""
        if pause := self._pauses.get(partition):
            self._pauses[partition] = _Pause(until, pause.seconds)

    def judge(self, took: Collection[Partition], failed: Collection[Partition], now: float) -> Collection[Partition]:
        """After a batch during which Kafka answered: the partitions that took a row, and those that left one without an
        answer. Returns the ones that are passed over from now on.
        """
        for partition in took:
            self._pauses.pop(partition, None)
        silent = set(failed).difference(took)
        for partition in silent:
            before = self._pauses.get(partition)
            seconds = _FIRST_SEC if before is None else min(_LONGEST_SEC, 2 * before.seconds)
            self._pauses[partition] = _Pause(now + seconds, seconds)
        return silent


def postponed_sec(age_sec: float) -> float:
    """How long a row waits whose partition is passed over: longer with its age, so that a long backlog is not written
    anew all the time.
    """
    return min(_LONGEST_WAIT_SEC, max(_FIRST_SEC, _SHARE_OF_AGE * age_sec))
