"""The figures of variants, from the answers of /reco over the sums to /analytics/baseline."""

import json
from datetime import timedelta
from typing import Any, Final

import asyncpg
import httpx
import pytest

from app.adapters import analytics
from app.core.variants import Variants, parse
from app.settings import Settings
from tests.integration.test_analytics import A_YEAR, impression, post, roll_up
from tests.support.api import serving, watch
from tests.support.item_sums import have_sums

HALF: Final = parse('[{"name": "bolder", "share": 0.5, "weights": {"popular_week": 2}}]')
ASSIGNED: Final = Variants("1", HALF)
USERS: Final = [f"user-{number}" for number in range(40)]


async def by_variant(client: httpx.AsyncClient, days: int = 2) -> dict[str, dict[str, Any]]:
    rows = (await client.get(f"/analytics/baseline?days={days}")).json()["by_variant"]
    return {row["variant"]: row for row in rows}


async def test_from_answers_over_clicks_to_the_figures_of_each_variant(settings: Settings, pool: asyncpg.Pool) -> None:
    """Every user is shown two items; under `bolder` half the users click both and watch long, under control none."""
    await have_sums(pool, a=2.0, b=1.0)
    members = {name: [user for user in USERS if ASSIGNED.of(user).name == name] for name in ("bolder", "control")}
    active = members["bolder"][: len(members["bolder"]) // 2]
    async with serving(settings, variants=HALF) as client:
        for user in USERS:
            answer = (await client.get(f"/reco?user_id={user}", headers={"X-Autolog-Impressions": "true"})).json()
            for item in answer["items"] if user in active else ():
                about = {"user_id": user, "request_id": answer["request_id"], "item_id": item["item_id"]}
                await post(client, "/event", event_type="click", **about)
                await post(client, "/log/watch", watch_time_sec=100, **about)
            # What nobody was shown, and what an operator looked at.
            await post(client, "/log/watch", **watch(user_id=user, watch_time_sec=7))
        preview = {"X-Autolog-Impressions": "true"}
        assert (await client.get("/reco?user_id=ann&variant=bolder", headers=preview)).status_code == 200
    async with serving(settings) as client:  # the first one has stored all that it logged
        assert await pool.fetchval("SELECT count(*) FROM events WHERE event_type = 'impression'") == len(USERS) + 1
        await roll_up(pool)
        found = await by_variant(client)
    assert list(found) == ["control", "bolder"]
    bolder, control = found["bolder"], found["control"]
    for name, row in found.items():
        # Two users may fall into one of the 1,024 groups with the same rank.
        assert abs(row["users"] - len(members[name])) <= 1
        assert row["shown"] == 2 * len(members[name])
    assert (bolder["clicked"], bolder["watches"]) == (2 * len(active), 2 * len(active))
    assert (control["clicked"], control["watches"]) == (0, 0)
    rate = len(active) / len(members["bolder"])
    assert bolder["ctr_at_20"]["value"] == pytest.approx(rate, abs=1e-6)
    assert bolder["average_watch_sec"] == {"value": 100.0, "low": 100.0, "high": 100.0}
    assert control["average_watch_sec"] is None
    # All or nothing for a user: as sure as one observation a user, Wilson's interval of 20 and not of 40.
    width = bolder["ctr_at_20"]["high"] - bolder["ctr_at_20"]["low"]
    assert width > 2 * 1.96 * (rate * (1 - rate) / (len(members["bolder"]) + 4)) ** 0.5 * 0.95
    assert control["ctr_at_20"]["value"] == control["ctr_at_20"]["low"] == 0.0
    assert control["ctr_at_20"]["high"] > 0.1
    difference = bolder["ctr_at_20_difference"]
    assert difference["value"] == pytest.approx(rate, abs=1e-6)
    assert 0.1 < difference["low"] < rate < difference["high"] <= 1.0
    assert control["ctr_at_20_difference"] is None
    assert bolder["average_watch_sec_difference"] is None


async def test_a_context_without_a_valid_variant_name_does_not_count(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        for number, variant in enumerate(
            ("bolder", "bolder", "control", "preview", "", None, 7, {"a": 1}, "Bolder", "x" * 40, "no name", "é")
        ):
            shown = impression("a", "b", request_id=f"r{number}")
            await post(client, "/log/impression", **{**shown, "context": {"variant": variant}})
        await roll_up(pool)
        found = await by_variant(client)
        total = (await client.get("/analytics/baseline")).json()["total"]
    assert {name: row["shown"] for name, row in found.items()} == {"control": 2, "bolder": 4, "7": 2}
    assert total["shown"] == 24


async def test_without_an_experiment_there_is_nothing_by_variant(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        await post(client, "/log/impression", **impression("a", request_id="r1"))
        await roll_up(pool)
        assert await by_variant(client) == {}


async def test_slices_add_up_to_what_one_slice_gives(settings: Settings, pool: asyncpg.Pool) -> None:
    """Clicks that come before, with and long after their impression, rolled up in one go and event by event."""
    async with serving(settings) as client:
        for number in range(12):
            user, request = f"user-{number % 5}", f"r{number}"
            about = {"user_id": user, "request_id": request}
            steps = [
                ("/log/impression", impression("a", "b", **about) | {"context": {"variant": "control"}}),
                ("/event", {**about, "event_type": "click", "item_id": "a"}),
                ("/log/watch", {**about, "item_id": "b", "watch_time_sec": number}),
            ]
            for path, body in steps[number % 3 :] + steps[: number % 3]:
                await post(client, path, **body)
    async with pool.acquire() as connection:
        await connection.execute(
            "UPDATE events AS e SET received_at = now() - interval '1 day' + n.place * interval '1 minute'"
            " FROM (SELECT event_id, row_number() OVER (ORDER BY md5(event_id)) AS place FROM events) AS n"
            " WHERE n.event_id = e.event_id"
        )
        sums = []
        for longest in (A_YEAR, timedelta(seconds=1)):
            await connection.execute("DELETE FROM analytics_variants")
            await connection.execute("UPDATE analytics_progress SET rolled_to = now() - interval '2 days'")
            while (done := await analytics.roll_up(connection, longest)) is None or not done.done:
                pass
            sums.append(await connection.fetch("SELECT * FROM analytics_variants ORDER BY day, user_group"))
    assert sums[0] == sums[1]
    assert sum(row["shown"] for row in sums[0]) == 24
    assert sum(row["clicked"] for row in sums[0]) == 12
    assert sum(row["watch_sec"] for row in sums[0]) == sum(range(12))


async def test_a_variant_is_compared_with_control_on_the_same_days(settings: Settings, pool: asyncpg.Pool) -> None:
    """Tuesday is a good day for everybody, and the variant had most of its users then, which is not its merit."""
    rows = [
        # (days ago, variant, shown and clicked by each of ten groups): 10 % on one day, 50 % on the other.
        (3, "control", 400, 40),
        (2, "control", 100, 50),
        (3, "late", 10, 1),
        (2, "late", 200, 100),
        (6, "control", 1000, 900),
        (1, "alone", 100, 1),
    ]
    for ago, variant, shown, clicked in rows:
        await pool.execute(
            "INSERT INTO analytics_variants (day, variant, user_group, top_rank, shown, clicked)"
            " SELECT (now() AT TIME ZONE 'UTC')::date - $1::integer, $2, n, 1, $3::integer + n, $4"
            " FROM generate_series(0, 9) AS n",
            ago,
            variant,
            shown - 4,  # groups differ a little, as they do
            clicked,
        )
    async with serving(settings) as client:
        found = await by_variant(client, 20)
        recent = await by_variant(client, 2)
    late = found["late"]["ctr_at_20_difference"]
    assert found["control"]["ctr_at_20"]["value"] > 0.6
    assert found["late"]["ctr_at_20"]["value"] == pytest.approx(0.48, abs=0.01)
    assert late["value"] == pytest.approx(0.0, abs=0.01)
    assert late["low"] < 0.0 < late["high"]
    assert found["alone"]["ctr_at_20_difference"] is None
    assert list(recent) == ["alone"]


async def test_sums_name_nobody_and_stay_after_an_erasure(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        shown = impression("a", "b", request_id="r1")
        await post(client, "/log/impression", **{**shown, "user_id": "erase-me", "context": {"variant": "control"}})
        await roll_up(pool)
        before = await by_variant(client)
        assert (await client.delete("/users/erase-me")).json()["events"] == 1
        assert await by_variant(client) == before
        stored = await pool.fetch("SELECT to_jsonb(a)::text AS row FROM analytics_variants AS a")
        assert [sorted(json.loads(row["row"])) for row in stored] == [
            ["clicked", "day", "shown", "top_rank", "user_group", "variant", "watch_sec", "watches"]
        ]
        assert "erase-me" not in stored[0]["row"]


async def test_an_answer_has_the_20_most_shown_variants_and_control(settings: Settings, pool: asyncpg.Pool) -> None:
    await pool.execute(
        "INSERT INTO analytics_variants (day, variant, user_group, top_rank, shown)"
        " SELECT (now() AT TIME ZONE 'UTC')::date, 'v' || n, 0, 1, n FROM generate_series(10, 99) AS n"
        " UNION ALL SELECT (now() AT TIME ZONE 'UTC')::date, 'control', 0, 1, 1"
    )
    async with serving(settings) as client:
        assert list(await by_variant(client)) == ["control", *(f"v{n}" for n in range(99, 79, -1))]
