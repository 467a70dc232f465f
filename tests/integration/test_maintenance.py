"""The jobs of maintenance: what one of them fails at holds up no other."""

from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from app.adapters import changes, erasures
from app.adapters.erasures import Erasure
from app.adapters.postgres import Database
from app.supervisor import Progress
from tests.support.pipeline import database, keeping
from workers import maintenance as jobs
from workers import rollup
from workers.maintenance import Maintenance
from workers.pair_pruner import PairPruner


async def test_a_transaction_that_holds_up_the_sums_is_told(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "_HELD_SEC", 0.0)
    progress = Progress()
    async with database(database_url) as opened:
        maintenance = Maintenance(opened, None, keeping(), counted_within_sec=900.0)
        async with pool.acquire() as old, old.transaction():
            pid = await old.fetchval("SELECT pg_backend_pid()")
            await maintenance.turn(progress)
            assert progress.detail is not None
            assert "the roll-up of analytics waits for a transaction" in progress.detail
            assert f"pg_terminate_backend({pid})" in progress.detail
        await maintenance.turn(progress)
    assert progress.detail is None


async def test_job_that_fails_is_told_until_it_works_and_holds_up_no_other(
    pool: asyncpg.Pool, database_url: str
) -> None:
    await pool.execute(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
        "VALUES ('lost', 'view', 'ann', 's', 1, '', '{}', now() - interval '1 hour')"
    )
    progress = Progress()
    async with database(database_url, lock_timeout_ms=100) as opened:
        maintenance = Maintenance(opened, None, keeping(), counted_within_sec=900.0)
        async with pool.acquire() as locking, locking.transaction():
            await locking.execute("LOCK TABLE analytics_progress IN ACCESS EXCLUSIVE MODE")
            with capture_logs() as logs:
                await maintenance.turn(progress)
                await maintenance.turn(progress)
        assert progress.detail is not None
        assert progress.detail.startswith("the roll-up of analytics fails: ")
        assert "1 accepted events were not counted" in progress.detail
        failing = "the roll-up of analytics"
        assert [(line["event"], line["job"]) for line in logs] == [("maintenance_fails", failing)]
        with capture_logs() as logs:
            await maintenance.turn(progress)
        assert progress.detail.startswith("1 accepted events were not counted")
        assert [(line["event"], line["job"]) for line in logs] == [("maintenance_resumes", failing)]


async def test_job_with_a_fault_of_ours_holds_up_no_other(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(pruner: PairPruner) -> None:
        raise TypeError("a fault")

    monkeypatch.setattr(PairPruner, "sweep", fails)
    progress = Progress()
    async with database(database_url) as opened:
        with capture_logs() as logs:
            await Maintenance(opened, None, keeping(), counted_within_sec=900.0).turn(progress)
    assert progress.detail == "pruning pairs fails: TypeError: a fault"
    assert [(line["event"], line["job"], str(line["exc_info"])) for line in logs] == [
        ("maintenance_fails", "pruning pairs", "a fault")
    ]


async def test_rows_that_cannot_be_removed_hold_up_no_others(pool: asyncpg.Pool, database_url: str) -> None:
    """A trigger refuses it, as a foreign key of the application would, or damage on the disk."""
    await pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'mine'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON events FOR EACH ROW WHEN (OLD.user_id = 'bad') "
        "EXECUTE FUNCTION refuse()"
    )
    await pool.execute(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
        "SELECT n, 'view', n, 's', 1, '', '{}', now() - interval '100 days' FROM unnest('{bad,ann}'::text[]) AS u (n)"
    )
    await pool.execute(
        "INSERT INTO user_erasures (user_id, erased_at, unfinished) VALUES "
        "('bad', now() - interval '2 hours', TRUE), ('ann', now() - interval '1 hour', TRUE)"
    )
    await pool.execute(
        "INSERT INTO sessions (session_id, user_id, started_ms, created_at) "
        "VALUES ('s', 'zoe', 1, now() - interval '99 days')"
    )
    progress = Progress()
    async with database(database_url) as opened:
        await Maintenance(opened, None, keeping(), counted_within_sec=900.0).turn(progress)
        assert progress.detail == (
            "retention fails: DependencyDown: postgres: events: RaiseError (P0001): mine; "
            "finishing erasures fails: RaiseError (P0001): mine"
        )
        assert await pool.fetchval("SELECT array_agg(user_id) FROM events") == ["bad"]
        assert await pool.fetchval("SELECT array_agg(user_id) FROM user_erasures WHERE unfinished") == ["bad"]
        assert await pool.fetchval("SELECT count(*) FROM sessions") == 0
        await pool.execute("DROP TRIGGER refuse ON events")
        await Maintenance(opened, None, keeping(), counted_within_sec=900.0).turn(progress)
        assert progress.detail is None
        assert await pool.fetchval("SELECT count(*) FROM events") == 0
        assert not await pool.fetchval("SELECT count(*) FROM user_erasures WHERE unfinished")


async def test_erasures_that_cannot_be_finished_leave_a_turn_to_the_others(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many those are, and however long one takes."""
    monkeypatch.setattr(erasures, "_UNFINISHED_MAX", 2)
    monkeypatch.setattr(jobs, "_ERASING_SEC", 0.0)  # one that has rows to remove takes all the time there is
    await pool.execute(
        "INSERT INTO user_erasures (user_id, erased_at, unfinished) "
        "SELECT 'user-' || n, now() - interval '1 hour' * (7 - n), TRUE FROM generate_series(1, 6) AS s (n)"
    )
    tried: list[str] = []
    remove = erasures.remove

    async def removing(opened: Database, erasure: Erasure, *args: Any, **named: Any) -> None:
        tried.append(erasure.user_id)
        await remove(opened, erasure, *args, **named)

    monkeypatch.setattr(erasures, "remove", removing)
    async with database(database_url) as opened:
        maintenance = Maintenance(opened, None, keeping(), counted_within_sec=900.0)
        for _ in range(7):
            await maintenance.finish_erasures()
    assert tried == [f"user-{number}" for number in (1, 2, 3, 4, 5, 6, 1)]


async def test_all_unfinished_erasures_wait_for_writers_once(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "_WRITERS_TIMEOUT_SEC", 0.2)
    await pool.execute(
        "INSERT INTO user_erasures (user_id, erased_at, unfinished) "
        "SELECT 'user-' || n, now() - interval '1 hour', TRUE FROM generate_series(1, 50) AS s (n)"
    )
    waits = []
    ended = erasures._writers_end

    async def waiting(opened: Database) -> bool:
        waits.append(await ended(opened))
        return waits[-1]

    monkeypatch.setattr(erasures, "_writers_end", waiting)
    async with database(database_url) as opened, pool.acquire() as writing, writing.transaction():
        await writing.execute("DELETE FROM event_outbox")
        await Maintenance(opened, None, keeping(), counted_within_sec=900.0).finish_erasures()
    assert waits == [False]


async def test_changes_are_pruned_in_parts_that_wait_for_nobody(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_PRUNED_AT_ONCE", 3)
    await pool.execute(
        "INSERT INTO feature_changes (item_ids, changed_at) "
        "SELECT ARRAY['i' || n], now() - interval '1 hour' * (9 - n) FROM generate_series(1, 9) AS s (n)"
    )
    left = "SELECT array_agg(item_ids[1] ORDER BY id) FROM feature_changes"
    async with database(database_url) as opened, opened.connection() as connection:
        async with pool.acquire() as locking, locking.transaction():
            await locking.execute("SELECT FROM feature_changes WHERE item_ids[1] = 'i2' FOR UPDATE")
            await changes.prune(connection)
            assert await pool.fetchval(left) == ["i2", "i5", "i6", "i7", "i8", "i9"]
        await changes.prune(connection)
        await changes.prune(connection)
    assert await pool.fetchval(left) == ["i9"]
