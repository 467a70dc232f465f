"""Accepted events that were not counted in time are found, and forgotten once they are counted, given up or erased."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from app import metrics
from app.adapters import uncounted as statements
from app.errors import TooLarge
from tests.support.pipeline import counted, database, until
from workers import uncounted
from workers.uncounted import UncountedEvents

Pool = asyncpg.Pool


async def store(pool: Pool, **ages_sec: float) -> None:
    await pool.executemany(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
        "VALUES ($1, 'view', 'ann', 's', 1, '', '{}', now() - make_interval(secs => $2))",
        list(ages_sec.items()),
    )


async def test_uncounted_events_are_known_until_something_settles_them(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(pool, counted=60, given_up=60, dead_letter=60, replayed=60, lost=60, old=5 * 86_400, young=5)
    await pool.execute("INSERT INTO feature_event_consumed (event_id) VALUES ('counted')")
    await pool.execute(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload, status) "
        "VALUES ('given_up', 't', 'k', '', 'dead')"
    )
    await pool.execute(
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, error_kind, error, attempts, "
        "event_id, status) VALUES ('t', 0, 1, 1, 'k', 'e', 1, 'dead_letter', 'pending'), "
        "('t', 0, 2, 1, 'k', 'e', 1, 'replayed', 'replayed')"
    )
    monkeypatch.setattr(uncounted, "_AGAIN_EVERY_SEC", 0.0)
    async with database(database_url) as opened:
        check = UncountedEvents(opened, within_sec=30.0)
        while await check.look() < 3:  # a turn is short, and five days are many steps
            pass
        assert counted(metrics.EVENTS_UNCOUNTED) == 3
        assert check.detail is not None
        assert check.detail.startswith("3 accepted events were not counted within 30 s")
        await pool.execute("INSERT INTO feature_event_consumed (event_id) VALUES ('lost'), ('replayed')")
        await pool.execute("DELETE FROM events WHERE event_id = 'old'")
        assert await check.look() == 0
    assert counted(metrics.EVENTS_UNCOUNTED) == 0
    assert check.detail is None


async def test_a_full_list_of_uncounted_events_waits_for_room(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uncounted, "MAX_KNOWN", 5)
    monkeypatch.setattr(uncounted, "_AGAIN_EVERY_SEC", 0.0)
    await store(pool, **{f"first-{number}": 60.0 for number in range(5)}, later=3600.0)
    async with database(database_url) as opened:
        check = UncountedEvents(opened, within_sec=30.0)
        while await check.look() < 5:
            pass
        assert check.detail is not None
        assert check.detail.startswith("5 or more")
        await pool.execute(
            "INSERT INTO feature_event_consumed (event_id) SELECT event_id FROM events WHERE event_id <> 'later'"
        )
        while await check.look() != 1:
            pass


async def test_those_that_did_not_fit_into_the_list_are_found_when_there_is_room(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uncounted, "MAX_KNOWN", 5)
    monkeypatch.setattr(uncounted, "_AGAIN_EVERY_SEC", 0.0)
    await store(pool, **{f"lost-{number}": 3600.0 for number in range(8)})
    async with database(database_url) as opened:
        check = UncountedEvents(opened, within_sec=30.0)
        while await check.look() < 5:
            pass
        await pool.execute(
            "INSERT INTO feature_event_consumed (event_id) SELECT event_id FROM events WHERE event_id < 'lost-5'"
        )
        async with asyncio.timeout(20.0):
            while await check.look() != 3:
                pass


async def test_newly_lost_events_are_told_while_the_week_before_the_start_is_slow_to_look_at(
    pool: Pool, database_url: str
) -> None:
    """Each counted event of that week takes 20 ms: all of them take minutes, and no turn waits for them."""
    await pool.execute(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
        "SELECT 'e' || n, 'view', 'ann', 's', 1, '', '{}', now() - make_interval(hours => 1, secs => 30 * n) "
        "FROM generate_series(1, 20000) AS s (n);"
        "INSERT INTO feature_event_consumed (event_id) SELECT event_id FROM events;"
        "CREATE FUNCTION linger() RETURNS boolean LANGUAGE plpgsql VOLATILE AS "
        "$$ BEGIN PERFORM pg_sleep(0.02); RETURN TRUE; END $$;"
        "ALTER TABLE events RENAME TO slow_events;"
        "CREATE VIEW events AS SELECT * FROM slow_events WHERE linger()"
    )
    async with database(database_url) as opened:
        await store(pool, lost_before_the_start=60.0)
        check = UncountedEvents(opened, within_sec=30.0)
        assert await check.look() <= 1
        await store(pool, lost_since=29.5)

        async def are_both_known() -> bool:
            return await check.look() == 2

        await until(are_both_known, within_sec=30.0)
    assert counted(metrics.EVENTS_UNCOUNTED) == 2


async def test_known_one_that_cannot_be_looked_up_keeps_no_other_from_being_found(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_large(*_: object) -> set[str]:
        raise TooLarge("postgres", "canceling statement due to statement timeout")

    await store(pool, first=60.0)
    monkeypatch.setattr(uncounted, "_AGAIN_EVERY_SEC", 0.0)
    async with database(database_url) as opened:
        check = UncountedEvents(opened, within_sec=30.0)
        while await check.look() < 1:
            pass
        monkeypatch.setattr(statements, "still", too_large)
        await store(pool, second=30.0)

        async def is_told() -> bool:
            with pytest.raises(TooLarge):
                await check.look()
            return counted(metrics.EVENTS_UNCOUNTED) == 2

        await until(is_told)


async def test_what_is_found_is_told_although_a_later_step_fails(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres gives up on whatever holds the old event, however short the step is."""
    await store(pool, lost=60.0, unreadable=86_400.0)
    await pool.execute(
        "CREATE FUNCTION linger(id text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS "
        "$$ BEGIN PERFORM pg_sleep(CASE id WHEN 'unreadable' THEN 1 ELSE 0 END); RETURN TRUE; END $$;"
        "ALTER TABLE events RENAME TO slow_events;"
        "CREATE VIEW events AS SELECT * FROM slow_events WHERE linger(event_id)"
    )
    monkeypatch.setattr(uncounted, "_SHORTEST_STEP", timedelta(hours=1))
    async with database(database_url, statement_timeout_ms=300) as opened:
        check = UncountedEvents(opened, within_sec=30.0)
        metrics.EVENTS_UNCOUNTED.set(0)

        async def is_given_up() -> bool:
            try:
                await check.look()
            except TooLarge:
                return counted(metrics.EVENTS_UNCOUNTED) > 0  # a machine that is busy elsewhere may stop it before
            return False

        await until(is_given_up)
        assert counted(metrics.EVENTS_UNCOUNTED) == 1
