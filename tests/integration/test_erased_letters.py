"""Erasure and what failed: dead letters, and what an operator sends again meanwhile."""

import asyncio
import time

import psycopg
import pytest
from aiokafka import TopicPartition

from app.adapters import dead_letters, erasures, replay
from app.adapters.erasures import Erasure
from app.adapters.postgres import Database
from app.adapters.record_batches import Unreadable
from app.adapters.replay import Filters
from tests.support.erasing import Pool, poison, unfinished
from tests.support.pipeline import message
from workers.batch import FeatureWriter
from workers.incoming import dead_letter, failed_now, read_unreadable


async def begin(opened: Database, user_id: str) -> list[Erasure]:
    async with opened.connection() as connection:
        return list((await erasures.begin(connection, user_id)).erasures)


@pytest.mark.parametrize(
    ("sent_before_sec", "kept"),
    [(5.0, None), (-120.0, b"ann, and others"), (1e15, None), (-(2.0**53), b"ann, and others")],
)
async def test_a_batch_from_before_an_erasure_that_cannot_be_read_is_a_dead_letter_without_its_bytes(
    opened: Database, pool: Pool, sent_before_sec: float, kept: bytes | None
) -> None:
    await pool.execute("INSERT INTO user_erasures (user_id) VALUES ('ann')")
    erased_ms = await pool.fetchval("SELECT unix_ms(erased_at) FROM user_erasures")
    batch = Unreadable(TopicPartition("t", 0), 7, 9, erased_ms - int(sent_before_sec * 1000), b"ann, and others", "no")
    await FeatureWriter(opened, max_retries=1).apply([read_unreadable(batch, topic="t")])
    assert await pool.fetchval("SELECT array_agg(value) FROM feature_consumer_dlq") == [kept]


async def test_a_dead_letter_of_before_is_not_kept_and_one_of_after_is(opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    await writer.apply([poison(1, "0"), poison(2, None)])
    [erasure] = await begin(opened, "ann")
    await erasures.finish(opened, [erasure])
    assert await pool.fetchval("SELECT count(*) FROM feature_consumer_dlq") == 0
    await writer.apply([poison(3, "0"), poison(4, "1"), poison(5, "not a number")])
    kept = await pool.fetch("SELECT record_offset, erasures FROM feature_consumer_dlq ORDER BY record_offset")
    assert [tuple(row) for row in kept] == [(4, 1), (5, None)]
    await erasures.finish(opened, [erasure])
    assert await pool.fetchval("SELECT count(*) FROM feature_consumer_dlq") == 2


@pytest.mark.parametrize("key", [b"an-order", None])
async def test_letters_are_found_by_the_user_of_their_message_whoever_sent_it(
    opened: Database, pool: Pool, key: bytes | None
) -> None:
    refused = [
        poison(n, "0", key=key, value=message(f"event-of-{user}", user_id=user))
        for n, user in enumerate(("ann", "bob"))
    ]
    async with opened.connection() as connection:
        letters = [dead_letter(item, "data", [failed_now(ValueError("refused"))]) for item in refused]
        await dead_letters.store(connection, letters, now=time.monotonic(), process="host-1")
    await erasures.finish(opened, await begin(opened, "ann"))
    assert await pool.fetchval("SELECT array_agg(event_id) FROM feature_consumer_dlq") == ["event-of-bob"]


@pytest.mark.parametrize("key", [b"an-order", None])
@pytest.mark.parametrize("wrong", [{"v": 9}, {"ts_ms": 9_000_000_000_000}, {"item_id": None}, {"event_type": "alien"}])
async def test_letters_of_messages_that_cannot_be_counted_are_found_by_the_user_they_name(
    opened: Database, pool: Pool, key: bytes | None, wrong: dict[str, object]
) -> None:
    sent = [
        poison(n, "0", key=key, value=message(f"event-of-{user}", user_id=user, **wrong))
        for n, user in enumerate(("ann", "bob"))
    ]
    await FeatureWriter(opened, max_retries=1).apply(sent)
    await erasures.finish(opened, await begin(opened, "ann"))
    kept = await pool.fetch("SELECT convert_from(message_key, 'UTF8'), value FROM feature_consumer_dlq")
    assert [tuple(row) for row in kept] == [("bob", sent[1].record.value)]


async def test_what_has_no_key_and_cannot_be_read_loses_its_bytes_and_is_not_sent_again(
    opened: Database, pool: Pool, database_url: str
) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    await writer.apply([poison(1, None, key=None, value="{ann"), poison(2, None, key=b"bob", value="{bob")])
    await erasures.finish(opened, await begin(opened, "ann"))
    await writer.apply([poison(3, None, key=None, value="{ann")])
    kept = await pool.fetch("SELECT record_offset, value FROM feature_consumer_dlq ORDER BY record_offset")
    assert [tuple(row) for row in kept] == [(1, None), (2, b"{bob"), (3, None)]
    with psycopg.connect(database_url) as connection:
        found = replay.find(connection, "dlq", Filters(sendable_only=True), after=0, limit=10)
        assert [row.message_key for row in found] == [b"bob"]


async def test_letters_without_a_key_lose_their_bytes_however_many_they_are(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of them took one statement longer than it may, and no erasure was finished any more."""
    for name in ("_FIRST_BATCH", "_BATCH"):
        monkeypatch.setattr(erasures, name, 2)
    await FeatureWriter(opened, max_retries=1).apply([poison(n, None, key=None, value="{ann") for n in range(7)])
    await pool.execute(
        "CREATE TABLE emptied (letters bigint);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO emptied SELECT count(*) FROM changed; RETURN NULL; END $$;"
        "CREATE TRIGGER note AFTER UPDATE ON feature_consumer_dlq REFERENCING NEW TABLE AS changed "
        "FOR EACH STATEMENT EXECUTE FUNCTION note()"
    )
    await erasures.finish(opened, await begin(opened, "ann"))
    assert await pool.fetchval("SELECT count(*) FROM feature_consumer_dlq WHERE value IS NOT NULL") == 0
    assert await pool.fetchval("SELECT array_agg(letters) FROM emptied") == [2, 2, 2, 1]
    assert await unfinished(pool) == 0


async def test_erasure_is_unfinished_while_letters_of_before_it_have_their_bytes(opened: Database, pool: Pool) -> None:
    await FeatureWriter(opened, max_retries=1).apply([poison(1, None, key=None, value="{ann")])
    erased = await begin(opened, "ann")
    removed = erasures.Removed()
    await erasures.remove(opened, erased[0], removed, ended=True, until=0.0)
    assert await unfinished(pool) == 1
    async with opened.connection() as connection:
        await connection.execute(erasures._SQL["finish"], erased[0].user_id, erased[0].number, erased[0].erased_at)
        assert await unfinished(pool) == 1
    await erasures.remove(opened, erased[0], removed, ended=True)
    assert await unfinished(pool) == 0


async def test_events_that_an_operator_sends_again_meanwhile_are_erased_too(
    opened: Database, pool: Pool, database_url: str
) -> None:
    await pool.execute(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at, "
        "erasures) VALUES ('lost', 'view', 'ann', 's', 1, '', '{}', now() - interval '1 hour', 0)"
    )
    with psycopg.connect(database_url) as operator:
        operator.execute("SELECT 1")  # begins the transaction, so that the call does not end it
        assert replay.requeue_uncounted(operator, newer_sec=7200, older_sec=1, limit=9, dry_run=False, by="op") == 1
        finishing = asyncio.create_task(erasures.finish(opened, await begin(opened, "ann")))
        for _ in range(200):  # an erasure that does not wait is done after some ten statements
            await pool.fetchval("SELECT 1")
        assert not finishing.done()
        operator.commit()
    removed = await finishing
    assert (removed.events, removed.queued) == (1, 1)
    assert await unfinished(pool) == 0
