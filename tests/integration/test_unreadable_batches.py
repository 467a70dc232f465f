"""Batches that are damaged in the broker's own log: the consumer steps over them, and over nothing else."""

import struct

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.record.util import calc_crc32c

from app import metrics
from app.adapters.postgres import Database
from app.core.events import TOPIC_INTERACTIONS, TOPIC_WATCHES
from app.devstack import Stack
from tests.support.damaged_log import Damage, break_checksum, damage_log, log_of, make_topics, produce
from tests.support.pipeline import consuming, counted, kafka_options, running, until_equal
from workers.consumer import FeatureConsumer
from workers.traces import LateFeatures

Pool = asyncpg.Pool

_CRC = 17
_ATTRIBUTES = 21
_RECORDS = 61


def unknown_codec(batch: bytearray) -> None:
    batch[_ATTRIBUTES + 1] |= 0x07
    sign(batch)


def garbage(codec: int) -> Damage:
    """The codec's bits over bytes that are nothing of its kind."""

    def damage(batch: bytearray) -> None:
        batch[_ATTRIBUTES + 1] |= codec
        batch[_RECORDS:] = b"\xff\x01\x02" * (len(batch) - _RECORDS)
        sign(batch)

    return damage


def no_such_record(batch: bytearray) -> None:
    batch[_RECORDS] = 0x7E
    sign(batch)


def sign(batch: bytearray) -> None:
    batch[_CRC : _CRC + 4] = struct.pack(">I", calc_crc32c(bytes(batch[_ATTRIBUTES:])))


@pytest.mark.parametrize(
    "damage",
    [break_checksum, unknown_codec, garbage(1), garbage(2), garbage(3), garbage(4), no_such_record],
    ids=["checksum", "unknown codec", "gzip", "snappy", "lz4", "zstd", "structure"],
)
async def test_a_batch_that_cannot_be_read_is_a_dead_letter_and_costs_no_other(
    stack: Stack,
    opened: Database,
    pool: Pool,
    kafka: str,
    topic_prefix: str,
    damage: Damage,
) -> None:
    topic = topic_prefix + TOPIC_INTERACTIONS
    make_topics(kafka, topic_prefix)
    sent = {
        0: [["event-good-1"], ["event-bad-1", "event-bad-2"], ["event-good-2"]],
        1: [["event-other-1", "event-other-2"]],
    }
    for partition, batches in sent.items():
        for batch in batches:
            await produce(kafka, topic, partition, batch)
    raw = damage_log(log_of(stack, topic, 0), b"event-bad-1", damage)
    errors = counted(metrics.CONSUMER_ERRORS, kind="unreadable_batch")
    stored = counted(metrics.DLQ_EVENTS, outcome="stored")

    async with running(consumer(opened, kafka, topic_prefix)):
        good = {"event-good-1", "event-good-2", "event-other-1", "event-other-2"}
        await until_equal(lambda: consumed(pool), good)
        await produce(kafka, topic, 0, ["event-good-3"])
        await until_equal(lambda: consumed(pool), good | {"event-good-3"})

    letters = await pool.fetch("SELECT * FROM feature_consumer_dlq")
    assert [(row["topic"], row["partition"], row["record_offset"]) for row in letters] == [(TOPIC_INTERACTIONS, 0, 1)]
    assert letters[0]["value"] == raw
    assert letters[0]["error_kind"] == "batch"
    assert letters[0]["error"].startswith("batch of the offsets 1 to 2 cannot be read: ")
    assert counted(metrics.CONSUMER_ERRORS, kind="unreadable_batch") == errors + 1
    assert counted(metrics.DLQ_EVENTS, outcome="stored") == stored + 1


async def test_a_batch_at_the_end_and_one_at_the_beginning_are_stepped_over(
    stack: Stack, opened: Database, pool: Pool, kafka: str, topic_prefix: str
) -> None:
    topic = topic_prefix + TOPIC_INTERACTIONS
    make_topics(kafka, topic_prefix)
    for batch in (["event-bad-1"], ["event-bad-2"], ["event-good-1"], ["event-bad-3", "event-bad-4"]):
        await produce(kafka, topic, 0, batch)
    for marker in (b"event-bad-1", b"event-bad-2", b"event-bad-3"):
        damage_log(log_of(stack, topic, 0), marker, break_checksum)
    async with running(consumer(opened, kafka, topic_prefix)):
        await until_equal(lambda: unreadable(pool), ["0 to 0", "1 to 1", "3 to 4"])
        await produce(kafka, topic, 0, ["event-good-2"])
        await until_equal(lambda: consumed(pool), {"event-good-1", "event-good-2"})


async def test_a_header_that_reaches_too_far_hides_nothing_behind_it(
    stack: Stack, opened: Database, pool: Pool, kafka: str, topic_prefix: str
) -> None:
    """The broker goes by the same header, and so sends the bad batch along with whatever is asked for behind it."""
    topic = topic_prefix + TOPIC_INTERACTIONS
    make_topics(kafka, topic_prefix)
    for batch in (["event-good-1"], ["event-bad-1"], ["event-good-2"], ["event-good-3"]):
        await produce(kafka, topic, 0, batch)

    def reach_too_far(batch: bytearray) -> None:
        batch[23:27] = struct.pack(">i", 1)  # the last offset delta of a batch of one

    damage_log(log_of(stack, topic, 0), b"event-bad-1", reach_too_far)
    async with running(consumer(opened, kafka, topic_prefix)):
        await until_equal(lambda: consumed(pool), {"event-good-1", "event-good-2", "event-good-3"})
    assert await pool.fetchval("SELECT count(*) FROM feature_consumer_dlq") == 1


async def test_a_batch_behind_many_quiet_partitions_is_found(
    stack: Stack, opened: Database, pool: Pool, kafka: str, topic_prefix: str
) -> None:
    topic, last = topic_prefix + TOPIC_WATCHES, 23
    make_topics(kafka, topic_prefix, partitions=last + 1)
    for batch in (["event-bad-1"], ["event-good-1"]):
        await produce(kafka, topic, last, batch)
    damage_log(log_of(stack, topic, last), b"event-bad-1", break_checksum)
    async with running(consumer(opened, kafka, topic_prefix)):
        await until_equal(lambda: consumed(pool), {"event-good-1"})
    assert await unreadable(pool) == ["0 to 0"]


async def test_a_partition_that_lost_its_end_is_read_anew_beside_a_damaged_batch(
    stack: Stack, opened: Database, pool: Pool, kafka: str, topic_prefix: str
) -> None:
    """As after a broker that was behind became its leader: the group stands beyond the end."""
    topic = topic_prefix + TOPIC_INTERACTIONS
    make_topics(kafka, topic_prefix)
    await produce(kafka, topic, 0, ["event-good-1"])
    for batch in (["event-bad-1"], ["event-good-2"]):
        await produce(kafka, topic, 1, batch)
    damage_log(log_of(stack, topic, 1), b"event-bad-1", break_checksum)
    async with AIOKafkaConsumer(bootstrap_servers=kafka, group_id=consuming(topic_prefix).group) as group:
        group.assign([TopicPartition(topic, 0)])
        await group.commit({TopicPartition(topic, 0): 50})
    async with running(consumer(opened, kafka, topic_prefix)):
        await until_equal(lambda: consumed(pool), {"event-good-1", "event-good-2"})
        await produce(kafka, topic, 0, ["event-good-3"])
        await until_equal(lambda: consumed(pool), {"event-good-1", "event-good-2", "event-good-3"})
    assert await unreadable(pool) == ["0 to 0"]


def consumer(opened: Database, kafka: str, topic_prefix: str) -> FeatureConsumer:
    return FeatureConsumer(opened, None, kafka_options(kafka), consuming(topic_prefix), LateFeatures())


async def consumed(pool: Pool) -> set[str]:
    return {row[0] for row in await pool.fetch("SELECT event_id FROM feature_event_consumed")}


async def unreadable(pool: Pool) -> list[str]:
    """The offsets of the dead letters of batches."""
    found = "SELECT substring(error FROM '[0-9]+ to [0-9]+') FROM feature_consumer_dlq ORDER BY record_offset"
    return [row[0] for row in await pool.fetch(found)]
