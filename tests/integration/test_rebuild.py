"""`reco rebuild` against what the consumer counted: the same sums, whatever happens meanwhile."""

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from msgspec import structs

from app.adapters import erasures
from app.adapters.postgres import Database
from app.core.generation import RELEASE, encode_parameters
from app.errors import DependencyDown
from tests.support.consuming import incoming
from tests.support.pipeline import until
from tests.support.rebuilding import (
    assert_alike,
    count,
    generation,
    log,
    rebuild,
    rebuild_and_kill,
    rebuilt,
    start_rebuild,
    store,
    store_and_count,
    sums,
)
from tests.support.service import ROOT
from workers.batch import FeatureWriter

Pool = asyncpg.Pool


@pytest.mark.slow
@pytest.mark.shows("reco rebuild")
async def test_rebuilt_sums_are_those_that_were_counted(database_url: str, opened: Database, pool: Pool) -> None:
    writer, events = FeatureWriter(opened, max_retries=1), log(3_000)
    await store_and_count(pool, writer, events)
    await store(pool, log(50, first=10_000))  # on their way: the consumer counts them later
    await pool.execute("UPDATE item_stats SET popularity = 7")  # a column of the release before
    before = await sums(pool)
    keys = await pool.fetch("SELECT item_id, item_key, created_at FROM item_stats ORDER BY 1")
    epoch = await pool.fetchval("SELECT epoch FROM cache_epoch")
    assert "The new generation serves" in await rebuilt(database_url)
    assert_alike(await sums(pool), before)
    assert await pool.fetch("SELECT item_id, item_key, created_at FROM item_stats ORDER BY 1") == keys
    assert await generation(pool) == 2
    assert await pool.fetchval("SELECT epoch FROM cache_epoch") != epoch
    assert await pool.fetchval("SELECT to_regnamespace('reco_building')") is None
    assert await pool.fetchval("SELECT to_regnamespace('reco_retired')") is None
    # The consumer goes on without a restart, with the statements that it has prepared and new items.
    more = [{**event, "item_id": "new"} if "item_id" in event else event for event in log(200, first=20_000)]
    await store_and_count(pool, writer, more)
    after = await sums(pool)
    await rebuilt(database_url)
    assert_alike(await sums(pool), after)
    recorded = await pool.fetch("SELECT targets, outcome FROM audit_log WHERE action = 'rebuild' ORDER BY recorded_at")
    assert [tuple(row) for row in recorded] == [(["generation 2"], "served"), (["generation 3"], "served")]


@pytest.mark.slow
async def test_schema_is_that_of_the_migrations_after_a_rebuild(
    database_url: str, opened: Database, pool: Pool
) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(100))
    given = (
        "SELECT attacl::text FROM pg_attribute WHERE attrelid = 'item_pairs'::regclass AND attname = 'weight' "
        "UNION ALL SELECT t.reloptions::text FROM pg_class AS r JOIN pg_class AS t ON t.oid = r.reltoastrelid "
        "WHERE r.oid = 'user_history'::regclass"
    )
    await pool.execute("GRANT SELECT (weight) ON item_pairs TO PUBLIC")
    await pool.execute("ALTER TABLE user_history SET (toast.autovacuum_enabled = off, toast.vacuum_truncate = off)")
    before = await pool.fetch(given)
    assert all(value for (value,) in before)
    await rebuilt(database_url)
    assert await pool.fetch(given) == before
    checked = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "migrate", "--check",
        cwd=ROOT, env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await checked.communicate()
    assert checked.returncode == 0, output


@pytest.mark.slow
async def test_killed_rebuild_goes_on_where_it_stopped(database_url: str, opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    await store_and_count(pool, writer, log(4_000))
    for reached in ("sum(events) > 0", "bool_and(events_done)"):
        await rebuild_and_kill(database_url, pool, once=partial(_slices_are, pool, reached))
    await store_and_count(pool, writer, log(300, first=30_000))
    before = await sums(pool)
    # As an earlier release has begun it.
    await pool.execute("ALTER TABLE reco_building.slices DROP COLUMN rejected, DROP COLUMN first_rejected")
    await rebuilt(database_url)
    assert await generation(pool) == 2
    assert_alike(await sums(pool), before)


async def _slices_are(pool: Pool, condition: str) -> bool:
    if await pool.fetchval("SELECT to_regclass('reco_building.slices')") is None:
        return False
    found: bool = await pool.fetchval(f"SELECT {condition} FROM reco_building.slices")
    return found


@pytest.mark.slow
async def test_what_is_counted_during_a_rebuild_is_not_lost(database_url: str, opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    await store_and_count(pool, writer, log(3_000))
    process = start_rebuild(database_url)
    number = 0
    while process.poll() is None:
        await store_and_count(pool, writer, log(20, first=40_000 + 20 * number))
        number += 1
    output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, output
    await store_and_count(pool, writer, log(50, first=80_000))
    assert await generation(pool) == 2
    counted = await sums(pool)
    await rebuilt(database_url)
    assert_alike(await sums(pool), counted)


@pytest.mark.slow
async def test_users_erased_during_a_rebuild_stay_erased(database_url: str, opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    await store_and_count(pool, writer, log(1_000))
    async with pool.acquire() as holder:
        process = start_rebuild(database_url)
        await until(partial(_slices_are, pool, "TRUE"), 60.0)
        # The rebuild waits for this lock before it reads what was counted meanwhile. Others may count.
        await holder.execute("SELECT pg_advisory_lock_shared(7236352)")
        await until(partial(_slices_are, pool, "bool_and(events_done)"), 60.0)
        async with opened.connection() as connection:
            begun = [await erasures.begin(connection, user) for user in ("user-1", "user-2")]
        again = {**log(1, first=50_000)[0], "user_id": "user-2", "event_type": "view", "item_id": "again"}
        await store(pool, [again])
        await writer.apply(incoming(json.dumps(again), headers=[("erasures", b"2")]))
        await erasures.finish(opened, [erasure for one in begun for erasure in one.erasures])
        assert await pool.fetchval("SELECT count(*) FROM reco_building.user_history WHERE user_id = 'user-1'") == 0
        await holder.execute("SELECT pg_advisory_unlock_shared(7236352)")
        output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, output
    found = (await sums(pool))["histories"]
    assert "user-1" not in found
    assert [entry.item_id for entry in found["user-2"].entries] == ["again"]


@pytest.mark.slow
async def test_events_that_are_no_longer_stored_are_told_and_taken_from_files(
    database_url: str, opened: Database, pool: Pool, tmp_path: Path
) -> None:
    writer, events = (
        FeatureWriter(opened, max_retries=1),
        [event for event in log(1_000) if event["event_type"] in ("view", "purchase")],
    )
    await store_and_count(pool, writer, events)
    before = await sums(pool)
    half = len(events) // 2
    old = [event["event_id"] for event in events[:half]]
    await pool.execute("DELETE FROM events WHERE event_id = ANY ($1)", old)
    code, output = await rebuild(database_url)
    assert (code, await generation(pool)) == (2, 1)

    def missing(name: str) -> str:
        of_type = [sum(event["event_type"] == name for event in some) for some in (events[:half], events)]
        return f"{of_type[0]:,} of {of_type[1]:,} of the type {name}"

    assert f"Events were counted that are not stored any more: {missing('view')}, {missing('purchase')}. They" in output
    # The file overlaps with what is stored, has a row twice, and one that cannot be read.
    file = tmp_path / "old.jsonl"
    lines = [json.dumps(event) for event in [*events[: half + 20], events[0]]]
    file.write_text("\n".join([*lines, "{"]))
    output = await rebuilt(database_url, str(file), "--json")
    assert f"that are no events, and were left out: 1. One of them: old.jsonl, line {half + 22}: not JSON" in output
    assert '"rejected_rows":1' in output.replace(" ", "")
    assert_alike(await sums(pool), before)
    code, output = await rebuild(database_url, "--yes")
    assert code == 0
    assert len((await sums(pool))["items"]) > 0
    assert await pool.fetchval("SELECT sum(views + purchases) FROM item_stats") == len(events) - half


@pytest.mark.slow
async def test_events_count_whose_dedupe_rows_expired_by_a_lower_setting(
    database_url: str, opened: Database, pool: Pool
) -> None:
    """As after RETENTION_DEDUPE_DAYS was raised."""
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(1_000))
    before = await sums(pool)
    await pool.execute(
        "UPDATE feature_event_consumed AS c SET consumed_at = e.received_at FROM events AS e "
        "WHERE e.event_id = c.event_id"
    )
    await pool.execute("DELETE FROM feature_event_consumed WHERE consumed_at < now() - interval '25 days'")
    lost = {**log(1, first=900)[0], "event_id": "event-lost"}  # younger than the oldest dedupe row
    await store(pool, [lost, *log(50, first=10_000)])
    await rebuilt(database_url)
    assert_alike(await sums(pool), before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "spark", "a.parquet"], "needs the package pyspark, which is not installed"),
        pytest.param(["--engine", "spark"], "--engine spark folds files: name some", marks=pytest.mark.slow),
        pytest.param(["--master", "local", "a.parquet"], "are for Spark: say --engine spark", marks=pytest.mark.slow),
    ],
)
async def test_spark_that_cannot_be_used_is_told(database_url: str, arguments: list[str], said: str) -> None:
    code, output = await rebuild(database_url, *arguments)
    assert (code, said in output) == (2, True), output


@pytest.mark.slow
async def test_unfinished_rebuild_is_given_up(database_url: str, opened: Database, pool: Pool) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(1_000))
    before = await sums(pool)
    await rebuild_and_kill(database_url, pool, once=partial(_slices_are, pool, "TRUE"))
    assert await generation(pool) == 1
    await rebuilt(database_url, "--drop")
    assert await pool.fetchval("SELECT to_regnamespace('reco_building')") is None
    assert await pool.fetchval("SELECT count(*) FROM feature_generations") == 1
    assert_alike(await sums(pool), before)


@pytest.mark.slow
async def test_consumer_counts_with_the_stored_parameters_and_takes_another_generation_without_a_restart(
    database_url: str, opened: Database, pool: Pool
) -> None:
    stored = structs.replace(RELEASE, pair_window=1)
    await pool.execute(
        "INSERT INTO feature_generations (generation, state, parameters) VALUES (1, 'serving', $1::text::jsonb)",
        encode_parameters(stored),
    )
    writer, events = FeatureWriter(opened, max_retries=1), log(400)
    await store_and_count(pool, writer, events)
    near = len((await sums(pool))["pairs"])
    await rebuilt(database_url)
    assert len((await sums(pool))["pairs"]) > near
    await store_and_count(pool, writer, log(200, first=60_000))
    counted = await sums(pool)
    await rebuilt(database_url)
    assert_alike(await sums(pool), counted)


@pytest.mark.slow
async def test_consumer_adds_nothing_to_sums_that_it_cannot_honour(
    database_url: str, opened: Database, pool: Pool
) -> None:
    await pool.execute(
        "INSERT INTO feature_generations (generation, state, parameters) VALUES (1, 'serving', $1::text::jsonb)",
        encode_parameters(structs.replace(RELEASE, fold=0, click_weight=0.4)),
    )
    writer, events = FeatureWriter(opened, max_retries=1), log(100)
    await store(pool, events)
    with pytest.raises(DependencyDown, match=r"click_weight is 0\.4 in the stored sums and 0\.5.*fold.*`reco rebuild`"):
        await count(writer, events)
    assert await pool.fetchval("SELECT count(*) FROM feature_event_consumed") == 0
    await rebuilt(database_url)
    await count(writer, events)
    assert await pool.fetchval("SELECT count(*) FROM feature_event_consumed") == 100


@pytest.mark.slow
async def test_unfinished_rebuild_goes_on_by_the_options_that_it_was_begun_with(
    database_url: str, opened: Database, pool: Pool, tmp_path: Path
) -> None:
    events = [event for event in log(2_000) if event["event_type"] == "purchase"]
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), events)
    before = await sums(pool)
    file = tmp_path / "old.csv"
    row = "{user_id},{item_id},{ts_ms},{event_id}\n".format_map
    file.write_text("user_id,item_id,time,event_id\n" + "".join(map(row, events)))
    purchases = (str(file), "--event-type", "purchase")
    await rebuild_and_kill(database_url, pool, *purchases, once=partial(_slices_are, pool, "TRUE"))
    code, output = await rebuild(database_url, str(file), "--event-type", "click")
    assert (code, "begun with other options" in output) == (2, True), output
    await rebuilt(database_url, *purchases)
    assert await generation(pool) == 2
    assert_alike(await sums(pool), before)
