"""What clients choose freely makes the KPIs neither slow nor large, and no share leaves the range from 0 to 1."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import metrics
from app.adapters import analytics
from app.adapters.analytics import SOURCES
from app.api.analytics import answer_of
from tests.support.pipeline import counted, database
from workers import gauges

SUMS = (
    "analytics_shown",
    "analytics_watches",
    "analytics_items",
    "analytics_variants",
    "analytics_conversions",
    "analytics_revenue",
)
NOW = datetime.now(UTC)
LAST_WEEK = NOW.date() - timedelta(days=7)


class Log:
    """Events a minute apart, the last one an hour ago."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []

    def add(self, kind: str, request_id: str | None, user_id: str = "ann", **payload: Any) -> None:
        self.rows.append((f"event-{len(self.rows):06}", kind, user_id, request_id, json.dumps(payload)))

    def impression(self, request_id: str | None, *items: str, user_id: str = "ann", **context: Any) -> None:
        places = [{"item_id": item, "position": place} for place, item in enumerate(items)]
        self.add("impression", request_id, user_id, items=places, context=context)

    async def store(self, connection: asyncpg.Connection) -> None:
        """Instead of all that was there."""
        await connection.execute("TRUNCATE events, items, item_stats, " + ", ".join(SUMS))
        start = NOW - timedelta(minutes=60 + len(self.rows))
        await connection.executemany(
            "INSERT INTO events (event_id, event_type, user_id, request_id, payload, session_id, ts_ms, content_hash,"
            " received_at) VALUES ($1, $2, $3, $4, $5::text::jsonb, 's', $6, '', $7)",
            [
                (*row, round(NOW.timestamp() * 1000), start + timedelta(minutes=number))
                for number, row in enumerate(self.rows)
            ],
        )
        await connection.execute("UPDATE analytics_progress SET rolled_to = $1", start)


async def roll_up(connection: asyncpg.Connection, longest: timedelta) -> None:
    while (done := await analytics.roll_up(connection, longest)) is None or not done.done:
        pass


async def test_repeated_request_id_costs_and_counts_a_bounded_number_of_events(pool: asyncpg.Pool) -> None:
    log = Log()
    for number in range(2_000):
        log.impression("again", f"item-{number}")
        log.add("click", "again", item_id=f"item-{number}")
    async with pool.acquire() as connection:
        await log.store(connection)
        await connection.execute("VACUUM ANALYZE events")
        before = await events_read(connection)
        await roll_up(connection, timedelta(minutes=100))
        read = await events_read(connection) - before
        total = (await analytics.read_baseline(connection, LAST_WEEK)).total
    assert total.shown <= 200
    assert read < 40 * 201 + len(log.rows)  # of the request in each slice, and each event once as an arrival


async def events_read(connection: asyncpg.Connection) -> int:
    """Rows that the index of request ids returned so far."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    await connection.fetchval("SELECT 1")
    return int(
        await connection.fetchval(
            "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'events_request_id'"
        )
    )


async def test_request_with_fewer_events_than_the_bound_counts_whole(pool: asyncpg.Pool) -> None:
    log = Log()
    for number in range(100):
        log.impression("once", f"item-{number}")
        log.add("click", "once", item_id=f"item-{number}")
    async with pool.acquire() as connection:
        await log.store(connection)
        await roll_up(connection, timedelta(minutes=7))
        total = (await analytics.read_baseline(connection, LAST_WEEK)).total
    assert (total.shown, total.clicked) == (100, 100)


@pytest.mark.parametrize("slice_minutes", [1, 1_000])
async def test_names_from_clients_make_a_bounded_number_of_rows_and_series(
    pool: asyncpg.Pool, database_url: str, slice_minutes: int
) -> None:
    log = Log()
    for number in range(60):
        names = [f"source-{number}-{place}" for place in range(20)]
        log.impression(
            f"r{number}", *(f"i{n}" for n in range(20)), sources=names, model_version=f"m{number}", variant=f"v{number}"
        )
    for number in range(3):  # the first names of the day keep their rows
        log.impression(f"s{number}", "a", sources=["popular"], model_version="m0", variant="v0")
        log.add("click", f"s{number}", item_id="a")
    async with pool.acquire() as connection:
        await log.store(connection)
        await roll_up(connection, timedelta(minutes=slice_minutes))
        rows = await connection.fetch("SELECT source, model_version, shown, clicked FROM analytics_shown")
        variants = await connection.fetchval("SELECT count(DISTINCT variant) FROM analytics_variants")
    assert {row["source"] for row in rows} == {"popular", "other"}
    assert len({row["model_version"] for row in rows}) == 21
    assert sum(row["shown"] for row in rows) == 60 * 20 + 3
    assert sum(row["clicked"] for row in rows) == 3
    assert variants == 42
    async with database(database_url) as opened:
        await gauges.observe_kpis(opened)
        assert shown_series() == {"popular": 3.0, "other": 1200.0}
        await pool.execute("DELETE FROM analytics_shown WHERE source = 'other'")
        await gauges.observe_kpis(opened)
        assert shown_series() == {"popular": 3.0}


async def test_gauges_read_no_item_of_each_source(pool: asyncpg.Pool, database_url: str) -> None:
    """They are set every half minute, and the table has a row for each item, source and version."""
    await pool.execute(
        "INSERT INTO analytics_items SELECT 's' || n % 9, 'm' || n % 20, n::text, now() "
        "FROM generate_series(1, 30000) AS s (n);"
        "INSERT INTO analytics_items SELECT '', '', n::text, now() FROM generate_series(1, 100) AS s (n);"
        "INSERT INTO items (item_id) SELECT n::text FROM generate_series(1, 50) AS s (n)"
    )
    await pool.execute("VACUUM ANALYZE analytics_items")
    blocks = await pool.fetchval("SELECT pg_relation_size('analytics_items') / 8192")
    (found,) = await pool.fetch(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + analytics._SQL["read_items"].rstrip(";"), LAST_WEEK, [""], [""]
    )
    (plan,) = json.loads(found[0])
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < blocks / 10
    async with database(database_url) as opened:
        await gauges.observe_kpis(opened)
    assert (counted(metrics.KPI_ITEMS_SHOWN), counted(metrics.KPI_CATALOGUE)) == (50.0, 50.0)


async def test_items_of_a_large_catalogue_are_not_gone_through_for_each_row(pool: asyncpg.Pool) -> None:
    """As from some 170,000 items on, which are more than the memory for a table of them holds."""
    await pool.execute(
        "INSERT INTO items (item_id) SELECT n::text FROM generate_series(1, 5000) AS s (n);"
        "INSERT INTO item_stats (item_id) SELECT n::text FROM generate_series(1, 5000) AS s (n);"
        "INSERT INTO analytics_items SELECT '', '', n::text, now() FROM generate_series(1, 5000) AS s (n);"
        "ANALYZE items; ANALYZE item_stats; ANALYZE analytics_items"
    )
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL work_mem = '64kB'")
        rows = await connection.fetch("EXPLAIN " + analytics._SQL["read_items"].rstrip(";"), LAST_WEEK, [""], [""])
    plan = "\n".join(row[0] for row in rows)
    assert "SubPlan" not in plan, plan


def shown_series() -> dict[str, float]:
    return {
        sample.labels["source"]: sample.value for family in metrics.KPI_SHOWN.collect() for sample in family.samples
    }


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    events=st.integers(1, 60),
    catalogue=st.integers(0, 3),
    minutes=st.sampled_from([1, 5, 1_000]),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shares_of_any_log_are_between_0_and_1(
    database_url: str, seed: int, events: int, catalogue: int, minutes: int
) -> None:
    chance = random.Random(seed)
    log = Log()
    for _ in range(events):
        user, request = chance.choice("ab"), chance.choice(["r1", "r2", None])
        if chance.random() < 0.5:
            log.impression(
                request,
                *chance.sample("wxyz", chance.randint(1, 4)),
                user_id=user,
                sources=[chance.choice([*SOURCES, "mine", ""])],
                model_version=chance.choice(["m1", "m2"]),
                variant=chance.choice(["control", "bolder"]),
            )
        else:
            log.add("click", request, user, item_id=chance.choice("wxyz"))

    async def figures() -> Any:
        connection = await asyncpg.connect(database_url)
        try:
            await log.store(connection)
            await connection.execute(
                "INSERT INTO items (item_id) SELECT substr('wxv', n, 1) FROM generate_series(1, $1::integer) AS n",
                catalogue,
            )
            await connection.execute("INSERT INTO item_stats (item_id, popularity, frequency) VALUES ('w', 1, 1)")
            await roll_up(connection, timedelta(minutes=minutes))
            found = await analytics.read_baseline(connection, LAST_WEEK)
            return answer_of(7, LAST_WEEK, found, await analytics.read_variants(connection, LAST_WEEK))
        finally:
            await connection.close()

    report = asyncio.run(figures())
    for row in (report.total, *report.by_source):
        assert row.clicked <= row.shown
        for share in (row.ctr_at_20, row.coverage_at_20):
            assert share is None or 0 <= share <= 1
    for row in report.by_variant:
        assert row.clicked <= row.shown
        assert row.ctr_at_20 is None or 0 <= row.ctr_at_20.value <= 1
