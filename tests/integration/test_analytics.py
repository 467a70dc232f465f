"""The KPIs: what is rolled up from the events, whatever order they arrive in, and what is answered of it."""

import time
from datetime import timedelta
from typing import Any

import asyncpg
import httpx

from app.adapters import analytics, conversions
from app.core.event_types import READY
from app.settings import Settings
from tests.support.api import serving, watch
from tests.support.item_sums import have_sums

A_YEAR = timedelta(days=365)
SUMS = (
    "analytics_shown",
    "analytics_watches",
    "analytics_items",
    "analytics_variants",
    "analytics_conversions",
    "analytics_revenue",
)


async def roll_up(pool: asyncpg.Pool) -> None:
    """All that has arrived; what settles by itself within a second is made older, to wait for no clock.

    From the beginning: the service's own maintenance may have rolled up a part of it.
    """
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("SELECT FROM analytics_progress FOR UPDATE")
            for table in SUMS:
                await connection.execute(f"DELETE FROM {table}")
            await connection.execute("UPDATE events SET received_at = received_at - interval '1 hour'")
            await connection.execute("UPDATE analytics_progress SET rolled_to = now() - interval '1 day'")
        while (done := await analytics.roll_up(connection, A_YEAR)) is None or not done.done:
            pass


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> None:
    answer = await client.post(path, json={"user_id": "ann", "session_id": "s1", **body})
    assert answer.status_code == 202, answer.text


def impression(*items: str, **more: Any) -> dict[str, Any]:
    sources = ["popular" if item == "c" else "covisitation" for item in items]
    return {
        "items": [{"item_id": item, "position": place} for place, item in enumerate(items)],
        "context": {"model_version": "m1", "sources": sources},
        **more,
    }


async def test_ctr_watch_time_and_coverage_in_total_and_by_source(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        catalogue = [{"item_id": name} for name in ("a", "b", "c", "d")]
        assert (await client.post("/items", json={"items": catalogue})).json() == {"created": 4, "replaced": 0}
        # Before, with and after the impression; twice the same click; a click on what was not shown; other users.
        await post(client, "/event", event_type="click", item_id="a", request_id="r1")
        await post(client, "/log/impression", **impression("a", "b", "c", request_id="r1"))
        await post(client, "/log/impression", **impression("a", "b", "c", request_id="r1"))
        await post(client, "/event", event_type="click", item_id="a", request_id="r1")
        await post(client, "/event", event_type="click", item_id="c", request_id="r1")
        await post(client, "/event", event_type="click", item_id="d", request_id="r1")
        await post(client, "/event", event_type="click", item_id="b")
        await post(client, "/log/watch", **watch(item_id="c", request_id="r1", watch_time_sec=30))
        await post(client, "/log/watch", **watch(item_id="d", watch_time_sec=90))
        await client.post("/event", json={**watch(watch_time_sec=None, item_id="b"), "user_id": "bob",
                                          "event_type": "click", "request_id": "r1"})  # fmt: skip
        await roll_up(pool)
        answer = (await client.get("/analytics/baseline?days=2")).json()
        total = answer["total"]
        assert (total["shown"], total["clicked"], total["watches"]) == (3, 2, 2)
        assert (total["ctr_at_20"], total["average_watch_sec"], total["coverage_at_20"]) == (0.666667, 60.0, 0.75)
        by_source = {(row["source"], row["model_version"]): row for row in answer["by_source"]}
        popular, near = by_source["popular", "m1"], by_source["covisitation", "m1"]
        assert (popular["shown"], popular["clicked"], popular["average_watch_sec"]) == (1, 1, 30.0)
        assert (near["shown"], near["clicked"], near["average_watch_sec"]) == (2, 1, None)
        assert (popular["coverage_at_20"], near["coverage_at_20"]) == (0.25, 0.5)


async def test_a_click_in_a_later_slice_finds_its_request_and_counts_once(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    async with serving(settings) as client:
        await post(client, "/event", event_type="click", item_id="a", request_id="r1")
        await post(client, "/log/impression", **impression("a", "b", request_id="r2"))
        await post(client, "/log/impression", **impression("a", "b", request_id="r1"))
        await post(client, "/event", event_type="click", item_id="b", request_id="r2")
        await post(client, "/event", event_type="click", item_id="b", request_id="r2")
        await post(client, "/log/impression", **impression("a", "b", request_id="r2"))
    # Without the service, whose maintenance rolls up as well.
    async with pool.acquire() as connection:
        # An hour between each and the next, and a slice for each.
        await connection.execute(
            "UPDATE events AS e SET received_at = now() - interval '1 day' + n.place * interval '1 hour'"
            " FROM (SELECT event_id, row_number() OVER (ORDER BY received_at) AS place FROM events) AS n"
            " WHERE n.event_id = e.event_id"
        )
        for table in SUMS:
            await connection.execute(f"DELETE FROM {table}")
        await connection.execute("UPDATE analytics_progress SET rolled_to = now() - interval '2 days'")
        slices = 0
        while (done := await analytics.roll_up(connection, timedelta(minutes=1))) is None or not done.done:
            slices += 1
        assert slices >= 6
    async with serving(settings) as client:
        total = (await client.get("/analytics/baseline")).json()["total"]
        assert (total["shown"], total["clicked"]) == (4, 2)


async def test_places_beyond_20_do_not_count(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        await post(client, "/log/impression", **impression(*(f"i{n}" for n in range(30)), request_id="r1"))
        await post(client, "/event", event_type="click", item_id="i25", request_id="r1")
        await roll_up(pool)
        total = (await client.get("/analytics/baseline")).json()["total"]
    assert (total["shown"], total["clicked"], total["ctr_at_20"]) == (20, 0, 0.0)


async def test_reco_logs_its_own_answer_with_sources(settings: Settings, pool: asyncpg.Pool) -> None:
    await have_sums(pool, a=2.0, b=1.0)
    async with serving(settings) as client:
        headers = {"X-Autolog-Impressions": "true", "X-Request-ID": "shown-1"}
        answer = (await client.get("/reco?user_id=ann&session_id=s1", headers=headers)).json()
        assert [item["item_id"] for item in answer["items"]] == ["a", "b"]
        assert (await client.get("/reco?user_id=ann")).status_code == 200
        unseen = await client.head("/reco?user_id=ann", headers={"X-Autolog-Impressions": "true"})
        assert unseen.status_code == 200
        refused = await client.get("/reco?user_id=ann", headers={"X-Autolog-Impressions": "yes"})
        assert refused.status_code == 422
        click = {"event_type": "click", "item_id": "b", "request_id": answer["request_id"]}
        await post(client, "/event", **click)
        await roll_up(pool)
        (row,) = (await client.get("/analytics/baseline")).json()["by_source"]
        assert (row["source"], row["shown"], row["clicked"]) == (answer["items"][0]["source"], 2, 1)
        assert row["model_version"] == answer["model_version"]
    assert await pool.fetchval("SELECT count(*) FROM events WHERE event_type = 'impression'") == 1


async def test_two_processes_roll_up_in_turns(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as one, pool.acquire() as other, one.transaction():
        assert await one.fetchval(analytics._SQL["lock_progress"]) is not None
        assert await analytics.roll_up(other, A_YEAR) is None


async def test_no_row_that_may_still_appear_is_passed_over(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as writer, pool.acquire() as other:
        transaction = writer.transaction()
        await transaction.start()
        began = await writer.fetchval("SELECT now()")
        async with other.transaction():
            assert await other.fetchval(analytics._SQL["settled"]) <= began
        await transaction.rollback()


async def test_the_contract_and_the_window_of_now(settings: Settings) -> None:
    async with serving(settings) as client:
        contract = (await client.get("/contract")).json()
        assert contract["limits"]["batch_events"] == 1000
        assert contract["event_types"] == ["watch", "impression", "view", "click", "purchase", "cancel", *READY]
        before = (await client.get("/metrics/reco")).json()["ingest"]["requests"]
        for _ in range(5):
            await client.post("/log/watch", json=watch())
        now = (await client.get("/metrics/reco")).json()
        assert now["ingest"]["requests"] == before + 5
        assert 0 < now["ingest"]["p50_ms"] <= now["ingest"]["p99_ms"]
        assert now["targets"] == contract["sla"]


async def test_the_queries_go_by_index_whatever_the_size(pool: asyncpg.Pool) -> None:
    """On tables of some size, with statistics: no query reads `events` from end to end."""
    async with pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO events (event_id, event_type, user_id, session_id, request_id, ts_ms, content_hash, payload,"
            " received_at) SELECT 'event-' || n, 'click', 'user-' || n % 5000, 's', 'request-' || n / 3,"
            " $1::bigint, '', '{}', now() - (200000 - n) * interval '1 second' FROM generate_series(1, 200000) AS n",
            time.time_ns() // 1_000_000,
        )
        await connection.execute("VACUUM ANALYZE events")
        minute = "now() - interval '2 minutes', now() - interval '1 minute'"
        for statement, arguments in (
            (analytics._SQL["roll_up"], f"{minute}, 20, 'preview', 1024, 200, NULL::text[], 20, 42"),
            (
                conversions._SQL["roll_up"],
                f"{minute}, 20, 'preview', 64, 200, NULL::text[], 100, 5, '{{purchase}}', 1024",
            ),
            (analytics._SQL["next_arrival"], minute),
            (analytics._SQL["freshness"], "30"),
        ):
            query = statement
            for number, argument in reversed([*enumerate(arguments.split(", "), start=1)]):
                query = query.replace(f"${number}", f"({argument})")
            rows = await connection.fetch(f"EXPLAIN {query}")
            plan = "\n".join(line for (line,) in rows)
            assert "Seq Scan on events" not in plan, plan
