"""Messages that wait in the partitions, and whether their number shrinks."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Final

from aiokafka import TopicPartition

from app import metrics

# A client may stay stuck after a broker's restart without an error (aio-libs/aiokafka#1154, #625, #847).
_STUCK_AFTER_SEC: Final = 20.0


class Stuck(Exception):
    """Something waits and nothing moves: the client has to be replaced."""


def lags(
    ends: Mapping[TopicPartition, int],
    positions: Mapping[TopicPartition, int],
    in_hand: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """Messages of each partition that are not counted yet.

    `ends`: the offset after the last message. `positions`: the next offset that the client polls. `in_hand`: the first
    offset of what was polled and is not committed.
    """
    return {partition: max(0, end - in_hand.get(partition, positions[partition])) for partition, end in ends.items()}


class StallDetector:
    """Raises `Stuck` when something waits for 20 s and nothing moves: such as messages of which none arrives. `now`:
    monotonic seconds. `what`: for the error, with braces for the number of what waits.
    """

    def __init__(self, now: float, what: str = "{} messages wait, and none arrived") -> None:
        self._moved_at = now
        self._what = what

    def moved(self, now: float) -> None:
        """Messages arrived, or none can: the partitions are paused."""
        self._moved_at = now

    def check(self, waiting: int, now: float) -> None:
        """`waiting`: how much, such as messages in all partitions that are not counted yet."""
        if waiting == 0:
            self._moved_at = now
        elif now - self._moved_at > _STUCK_AFTER_SEC:
            raise Stuck(f"{self._what.format(waiting)} for {_STUCK_AFTER_SEC:g} s")


def show(found: Mapping[TopicPartition, int]) -> None:
    """Sets the gauges."""
    for partition, lag in found.items():
        metrics.CONSUMER_LAG.labels(partition.topic, str(partition.partition)).set(lag)


def drop(partitions: Iterable[TopicPartition]) -> None:
    """Removes the gauges: the member that reads these partitions now sets its own."""
    for partition in partitions:
        with contextlib.suppress(KeyError):
            metrics.CONSUMER_LAG.remove(partition.topic, str(partition.partition))
