"""Where the relay looks for rows while an open transaction keeps vacuum from removing those that were deleted."""

import asyncpg
import pytest

from app.adapters import outbox
from app.core import outbox as claims
from app.errors import TooLarge
from tests.support.pipeline import database, message, queue, relay, rows

Pool = asyncpg.Pool


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The id behind which each claim began."""
    begun: list[int] = []
    claim_batch = outbox.claim_batch

    async def spied(connection: object, limit: int, *, after_id: int, lease_sec: float) -> list[outbox.OutboxRow]:
        begun.append(after_id)
        return await claim_batch(connection, limit, after_id=after_id, lease_sec=lease_sec)

    monkeypatch.setattr(outbox, "claim_batch", spied)
    return begun


async def test_claims_that_keep_up_do_not_scan_what_was_published_before(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "SCAN_PAUSE", 1e9)
    await queue(pool, [message(f"event-{number}") for number in range(100)])
    async with (
        database(database_url) as opened,
        pool.acquire() as old,
        old.transaction(isolation="repeatable_read", readonly=True),
    ):
        await old.execute("SELECT count(*) FROM event_outbox")
        worker = relay(opened, kafka, topic_prefix, longest_insert_sec=0.0)
        publisher = worker.publisher()
        try:
            for number in range(3):
                last_id = await pool.fetchval("SELECT max(id) FROM event_outbox")
                await worker.relay_batch(publisher)
                assert await rows(pool) == {}
                await queue(pool, [message(f"later-{number}")])
                await worker.relay_batch(publisher)
                assert await rows(pool) == {}
                assert begun[-1] >= last_id
                await queue(pool, [message(f"latest-{number}")])
        finally:
            await publisher.close()
    assert begun.count(0) == 1


async def test_row_below_the_claims_is_found_by_the_next_scan_from_the_start(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str, begun: list[int]
) -> None:
    """Such as one that was rescheduled, or that an import committed late."""
    await queue(pool, [message("event-low"), message("event-high")])
    await pool.execute("UPDATE event_outbox SET available_at = 'infinity' WHERE event_id = 'event-low'")
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix, longest_insert_sec=0.0)
        publisher = worker.publisher()
        try:
            await worker.relay_batch(publisher)
            assert await rows(pool) == {"event-low": ("pending", 0)}
            await pool.execute("UPDATE event_outbox SET available_at = now()")
            while (counts := await worker.relay_batch(publisher)).claimed == 0:
                assert counts.more_in_sec <= worker._options.poll_interval_sec * 100
                assert begun[-1] > 0
        finally:
            await publisher.close()
    assert await rows(pool) == {}
    assert begun[-1] == 0


async def test_scan_from_the_start_that_is_too_slow_stops_no_row_above(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix, longest_insert_sec=0.0)
        publisher = worker.publisher()
        try:
            await queue(pool, [message("event-1")])
            await worker.relay_batch(publisher)
            claim_batch = outbox.claim_batch

            async def slow_from_the_start(
                connection: "outbox.Connection", limit: int, *, after_id: int, lease_sec: float
            ) -> list[outbox.OutboxRow]:
                if after_id == 0:
                    await connection.execute("SET LOCAL statement_timeout = 100")
                    await connection.execute("SELECT pg_sleep(60)")
                return await claim_batch(connection, limit, after_id=after_id, lease_sec=lease_sec)

            monkeypatch.setattr(outbox, "claim_batch", slow_from_the_start)
            monkeypatch.setattr(claims, "RESTART_AFTER_SEC", 0.0)
            monkeypatch.setattr(claims, "SCAN_PAUSE", 0.0)
            await queue(pool, [message("event-2")])
            with pytest.raises(TooLarge):
                await worker.relay_batch(publisher)
            monkeypatch.setattr(claims, "SCAN_PAUSE", 1e9)
            await worker.relay_batch(publisher)
        finally:
            await publisher.close()
    assert await rows(pool) == {}
