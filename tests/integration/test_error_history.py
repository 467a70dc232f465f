"""The errors that rows keep: of each attempt, the last ten, through replays, and gone with their row."""

from typing import Any

import asyncpg
import msgspec
import psycopg

from app.adapters import dead_letters, erasures, outbox, replay
from app.adapters.dead_letters import Failure
from app.adapters.outbox import Reschedule
from app.adapters.postgres import Database
from app.adapters.replay import Filters, ReplaySource
from app.process import process_name
from tests.support.erasing import poison
from tests.support.pipeline import message, queue
from workers.batch import FeatureWriter
from workers.incoming import dead_letter

Pool = asyncpg.Pool


async def kept(pool: Pool, table: str, row_id: int) -> list[dict[str, Any]]:
    found = await pool.fetchval(f"SELECT errors FROM {table} WHERE id = $1", row_id)
    return msgspec.json.decode(found or "[]", type=list[dict[str, Any]])


def told(errors: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(one["task"], one["replays"], one["error"]) for one in errors]


def send_again(database_url: str, source: ReplaySource) -> int:
    with psycopg.connect(database_url) as connection:
        found = replay.find(connection, source, Filters(), after=0, limit=10)
        return replay.requeue(connection, source, found, status="pending", by="op")


async def test_a_row_keeps_the_errors_of_its_last_ten_attempts_through_replays(
    opened: Database, pool: Pool, database_url: str
) -> None:
    await queue(pool, [message("event-0001")])
    assert await pool.fetchval("SELECT errors FROM event_outbox") is None
    [row_id] = [row["id"] for row in await pool.fetch("SELECT id FROM event_outbox")]
    for number in range(12):
        async with opened.connection() as connection:
            delay_sec = None if number % 3 == 2 else 0.0
            refused = [Reschedule(row_id, delay_sec, f"refused {number}")]
            await outbox.reschedule(connection, refused, process="host-1")
        if delay_sec is None:
            assert send_again(database_url, "outbox") == 1
    errors = await kept(pool, "event_outbox", row_id)
    assert told(errors) == [("outbox-relay", number // 3, f"refused {number}") for number in range(2, 12)]
    assert {one["process"] for one in errors} == {"host-1"}
    assert [one["at"] for one in errors] == sorted(one["at"] for one in errors)


async def test_a_letter_has_the_error_of_each_attempt_and_those_of_the_letter_that_was_sent_again(
    opened: Database, pool: Pool, database_url: str
) -> None:
    await pool.execute("ALTER TABLE item_stats ADD CONSTRAINT no_poison CHECK (item_id <> 'alien')")
    value = message("event-0001")
    await FeatureWriter(opened, max_retries=2).apply([poison(1, "0", value=value)])
    first = await pool.fetchval("SELECT id FROM feature_consumer_dlq")
    errors = await kept(pool, "feature_consumer_dlq", first)
    assert len(errors) == 3
    assert all("no_poison" in one["error"] for one in errors)
    assert {one["process"] for one in errors} == {process_name()}
    assert send_again(database_url, "dlq") == 1
    [queued] = await pool.fetch("SELECT id, letter_id FROM event_outbox")
    assert (queued["letter_id"], await kept(pool, "event_outbox", queued["id"])) == (first, errors)
    again = poison(2, "0", value=value, headers=(("replays", b"1"), ("letter_id", str(first).encode())))
    await FeatureWriter(opened, max_retries=1).apply([again])
    second = await pool.fetchval("SELECT max(id) FROM feature_consumer_dlq")
    history = await kept(pool, "feature_consumer_dlq", second)
    assert history[:3] == errors
    assert [one["replays"] for one in history] == [0, 0, 0, 1, 1]


async def test_a_letter_keeps_ten_errors_and_when_each_was(opened: Database, pool: Pool) -> None:
    failures = [Failure(float(at), f"attempt {at}") for at in range(100, 112)]
    letter = dead_letter(poison(1, "0", value=message("event-0001")), "data", failures)
    async with opened.connection() as connection:
        await dead_letters.store(connection, [letter], now=112.0, process="host-1")
    [letter_id] = [row["id"] for row in await pool.fetch("SELECT id FROM feature_consumer_dlq")]
    errors = await kept(pool, "feature_consumer_dlq", letter_id)
    assert [one["error"] for one in errors] == [f"attempt {at}" for at in range(102, 112)]
    span = await pool.fetchval(
        "SELECT (errors -> 9 ->> 'at')::timestamptz - (errors -> 0 ->> 'at')::timestamptz FROM feature_consumer_dlq"
    )
    assert span.total_seconds() == 9.0


async def test_a_message_that_names_the_letter_of_another_event_gets_none_of_its_errors(
    opened: Database, pool: Pool
) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    await writer.apply([poison(1, "0", headers=(("event_id", b"of-ann"),))])
    first = await pool.fetchval("SELECT id FROM feature_consumer_dlq")
    await writer.apply([poison(2, "0", headers=(("event_id", b"of-bob"), ("letter_id", str(first).encode())))])
    second = await pool.fetchval("SELECT max(id) FROM feature_consumer_dlq")
    assert len(await kept(pool, "feature_consumer_dlq", second)) == 1


async def test_an_erasure_leaves_no_error_of_the_user(opened: Database, pool: Pool, database_url: str) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    await writer.apply([poison(1, "0", headers=(("event_id", b"of-ann"), ("erasures", b"0")))])
    first = await pool.fetchval("SELECT id FROM feature_consumer_dlq")
    assert send_again(database_url, "dlq") == 1
    async with opened.connection() as connection:
        begun = await erasures.begin(connection, "ann")
    await erasures.finish(opened, list(begun.erasures))
    headers = (("event_id", b"of-ann"), ("letter_id", str(first).encode()), ("erasures", b"0"))
    await writer.apply([poison(2, None, headers=headers)])
    for table in ("event_outbox", "feature_consumer_dlq"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0
