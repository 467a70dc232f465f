"""Kafka's record batches as the broker stores them, for when aiokafka cannot read one.

Its consumer raises then and names neither partition nor offset, drops what it took from other partitions in that call,
and in the next call passes over the good records that stood before the bad batch. So the partition is read once more
here, batch by batch, and each is judged by itself. The layout is that of Kafka's message format, version 2.
"""

import struct
from collections.abc import Iterator
from typing import Final

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import CorruptRecordException, KafkaError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from msgspec import Struct

from app.errors import describe

# More than a batch may hold by the brokers' defaults, so that the batch after a bad one is seen as well.
_MAX_BYTES: Final = 8 * 1024 * 1024
# What is there, without a wait in each quiet partition: a member may have a hundred of them.
_MAX_WAIT_MS: Final = 0
_LENGTH: Final = struct.Struct(">qi")  # base offset, bytes that follow
_HEADER: Final = struct.Struct(">qiibIhiqq")  # …, leader epoch, magic, CRC, attributes, last offset delta, two times
_MAGIC: Final = 2


class Unreadable(Struct, frozen=True):
    """A batch whose checksum, compression or structure is wrong: offsets `first` to `after` - 1, and its bytes."""

    partition: TopicPartition
    first: int
    after: int
    timestamp_ms: int
    raw: bytes
    reason: str


class Reading(Struct, frozen=True):
    """Records up to the first batch that cannot be read, that batch, and where to go on.

    `damaged` is true as well when a bad batch was met that was stepped over before.
    """

    records: list[ConsumerRecord]
    unreadable: Unreadable | None
    next_offset: int
    damaged: bool


async def read(client: AIOKafkaClient, partition: TopicPartition, offset: int, *, max_records: int) -> Reading:
    """Reads a partition from an offset. Raises `KafkaError`; the caller sets the deadline."""
    leader = (await client.fetch_all_metadata()).leader_for_partition(partition)
    if leader is None or leader < 0:
        raise KafkaError(f"{partition} has no leader")
    request = FetchRequest(
        _MAX_WAIT_MS, 1, _MAX_BYTES, 0, [(partition.topic, [(partition.partition, offset, _MAX_BYTES)])]
    )
    response = await client.send(leader, request)
    _, error_code, end, *_, data = response.topics[0][1][0]
    if error_code:
        raise for_code(error_code)(f"{partition} at {offset}")
    return judge(partition, bytes(data or b""), offset=offset, end=end, max_records=max_records)


def judge(partition: TopicPartition, data: bytes, *, offset: int, end: int, max_records: int) -> Reading:
    """What can be read of `data`, the broker's answer for `offset`; `end` is the end of the partition."""
    batches = list(_split(data))
    records: list[ConsumerRecord] = []
    next_offset, damaged = offset, False
    for number, raw in enumerate(batches):
        following = _LENGTH.unpack_from(batches[number + 1])[0] if number + 1 < len(batches) else None
        first, after, timestamp_ms = _bounds(raw)
        try:
            found = _records(partition, raw)
        except Exception as error:
            damaged = True
            if following is not None and following <= offset:
                continue
            # The header may be what is wrong, so that the batch behind is a better witness.
            after = following if following is not None else min(after, end)
            after = max(after, next_offset + 1)
            bad = Unreadable(partition, max(first, next_offset), after, timestamp_ms, raw, describe(error))
            return Reading(records, bad, after, damaged)
        for record in found:
            if record.offset < offset:
                continue
            if len(records) == max_records:
                return Reading(records, None, records[-1].offset + 1, damaged)
            records.append(record)
        next_offset = max(next_offset, after)
    return Reading(records, None, next_offset, damaged)


def _split(data: bytes) -> Iterator[bytes]:
    """The batches; the last one may be cut off, and is left out then."""
    start = 0
    while start + _HEADER.size <= len(data):
        stop = start + _LENGTH.size + _LENGTH.unpack_from(data, start)[1]
        if not start + _HEADER.size <= stop <= len(data):
            return
        yield data[start:stop]
        start = stop


def _bounds(raw: bytes) -> tuple[int, int, int]:
    """The first offset, the one after the last, and the time in milliseconds, as the header has them."""
    first, _, _, magic, _, _, delta, timestamp_ms, _ = _HEADER.unpack_from(raw)
    return (first, first + delta + 1, timestamp_ms) if magic == _MAGIC else (first, first + 1, 0)


def _records(partition: TopicPartition, raw: bytes) -> list[ConsumerRecord]:
    batch = MemoryRecords(raw).next_batch()
    if not batch.validate_crc():
        raise CorruptRecordException("the checksum is wrong")
    if batch.is_control_batch:
        return []
    return [
        ConsumerRecord(
            partition.topic,
            partition.partition,
            record.offset,
            record.timestamp,
            record.timestamp_type,
            record.key,
            record.value,
            record.checksum,
            -1 if record.key is None else len(record.key),
            -1 if record.value is None else len(record.value),
            tuple(record.headers),
        )
        for record in batch
    ]
