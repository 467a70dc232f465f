"""Goes on after a batch that the client cannot read: its checksum, compression or structure is wrong.

The client's poll fails then without saying where, so the partitions are read again, batch by batch. What is polled are
the records before the damaged batch, and that batch as its bytes; the next poll starts behind it.
"""

from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    UnsupportedCodecError,
)

from app.adapters import record_batches
from app.adapters.kafka_bounds import bounded, by_leader
from app.errors import DependencyDown
from workers.offsets import Offsets, Polled

# Kafka's own errors that a batch causes. A codec raises errors of its own, of any type.
_BATCH_ERRORS: Final = (CorruptRecordException, UnsupportedCodecError, RecordTooLargeError)
_CALL_TIMEOUT_SEC: Final = 5.0


def may_come_from_a_batch(error: Exception) -> bool:
    """True when a poll may have failed because it could not read a batch; false when Kafka itself failed."""
    return isinstance(error, _BATCH_ERRORS) or not isinstance(error, KafkaError)


async def read_again(
    client: AIOKafkaConsumer, metadata: AIOKafkaClient, offsets: Offsets, *, max_records: int
) -> Polled | None:
    """What the failed poll should have returned; None when no batch is damaged. Raises `DependencyDown`."""

    async def read(partition: TopicPartition, offset: int) -> record_batches.Reading:
        # A deadline for each: what all of them take together depends on how many there are.
        search = record_batches.read(metadata, partition, offset, max_records=max_records)
        return await bounded(search, _CALL_TIMEOUT_SEC)

    generation = offsets.generation
    ours = sorted(client.assignment().difference(offsets.unchecked))
    # The batch came from one of them.
    served = sorted(partition for part in by_leader(client, ours).values() for partition in part)
    beginnings = await bounded(client.beginning_offsets(served), _CALL_TIMEOUT_SEC)
    starts = offsets.starts(dict.fromkeys(ours, 0) | beginnings)
    for partition in served:
        try:
            reading = await read(partition, starts[partition])
        except DependencyDown as error:
            if not isinstance(error.__cause__, OffsetOutOfRangeError):
                raise
            # Cut off, as when a broker that was behind became its leader. The client begins anew there, too.
            starts[partition] = beginnings[partition]
            reading = await read(partition, starts[partition])
        if generation != offsets.generation:
            return Polled([], {}, offsets.generation)
        if reading.damaged:
            break
    else:
        return None
    # The failed poll may have moved the client in every partition.
    for each, offset in (starts | {partition: reading.next_offset}).items():
        client.seek(each, offset)
    polled = Polled(reading.records, {partition: reading.next_offset}, generation, reading.unreadable)
    offsets.took({partition: starts[partition]}, polled.next_offsets)
    return polled
