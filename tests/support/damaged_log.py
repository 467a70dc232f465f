"""Damages record batches in a broker's own log, where no client can."""

import struct
from collections.abc import Callable
from pathlib import Path

from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import NewTopic

from app.core.events import TOPICS
from app.devstack import Stack
from tests.support.pipeline import message
from tests.support.topics import admin_client

Damage = Callable[[bytearray], None]


def break_checksum(batch: bytearray) -> None:
    batch[-1] ^= 0xFF


def make_topics(kafka: str, topic_prefix: str, *, partitions: int = 2) -> None:
    topics = [NewTopic(topic_prefix + topic, partitions, 1) for topic in TOPICS]
    with admin_client(kafka) as admin:
        for future in admin.create_topics(topics).values():
            future.result(10.0)


async def produce(kafka: str, topic: str, partition: int, event_ids: list[str]) -> None:
    """One batch of them. Built here: a producer that batches by itself may send the first message alone."""
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        batch = producer.create_batch()
        for event_id in event_ids:
            assert batch.append(key=b"ann", value=message(event_id).encode(), timestamp=None)
        await (await producer.send_batch(batch, topic, partition=partition))


def log_of(stack: Stack, topic: str, partition: int) -> Path:
    return stack.kafka.folder.root / "kafka" / "logs" / f"{topic}-{partition}" / "00000000000000000000.log"


def damage_log(log: Path, marker: bytes, damage: Damage) -> bytes:
    """Damages the batch that holds the marker, in place; returns its bytes as they are then."""
    with log.open("r+b") as file:
        data, start = file.read(), 0
        while True:
            stop = start + 12 + struct.unpack_from(">i", data, start + 8)[0]
            if marker in data[start:stop]:
                break
            start = stop
        batch = bytearray(data[start:stop])
        damage(batch)
        changed = bytes(batch[: stop - start])
        file.seek(start)
        file.write(changed)
    return changed
