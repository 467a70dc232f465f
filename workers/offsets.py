"""How far the consumer is in each partition of its assignment. Bookkeeping only: no I/O, no clock."""

from collections.abc import Collection, Iterable, Mapping

from aiokafka import ConsumerRecord, TopicPartition
from msgspec import Struct

from app.adapters.record_batches import Unreadable


class Polled(Struct, frozen=True):
    """What one poll returned, and in which generation of the assignment. `unreadable` follows the records."""

    records: list[ConsumerRecord]
    next_offsets: dict[TopicPartition, int]
    generation: int
    unreadable: Unreadable | None = None

    def followed_by(self, more: "Polled") -> "Polled":
        """Both as one. After a reassignment `more` alone: what was polled before is read again, here or by another."""
        if more.generation != self.generation:
            return more
        return Polled(
            self.records + more.records, self.next_offsets | more.next_offsets, self.generation, more.unreadable
        )


class Offsets:
    """One assignment after another. `generation` counts them: records polled in one are not committed in the next."""

    def __init__(self) -> None:
        self.generation = 0
        self._unchecked: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._in_hand: dict[TopicPartition, int] = {}

    @property
    def unchecked(self) -> Collection[TopicPartition]:
        """Partitions that were assigned and are not read before their committed offsets have been checked."""
        return self._unchecked

    @property
    def in_hand(self) -> Mapping[TopicPartition, int]:
        """The first offset of each partition that was polled and is not committed."""
        return self._in_hand

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """A rebalance ended; `partitions` is the whole assignment."""
        self.generation += 1
        self._next = {}
        self._unchecked = set(partitions)

    def revoked(self) -> None:
        """A rebalance begins."""
        self.generation += 1
        self._unchecked.clear()
        self._in_hand = {}

    def admitted(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """All partitions may be read; `next_offsets` holds those that are known."""
        self._next = dict(next_offsets)
        self._unchecked.clear()

    def took(self, first_offsets: Mapping[TopicPartition, int], next_offsets: Mapping[TopicPartition, int]) -> None:
        """Records were polled, maybe after others that are in hand: from `first_offsets` up to, and without,
        `next_offsets`.
        """
        self._in_hand = {**first_offsets, **self._in_hand}
        self._next |= next_offsets

    def settled(self) -> None:
        """The batch in hand was committed, or another member has it."""
        self._in_hand = {}

    def holds(self, polled: Polled) -> bool:
        """False when the partitions were reassigned since: another member reads these records again."""
        return polled.generation == self.generation

    def starts(self, beginnings: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The next offset to read of each partition in `beginnings`, which maps it to its first offset."""
        return {partition: max(self._next.get(partition, 0), first) for partition, first in beginnings.items()}
