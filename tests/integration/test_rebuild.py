"""`reco rebuild` against what the consumer counted: the same sums, whatever happens meanwhile."""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from msgspec import structs

from app.adapters import erasures
from app.adapters.postgres import Database
from app.core.features import decode_history
from app.core.generation import RELEASE, encode_parameters
from app.errors import DependencyDown
from tests.support.consuming import incoming
from tests.support.pipeline import database, until
from tests.support.rebuilding import start_rebuild
from tests.support.service import ROOT
from workers.batch import FeatureWriter

Pool = asyncpg.Pool
BEGIN: Final = datetime.now(UTC) - timedelta(days=31)
SUMS: Final = (
    "popular_hours, popular_day, popular_week, frequency, returns, events, users, first_ms, popular_ms, impressions, "
    "views, clicks, purchases, watches, watch_ms"
)


@pytest.fixture
async def opened(database_url: str) -> AsyncIterator[Database]:
    async with database(database_url) as opened:
        yield opened


def log(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Events of some users, some of them late, in order of arrival: a hundred a day, and from the 3,000th on one a
    second, so that logs may follow each other.
    """
    chance = random.Random(first)
    made = []
    for number in range(count):
        place = first + number
        days = place / 100 if place < 3_000 else 30 + (place - 3_000) / 86_400
        received = BEGIN + timedelta(days=days)
        late = timedelta(hours=chance.random() * 3 if chance.random() < 0.1 else 0)
        kind = chance.choice(["view", "click", "purchase", "watch", "impression"])
        item = f"item-{int(40 * chance.random() ** 2)}"
        of_kind: dict[str, Any] = {"item_id": item}
        if kind == "watch":
            of_kind |= {"watch_time_sec": 300 * chance.random()}
        elif kind == "impression":
            of_kind = {"items": [{"item_id": item, "position": 1}]}
        made.append(
            {
                "v": 1,
                "event_type": kind,
                "event_id": f"event-{place:06d}",
                "user_id": f"user-{int(20 * chance.random())}",
                "session_id": "s1",
                "ts_ms": round((received - late).timestamp() * 1000),
                "received_ms": round(received.timestamp() * 1000),
                **of_kind,
            }
        )
    return made


async def store(pool: Pool, events: Sequence[dict[str, Any]]) -> None:
    """As accepted, at their times of receipt."""
    await pool.executemany(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at, "
        "erasures) VALUES ($1, $2, $3, 's1', $4, '', $5::text::jsonb, to_timestamp($6::float8 / 1000), "
        "pg_sequence_last_value('erasure_numbers')::integer)",
        [
            (e["event_id"], e["event_type"], e["user_id"], e["ts_ms"], json.dumps(e), float(e["received_ms"]))
            for e in events
        ],
    )


async def count(writer: FeatureWriter, events: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(events), 100):
        await writer.apply(incoming(*(json.dumps(event) for event in events[start : start + 100])))


async def store_and_count(pool: Pool, writer: FeatureWriter, events: Sequence[dict[str, Any]]) -> None:
    await store(pool, events)
    await count(writer, events)


async def sums(pool: Pool) -> dict[str, Any]:
    """Everything that is rebuilt, by ids."""
    items = await pool.fetch(f"SELECT item_id, {SUMS} FROM item_stats")
    pairs = await pool.fetch(
        "SELECT a.item_id AS a, b.item_id AS b, p.weight, p.met::float8, p.a_to_b, p.b_to_a FROM item_pairs AS p "
        "JOIN item_stats AS a ON a.item_key = p.item_a JOIN item_stats AS b ON b.item_key = p.item_b"
    )
    users = await pool.fetch("SELECT user_id, history FROM user_history WHERE history <> ''")
    return {
        "items": {row[0]: list(row)[1:] for row in items},
        "pairs": {(row[0], row[1]): list(row)[2:] for row in pairs},
        "histories": {row[0]: decode_history(row[1]) for row in users},
    }


def assert_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    for part in ("items", "pairs"):
        assert one[part].keys() == other[part].keys()
        for key, values in one[part].items():
            assert values == pytest.approx(other[part][key], rel=1e-6), (part, key)
    assert one["histories"].keys() == other["histories"].keys()
    for user, history in one["histories"].items():
        again = other["histories"][user]
        assert history.seen_hashes == again.seen_hashes
        assert [structs.replace(entry, other_weight=0) for entry in history.entries] == [
            structs.replace(entry, other_weight=0) for entry in again.entries
        ], user
        assert [entry.other_weight for entry in history.entries] == pytest.approx(
            [entry.other_weight for entry in again.entries]
        )


async def rebuild(database_url: str, *arguments: str) -> tuple[int, str]:
    process = start_rebuild(database_url, *arguments)
    output, _ = await asyncio.to_thread(process.communicate, timeout=100)
    return process.returncode, output


async def rebuilt(database_url: str, *arguments: str) -> str:
    code, output = await rebuild(database_url, *arguments)
    assert code == 0, output
    return output


async def generation(pool: Pool) -> int:
    found: int = await pool.fetchval("SELECT generation FROM feature_generations WHERE state = 'serving'")
    return found


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


async def test_schema_is_that_of_the_migrations_after_a_rebuild(
    database_url: str, opened: Database, pool: Pool
) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(100))
    await rebuilt(database_url)
    checked = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "migrate", "--check",
        cwd=ROOT, env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await checked.communicate()
    assert checked.returncode == 0, output


async def test_killed_rebuild_goes_on_where_it_stopped(database_url: str, opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    await store_and_count(pool, writer, log(4_000))
    for reached in ("sum(events) > 0", "bool_and(events_done)"):
        process = start_rebuild(database_url)
        await until(partial(_slices_are, pool, reached), 60.0)
        process.kill()
        await asyncio.to_thread(process.communicate, timeout=60)
    await store_and_count(pool, writer, log(300, first=30_000))
    before = await sums(pool)
    await rebuilt(database_url)
    assert await generation(pool) == 2
    assert_alike(await sums(pool), before)


async def _slices_are(pool: Pool, condition: str) -> bool:
    if await pool.fetchval("SELECT to_regclass('reco_building.slices')") is None:
        return False
    found: bool = await pool.fetchval(f"SELECT {condition} FROM reco_building.slices")
    return found


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
            erased = [await erasures.begin(connection, user) for user in ("user-1", "user-2")]
        again = {**log(1, first=50_000)[0], "user_id": "user-2", "event_type": "view", "item_id": "again"}
        await store(pool, [again])
        await writer.apply(incoming(json.dumps(again), headers=[("erasures", b"2")]))
        await erasures.finish(opened, [erasure for erasure, _ in erased])
        assert await pool.fetchval("SELECT count(*) FROM reco_building.user_history WHERE user_id = 'user-1'") == 0
        await holder.execute("SELECT pg_advisory_unlock_shared(7236352)")
        output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, output
    found = (await sums(pool))["histories"]
    assert "user-1" not in found
    assert [entry.item_id for entry in found["user-2"].entries] == ["again"]


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
    assert f"{len(events):,} events were counted, and {len(events) - half:,} are stored" in output
    # The file overlaps with what is stored, has a row twice, and one that cannot be read.
    file = tmp_path / "old.jsonl"
    lines = [json.dumps(event) for event in [*events[: half + 20], events[0]]]
    file.write_text("\n".join([*lines, "{"]))
    await rebuilt(database_url, str(file))
    assert_alike(await sums(pool), before)
    code, output = await rebuild(database_url, "--yes")
    assert code == 0
    assert len((await sums(pool))["items"]) > 0
    assert await pool.fetchval("SELECT sum(views + purchases) FROM item_stats") == len(events) - half


async def test_unfinished_rebuild_is_given_up(database_url: str, opened: Database, pool: Pool) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(1_000))
    before = await sums(pool)
    process = start_rebuild(database_url)
    await until(partial(_slices_are, pool, "TRUE"), 60.0)
    process.kill()
    await asyncio.to_thread(process.communicate, timeout=60)
    assert await generation(pool) == 1
    await rebuilt(database_url, "--drop")
    assert await pool.fetchval("SELECT to_regnamespace('reco_building')") is None
    assert await pool.fetchval("SELECT count(*) FROM feature_generations") == 1
    assert_alike(await sums(pool), before)


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
