"""What shown places led to: conversions, revenue and watch time, in whatever order and slices the events arrive."""

import random
from datetime import timedelta
from typing import Any, Final

import asyncpg
import pytest

from app.adapters import analytics
from app.settings import Settings
from tests.integration.test_analytics import A_YEAR, post, roll_up
from tests.integration.test_analytics_bounds import Log
from tests.support.api import serving

SUMS: Final = (
    "SELECT placement, source, variant, sum(shown), sum(clicked), sum(converted), sum(watches), sum(watch_sec)"
    " FROM analytics_conversions GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
REVENUE: Final = (
    "SELECT placement, source, variant, currency, sum(revenue) FROM analytics_revenue GROUP BY 1, 2, 3, 4"
    " HAVING sum(revenue) <> 0 ORDER BY 1, 2, 3, 4"
)


def places(feed: str, *items: str) -> list[dict[str, Any]]:
    return [{"item_id": item, "position": place, "feed_id": feed} for place, item in enumerate(items)]


async def test_conversions_and_revenue_by_day_placement_source_and_variant(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    about = {"request_id": "r1"}
    async with serving(settings) as client:
        for name, meaning in (("subscribe", "consumption"), ("wishlist", "interest")):
            await client.put(f"/event-types/{name}", json={"weight": 1.0, "meaning": meaning})
        context = {"sources": ["popular", "covisitation", "popular"], "variant": "bolder"}
        await post(client, "/log/impression", items=places("home", "a", "b", "c"), context=context, **about)
        await post(client, "/log/impression", items=places("cart", "z"), request_id="r2")
        bought = {"event_type": "purchase", "item_id": "a", "value": 20.0, "currency": "EUR", **about}
        await post(client, "/event", event_id="bought-a", **bought)
        await post(client, "/event", **{**bought, "value": 5.0})
        await post(client, "/event", event_type="subscribe", item_id="b", value=3.0, currency="USD", **about)
        await post(client, "/event", event_type="wishlist", item_id="c", **about)
        await post(client, "/event", event_type="click", item_id="a", **about)
        await post(client, "/log/watch", item_id="c", watch_time_sec=30, **about)
        # Nothing that was shown: another request, no request.
        await post(client, "/event", **{**bought, "request_id": "r9"})
        await post(client, "/event", event_type="purchase", item_id="z", value=9.0, currency="EUR")
        await roll_up(pool)
        found = (await client.get("/analytics/conversions?days=2")).json()
        total = found["total"]
        assert (total["shown"], total["clicked"], total["converted"], total["watches"]) == (4, 1, 2, 1)
        assert total["conversion"]["value"] == 0.5
        assert [(one["currency"], one["total"]) for one in total["revenue"]] == [("EUR", 25.0), ("USD", 3.0)]
        assert total["revenue"][0]["per_thousand_shown"]["value"] == 6250.0
        assert [(row["name"], row["converted"]) for row in found["by_placement"]] == [("home", 2), ("cart", 0)]
        assert [(row["name"], row["converted"]) for row in found["by_source"]] == [
            ("popular", 1),
            ("covisitation", 1),
            ("unknown", 0),
        ]
        variant, none = found["by_variant"]
        assert (none["name"], none["shown"], none["converted"]) == ("", 1, 0)
        assert (variant["name"], variant["shown"], variant["average_watch_sec"]["value"]) == ("bolder", 3, 30.0)
        (day,) = found["by_day"]
        assert day["shown"] == 4
        # An order that is cancelled is taken back, and so is what it was worth.
        await post(client, "/event", event_type="cancel", cancels="bought-a")
        await roll_up(pool)
        total = (await client.get("/analytics/conversions?days=2")).json()["total"]
        assert (total["converted"], total["revenue"][0]["total"]) == (2, 5.0)
        assert (await client.get("/analytics/conversions?days=31")).status_code == 422


async def test_the_variants_of_an_experiment_at_one_placement(settings: Settings, pool: asyncpg.Pool) -> None:
    shown = [
        ("r1", "home", {"experiment": "bold.1", "variant": "newer"}),
        ("r2", "home", {"experiment": "bold.2", "variant": "newer"}),
        ("r3", "home", {"experiment": "bold.1", "variant": "control"}),
        ("r4", "cart", {"experiment": "bold.1", "variant": "newer"}),
        ("r5", "home", {"experiment": "not a name", "variant": "newer"}),
        ("r6", "home", {"experiment": 7, "variant": ["newer"]}),
        ("r7", "home", {"experiment": "bold.1"}),
    ]
    async with serving(settings) as client:
        for request, feed, context in shown:
            await post(client, "/log/impression", items=places(feed, "a"), context=context, request_id=request)
        bought = {"event_type": "purchase", "item_id": "a", "value": 20.0, "currency": "EUR"}
        for request in ("r2", "r4"):
            await post(client, "/event", request_id=request, **bought)
        await roll_up(pool)

        async def figures(query: str, by: str) -> list[tuple[str, int, int, float]]:
            found = (await client.get(f"/analytics/conversions?{query}")).json()
            worth = [sum(one["total"] for one in row["revenue"]) for row in found[by]]
            return [(row["name"], row["shown"], row["converted"], w) for row, w in zip(found[by], worth, strict=True)]

        assert await figures("placement=home", "by_variant") == [
            ("", 3, 0, 0),
            ("bold/newer", 2, 1, 20.0),
            ("bold/control", 1, 0, 0),
        ]
        assert await figures("variant=", "by_placement") == [("home", 3, 0, 0)]
        assert await figures("variant=bold/newer", "by_placement") == [("home", 2, 1, 20.0), ("cart", 1, 1, 20.0)]
        assert await figures("source=unknown&variant=bold/control", "by_source") == [("unknown", 1, 0, 0)]
        assert await figures("placement=nowhere", "by_day") == []
        assert (await client.get("/analytics/conversions?placement=%00")).status_code == 422


async def test_coverage_is_of_the_catalogue_and_merges_over_lists_and_slices(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    async with serving(settings) as client:
        items = [{"item_id": name} for name in "abcdefgh"]
        assert (await client.post("/items", json={"items": items})).status_code == 200
        for request, feed, names in (("r1", "home", "ab"), ("r2", "cart", "bc"), ("r3", "home", "adx")):
            context = {"sources": ["popular"] * len(names), "variant": "bold" if request == "r1" else "control"}
            await post(client, "/log/impression", items=places(feed, *names), context=context, request_id=request)
            await roll_up(pool)
        found = (await client.get("/analytics/conversions")).json()

        def covered(rows: list[dict[str, Any]]) -> dict[str, float]:
            return {row["name"]: round(8 * row["coverage"]["value"], 1) for row in rows}

        assert covered([found["total"]]) == {"": 4}  # x is not in the catalogue
        assert covered(found["by_placement"]) == {"home": 3, "cart": 2}
        assert covered(found["by_source"]) == {"popular": 4}
        assert covered(found["by_variant"]) == {"control": 4, "bold": 2}
        assert list(covered(found["by_day"]).values()) == [4]
        coverage = found["total"]["coverage"]
        assert coverage["low"] <= 0.5 <= coverage["high"]
        home = (await client.get("/analytics/conversions?placement=home&variant=control")).json()
        assert covered([home["total"]]) == {"": 2}
        # What was shown before changes nothing.
        before = await pool.fetch("SELECT xmin::text FROM analytics_coverage ORDER BY 1")
        context = {"sources": ["popular"] * 2, "variant": "bold"}
        await post(client, "/log/impression", items=places("home", "a", "b"), context=context, request_id="r4")
        await roll_up(pool)
        assert await pool.fetch("SELECT xmin::text FROM analytics_coverage ORDER BY 1") == before


@pytest.mark.parametrize("seed", range(6))
async def test_events_in_any_order_and_slices_have_the_sums_of_one_slice(pool: asyncpg.Pool, seed: int) -> None:
    rng = random.Random(seed)
    log = Log()
    for number in range(60):
        request, user = f"r{rng.randrange(6)}", f"u{rng.randrange(3)}"
        item = rng.choice("abc")
        kind = rng.choice(["impression", "click", "watch", "purchase", "purchase", "cancel"])
        if kind == "impression":
            items = [{"item_id": one, "position": place, "feed_id": "home"} for place, one in enumerate("abc")]
            log.add(kind, request, user, items=items, context={"sources": ["popular"] * 3})
        elif kind == "cancel":
            # Of what is there, or is yet to come; an event is taken back once.
            log.add(kind, None, user, cancels=f"event-{number + rng.randrange(-10, 5):06}")
        else:
            more = {"watch_time_sec": 10} if kind == "watch" else {"value": float(number), "currency": "EUR"}
            log.add(kind, request, user, item_id=item, **more)
    found = []
    async with pool.acquire() as connection:
        for longest in (A_YEAR, timedelta(minutes=7), timedelta(minutes=1)):
            await log.store(connection)
            while (done := await analytics.roll_up(connection, longest)) is None or not done.done:
                pass
            found.append((await connection.fetch(SUMS), await connection.fetch(REVENUE)))
    assert found[0][0]
    assert found[1] == found[0]
    assert found[2] == found[0]
    (row,) = found[0][0]
    assert 0 <= row[5] <= row[3]


async def test_names_that_clients_make_up_are_bounded(pool: asyncpg.Pool) -> None:
    log = Log()
    for number in range(300):
        item = {"item_id": "a", "position": 0, "feed_id": f"feed-{number}"}
        log.add("impression", f"r{number}", items=[item], context={})
        currency = "".join(chr(65 + number // 26**place % 26) for place in range(3))
        log.add("purchase", f"r{number}", item_id="a", value=1.0, currency=currency)
    async with pool.acquire() as connection:
        await log.store(connection)
        while (done := await analytics.roll_up(connection, timedelta(hours=2))) is None or not done.done:
            pass
        names = await connection.fetchval("SELECT count(DISTINCT placement) FROM analytics_conversions")
        shown = await connection.fetchval("SELECT sum(shown) FROM analytics_conversions")
        currencies = await connection.fetchval("SELECT count(DISTINCT currency) FROM analytics_revenue")
    assert (names, shown, currencies) == (101, 300, 5)
