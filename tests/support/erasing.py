"""Messages, rows and unfinished erasures for the tests of erasure."""

import json
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import httpx
from aiokafka import ConsumerRecord

from app.adapters.postgres import Database
from app.core import events
from app.core.messages import decode_message
from tests.support.pipeline import keeping
from workers.batch import FeatureWriter
from workers.incoming import Incoming, read_record
from workers.maintenance import Maintenance

Pool = asyncpg.Pool
Queued = tuple[str, int | None]

HOUR_MS = 3_600_000


async def queued(pool: Pool) -> list[Queued]:
    """The messages of the outbox, each with its stamp, as the relay sends them."""
    return [tuple(row) for row in await pool.fetch("SELECT payload, erasures FROM event_outbox ORDER BY id")]


async def consume(opened: Database, messages: Sequence[Queued], *, received_off_ms: int = 0) -> int:
    """Counts these messages as the consumer does; returns how many changed a feature."""
    incoming = []
    for payload, stamp in messages:
        fields = json.loads(payload)
        fields["received_ms"] += received_off_ms
        incoming.append(Incoming(None, "t", decode_message(json.dumps(fields).encode()), None, erasures=stamp))
    return (await FeatureWriter(opened, max_retries=1).apply(incoming)).counted


async def history(client: httpx.AsyncClient) -> list[str]:
    answer = await client.get("/users/ann")
    return [entry["item_id"] for entry in answer.json()["history"]] if answer.status_code == 200 else []


async def finish_left_over(opened: Database, pool: Pool) -> int:
    """What maintenance does with erasures that were begun long ago."""
    await pool.execute("ALTER TABLE user_erasures DISABLE TRIGGER USER")  # or the new time is another erasure
    await pool.execute("UPDATE user_erasures SET erased_at = erased_at - interval '1 minute'")
    await pool.execute("ALTER TABLE user_erasures ENABLE TRIGGER USER")
    return await Maintenance(opened, None, keeping(), counted_within_sec=900.0).finish_erasures()


async def unfinished(pool: Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM user_erasures WHERE unfinished")
    return count


def record(user_id: str) -> events.Record:
    event = events.View(user_id=user_id, session_id="s", item_id="alien", event_id=f"event-{user_id}")
    return events.accept(event, now_ms=1_767_225_600_000, entropy=bytes(10))


def poison(
    offset: int,
    stamp: str | None,
    *,
    key: bytes | None = b"ann",
    value: str = "{",
    headers: Sequence[tuple[str, bytes]] = (),
) -> Incoming:
    """A message of ann, as a record; without a `value`, one that cannot be read."""
    record: Any = ConsumerRecord(
        topic="t",
        partition=0,
        offset=offset,
        timestamp=time.time_ns() // 1_000_000,
        timestamp_type=0,
        key=key,
        value=value.encode(),
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value),
        headers=headers or (() if stamp is None else (("erasures", stamp.encode()),)),
    )
    return read_record(record, topic="t")
