"""A user is erased while `reco rebuild` writes the histories, and the rebuild ends before it swaps: none comes back."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
import pyarrow as pa
import pytest

from app.adapters import building, building_histories, counted_events, erasures, generations
from app.adapters.postgres import Database
from app.core.features import fold
from app.core.history import encode_history
from app.core.messages import decode_message
from app.core.model import MODEL
from app.devstack import Stack
from app.importing.mapping import ImportOptions
from app.rebuilding.local_log import LocalLog
from app.rebuilding.rebuild import Rebuild, unfinished
from app.rebuilding.slices import Job
from app.rebuilding.spark import log as spark_log
from app.rebuilding.spark.stages import HISTORIES
from app.rebuilding.swap import swap
from tests.support.database import as_superuser
from tests.support.pipeline import until
from tests.support.rebuilding import log, start_rebuild, store_and_count
from workers.batch import FeatureWriter

Pool = asyncpg.Pool
_LEFT = "SELECT count(*) FILTER (WHERE user_id = 'user-1'), count(*) > 0 FROM reco_building.user_history"


async def erase(opened: Database) -> None:
    """All of it, as `DELETE /users/user-1` does."""
    async with opened.connection() as connection:
        begun = await erasures.begin(connection, "user-1")
    await erasures.finish(opened, begun.erasures)


async def begin(database_url: str, live: asyncpg.Connection) -> Rebuild:
    await generations.begin_first(live)
    rebuild = Rebuild(database_url, live, log=LocalLog(), dedupe_days=35.0)
    await rebuild.begin(slices=1)
    return rebuild


async def _holds(pool: Pool, condition: str) -> bool:
    return bool(await pool.fetchval(f"SELECT {condition}"))


@pytest.mark.slow
async def test_user_erased_while_a_slice_is_written_has_no_history_in_it(
    database_url: str, opened: Database, pool: Pool
) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(1_000))
    async with building.connection(database_url) as live:
        await begin(database_url, live)
    async with pool.acquire() as holder, pool.acquire() as counting:
        # The rebuild waits for this lock before it reads what was counted meanwhile.
        await counting.execute("SELECT pg_advisory_lock_shared(7236352)")
        async with holder.transaction():
            # Its slice puts histories, and then it waits where it adds up items.
            await holder.execute("LOCK TABLE reco_building.item_stats IN SHARE MODE")
            process = start_rebuild(database_url)
            waits = "FROM pg_locks WHERE relation = 'reco_building.item_stats'::regclass AND NOT granted"
            await until(partial(_holds, pool, f"count(*) > 0 {waits}"), 60.0)
            await erase(opened)
        await until(partial(_holds, pool, "(SELECT bool_and(events_done) FROM reco_building.slices)"), 60.0)
        process.kill()
        await asyncio.to_thread(process.communicate, timeout=60)
        await counting.execute("SELECT pg_advisory_unlock_shared(7236352)")
    assert tuple(await pool.fetchrow(_LEFT)) == (0, True)


async def test_user_erased_while_a_rebuild_catches_up_has_no_history_in_it(
    database_url: str, opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = counted_events.read_counted

    async def read_before_the_erasure(*arguments: Any) -> tuple[datetime, list[str]]:
        found = await read(*arguments)
        await erase(opened)
        return found

    monkeypatch.setattr(counted_events, "read_counted", read_before_the_erasure)
    async with building.connection(database_url) as live:
        rebuild = await begin(database_url, live)
        await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(100))
        async with building.connection(database_url, building=True) as built:
            async with built.transaction():
                await building.index_pairs(built)
            assert await rebuild.catch_up(built) == 100
    assert tuple(await pool.fetchrow(_LEFT)) == (0, True)


async def test_erasure_waits_for_histories_that_are_about_to_be_committed(
    database_url: str, opened: Database, pool: Pool
) -> None:
    """Their transaction has looked for erasures before, and the erasure does not see them yet."""
    made = fold([decode_message(json.dumps(event).encode()) for event in log(100)], {}, MODEL)
    async with building.connection(database_url) as live, building.connection(database_url, building=True) as built:
        await begin(database_url, live)
        _, progress = await unfinished(live)
        async with built.transaction():
            await building_histories.put(built, made.histories)
            await building.forget_erased(built, made.histories, progress.erasure)
            erasing = asyncio.create_task(erase(opened))
            await until(partial(_holds, pool, "EXISTS (SELECT FROM pg_locks WHERE NOT granted AND objid = 7236354)"))
        await erasing
    assert tuple(await pool.fetchrow(_LEFT)) == (0, True)


class Made:
    """The files of histories that Spark has made."""

    def __init__(self, histories: pa.Table) -> None:
        self._histories = histories

    def parts(self, stage: str) -> list[str]:
        return ["part-1"] if stage == HISTORIES else []

    def table(self, part: str) -> pa.Table:
        return self._histories


async def at_once(work: Callable[[], Any]) -> Any:
    """In place of `in_spark`: there is no Spark."""
    return work()


async def test_user_erased_after_spark_was_told_who_is_has_no_history_in_what_it_made(
    database_url: str, opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_log, "in_spark", at_once)
    histories = fold([decode_message(json.dumps(event).encode()) for event in log(100)], {}, MODEL).histories
    encoded = [encode_history(history) for history in histories.values()]
    made: Any = Made(pa.table({"id": list(histories), "value": encoded}))
    spark = spark_log.SparkLog(None, [], "", 0, ImportOptions())
    async with building.connection(database_url) as live, building.connection(database_url, building=True) as built:
        await begin(database_url, live)
        _, progress = await unfinished(live)
        await erase(opened)
        job = Job(
            database_url=database_url,
            number=0,
            of=1,
            model=MODEL,
            counted_until=datetime.now(UTC),
            erasure=progress.erasure,
            dedupe_days=35.0,
            latest_ms=0,
        )
        await spark._load(live, built, made, job, lambda _: None)
    assert tuple(await pool.fetchrow(_LEFT)) == (0, True)


async def test_users_are_erased_while_tables_are_left_that_a_superuser_has_made(
    stack: Stack, database_url: str, opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_connection: asyncpg.Connection) -> None:
        raise asyncpg.LockNotAvailableError("lock timeout")

    monkeypatch.setattr(building, "drop_former", fails)
    of_superuser = as_superuser(stack, database_url)
    async with building.connection(of_superuser) as live, building.connection(of_superuser, building=True) as built:
        await begin(of_superuser, live)
        await live.execute("ALTER SCHEMA reco_building OWNER TO CURRENT_USER")  # as earlier releases left it
        rebuild = await begin(of_superuser, live)
        await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(100))
        async with built.transaction():
            await building.index_pairs(built)
        await rebuild.catch_up(built)
        await erase(opened)
        assert tuple(await pool.fetchrow(_LEFT)) == (0, True)
        assert not (await swap(rebuild, built, lambda _: None, fewer_are_fine=True, actor="ann")).is_tidy
        await erase(opened)
    async with opened.connection() as connection:
        assert await building.schemas(connection) == ["reco_building", "reco_retired"]
        await building.drop(connection)
        assert await building.schemas(connection) == []
