"""Experiments as they are stored: what is refused, who counts, and what is left of an erased user."""

import asyncio
from datetime import timedelta
from typing import Any, Final

import asyncpg
import httpx
import pytest

from app.adapters import analytics, experiments
from app.settings import Settings
from tests.support.api import serving

NEW: Final = {
    "name": "bold",
    "hypothesis": "Newer items sell more.",
    "variants": [{"name": "newer", "share": 0.5, "weights": {"newness": 0.5}}],
    "primary": "conversion",
    "guards": ["ctr", "revenue", "watch_time"],
    "currency": "EUR",
    "window_days": 1,
}


async def start(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/experiments", json={**NEW, **changes})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def send(client: httpx.AsyncClient, user_id: str, **event: Any) -> None:
    sent = {"user_id": user_id, "session_id": "s", **event}
    answer = await client.post(
        "/log/impression" if "items" in event else "/log/batch", json=sent if "items" in event else [sent]
    )
    assert answer.status_code in (200, 202), answer.text
    assert answer.json().get("invalid", 0) == 0, answer.text


async def shown(client: httpx.AsyncClient, user_id: str, variant: str, experiment: str = "bold.1", **more: Any) -> None:
    await send(
        client,
        user_id,
        request_id=f"request-{user_id}",
        items=[{"item_id": item, "position": place} for place, item in enumerate(("a", "b"))],
        context={"experiment": experiment, "variant": variant},
        **more,
    )


async def grow_old(pool: asyncpg.Pool, hours: int) -> None:
    """As if all that was received had been received so many hours ago."""
    await pool.execute("UPDATE events SET received_at = received_at - make_interval(hours => $1)", hours)
    await pool.execute("UPDATE experiments SET stage_at = stage_at - make_interval(hours => $1)", hours)


async def roll_up(pool: asyncpg.Pool) -> None:
    """All that has arrived, from the beginning; what settles by itself within a second is made older."""
    await grow_old(pool, 1)
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("SELECT FROM analytics_progress FOR UPDATE")
            await connection.execute("DELETE FROM experiment_users")
            await connection.execute("UPDATE analytics_progress SET rolled_to = now() - interval '20 days'")
        while (done := await analytics.roll_up(connection, timedelta(days=90))) is None or not done.done:
            pass


async def figures(client: httpx.AsyncClient, name: str = "bold") -> dict[str, dict[str, Any]]:
    answer = await client.get(f"/experiments/{name}")
    assert answer.status_code == 200, answer.text
    return {row["variant"]: row for row in answer.json()["variants"]}


async def test_all_faults_of_an_experiment_are_named_at_once(settings: Settings) -> None:
    bad = {
        **NEW,
        "name": "Bold one",
        "variants": [
            {"name": "control", "share": 0.5005, "weights": {"nowness": 1}},
            {"name": "old", "share": 0.6, "model": 99},
        ],
        "guards": ["conversion"],
    }
    async with serving(settings) as client:
        answer = await client.post("/experiments", json=bad)
        found = {error["path"]: error["message"] for error in answer.json()["errors"]}
        assert answer.status_code == 422
        assert set(found) == {
            "$.name",
            "$.variants[0].name",
            "$.variants[0].weights.nowness",
            "$.variants[0].share",
            "$.variants",
            "$.variants[1].model",
            "$.guards",
            "$.currency",
        }
        assert "newness" in found["$.variants[0].weights.nowness"]
        unknown = await client.post("/experiments", json={**NEW, "primary": "sales", "alpha": 2})
        assert {error["path"] for error in unknown.json()["errors"]} == {"$.primary", "$.alpha"}
        assert "'conversion'" in unknown.text
        size = await client.post("/experiments:sample-size", json={"metric": "ctr", "baseline": 0.05, "share": 0.9,
                                                                   "control_share": 0.2})  # fmt: skip
        assert {error["path"] for error in size.json()["errors"]} == {"$.deviation", "$.control_share"}


async def test_faults_of_types_and_of_meaning_are_told_together(settings: Settings) -> None:
    bad = {
        **NEW,
        "name": "Bold one",
        "variants": [
            {"name": "old", "share": "half", "weights": {"nowness": 1, "newness": "much"}},
            {"name": "old", "model": 99, "surprise": True},
            "control",
        ],
        "primary": "sales",
        "guards": ["revenue", "revenue", "clicks"],
        "window_days": 0,
    }
    async with serving(settings) as client:
        answer = await client.post("/experiments", json=bad)
        assert answer.status_code == 422
        found = [error["path"] for error in answer.json()["errors"]]
        assert sorted(found) == [
            "$.guards",
            "$.guards[2]",
            "$.name",
            "$.primary",
            "$.variants",
            "$.variants[0].share",
            "$.variants[0].weights.newness",
            "$.variants[0].weights.nowness",
            "$.variants[1]",
            "$.variants[1]",
            "$.variants[1].model",
            "$.variants[2]",
            "$.window_days",
        ]
        await client.post("/experiments", json=NEW)
        shares = await client.put("/experiments/bold/shares", json={"shares": {"newer": "half", "odler": 0.2}, "at": 1})
        assert [error["path"] for error in shares.json()["errors"]] == ["$.shares.newer", "$", "$.shares.odler"]
        size = await client.post("/experiments:sample-size", json={"metric": "ctr", "baseline": 2, "power": "high"})
        assert [error["path"] for error in size.json()["errors"]] == ["$.power", "$.baseline", "$.deviation"]


async def test_shares_of_more_than_all_users_are_told_once(settings: Settings) -> None:
    bad = {**NEW, "variants": [{"name": name, "share": 0.6} for name in ("one", "other")]}
    async with serving(settings) as client:
        answer = await client.post("/experiments", json=bad)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {"path": "$.variants", "message": "the shares sum to 1.2; at most 0.99: the rest is control"}
        ]


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({"metric": "ctr", "baseline": 1.2, "deviation": 1}, "$.baseline", "shown places that are clicked, below 1"),
        ({"metric": "conversion", "baseline": 1}, "$.baseline", "users who buy, below 1"),
        ({"metric": "conversion", "baseline": 0.8, "minimum_effect": 0.5}, "$.minimum_effect", "by 0.25 at most"),
        ({"metric": "conversion", "baseline": 5e-324}, "$.baseline", ">= 1e-06"),
    ],
)
async def test_rate_above_one_is_refused(settings: Settings, given: dict[str, Any], path: str, message: str) -> None:
    async with serving(settings) as client:
        answer = await client.post("/experiments:sample-size", json=given)
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["path"]) == (422, path)
        assert message in error["message"]


async def test_two_processes_cannot_start_on_the_same_lists(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as one, serving(settings) as other:
        answers = await asyncio.gather(
            one.post("/experiments", json=NEW), other.post("/experiments", json={**NEW, "name": "other"})
        )
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        (refused,) = [answer.json()["detail"] for answer in answers if answer.status_code == 409]
        assert "runs on the lists reco" in refused
        await start(one, name="elsewhere", lists="rank")
        again = await other.post("/experiments", json={**NEW, "name": "elsewhere", "lists": "buy_again"})
        assert again.status_code == 409
        assert "another name" in again.json()["detail"]
        assert await pool.fetchval("SELECT count(*) FROM experiments WHERE ended_at IS NULL") == 2


async def test_name_of_a_deleted_experiment_stays_taken_for_90_days(settings: Settings, pool: asyncpg.Pool) -> None:
    async def end(name: str) -> None:
        assert (await client.post(f"/experiments/{name}/stop", json={})).status_code == 200
        assert (await client.delete(f"/experiments/{name}")).status_code == 204

    async with serving(settings) as client:
        await start(client)
        await end("bold")
        for days in (0, 89):
            await pool.execute("UPDATE experiment_names SET deleted_at = now() - make_interval(days => $1)", days)
            again = await client.post("/experiments", json=NEW)
            assert (again.status_code, again.json()["code"]) == (409, "name_taken")
        for name in ("bold", "other"):
            await pool.execute("UPDATE experiment_names SET deleted_at = now() - interval '91 days'")
            await start(client, name=name)
            await end(name)
            assert [kept for (kept,) in await pool.fetch("SELECT name FROM experiment_names")] == [name]


async def test_users_count_from_their_first_list_until_their_days_are_over(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    async with serving(settings) as client:
        await start(client)
        buy = {"event_type": "purchase", "item_id": "a"}
        await send(client, "ann", **buy, value=1000, currency="EUR")  # before the first list
        await shown(client, "ann", "newer")
        await shown(client, "bob", "control")
        await shown(client, "cid", "newer", experiment="bold.2")
        await shown(client, "dan", "preview")
        for user in ("ann", "bob"):
            await send(client, user, event_type="click", item_id="a", request_id=f"request-{user}")
        await send(client, "ann", **buy, value=30, currency="EUR", event_id="purchase-1")
        await send(client, "ann", **buy, value=7, currency="USD")
        await send(client, "bob", **buy, value=9, currency="EUR", event_id="purchase-2")
        await send(client, "bob", event_type="cancel", cancels="purchase-2")
        await send(client, "bob", event_type="watch", item_id="b", watch_time_sec=90)
        await grow_old(pool, 72)
        # Two days after the first list: no longer of its day.
        await send(client, "ann", **buy, value=500, currency="EUR")
        await shown(client, "eve", "newer")
        await roll_up(pool)
        found = await figures(client)
        newer, control = found["newer"], found["control"]
        assert (newer["exposed"], control["exposed"]) == (2, 1)
        assert {name: (row["users"], row["value"]) for name, row in newer["metrics"].items()} == {
            "conversion": (1, 1.0),
            "ctr": (1, 0.5),
            "revenue": (1, 30.0),
            "watch_time": (1, 0.0),
        }
        assert {name: row["value"] for name, row in control["metrics"].items()} == {
            "conversion": 0.0,
            "ctr": 0.5,
            "revenue": 0.0,
            "watch_time": 90.0,
        }
        assert newer["verdict"]["decision"] == "wait"
        # Its impressions are in no variant of the setting VARIANTS.
        assert (await client.get("/analytics/baseline")).json()["by_variant"] == []


async def test_new_shares_begin_a_stage_and_the_end_keeps_the_sums(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        await start(client)
        await shown(client, "ann", "newer")
        await roll_up(pool)
        assert (await figures(client))["newer"]["exposed"] == 1
        refused = await client.put("/experiments/bold/shares", json={"shares": {"newer": 0.7505, "older": 0.1}})
        assert {error["path"] for error in refused.json()["errors"]} == {"$.shares.newer", "$.shares.older"}
        changed = (await client.put("/experiments/bold/shares", json={"shares": {"newer": 0.25}})).json()
        assert (changed["experiment"], changed["shares"]) == ("bold.2", {"control": 0.75, "newer": 0.25})
        await shown(client, "bob", "newer")  # was made before the change
        await shown(client, "cid", "newer", experiment="bold.2")
        await roll_up(pool)
        assert (await figures(client))["newer"]["exposed"] == 1

        assert (await client.delete("/experiments/bold")).status_code == 409
        ended = (await client.post("/experiments/bold/stop", json={"conclusion": "enough"})).json()
        assert (ended["running"], ended["conclusion"]) == (False, "enough")
        assert (await client.post("/experiments/bold/stop", json={})).status_code == 409
        async with pool.acquire() as connection:
            await connection.execute("UPDATE analytics_progress SET rolled_to = now() + interval '1 minute'")
            await experiments.settle(connection)
            await connection.execute("DELETE FROM experiment_users")
        assert (await figures(client))["newer"]["exposed"] == 1
        assert (await client.delete("/experiments/bold")).status_code == 204
        assert (await client.get("/experiments/bold")).status_code == 404


async def test_an_erased_user_leaves_the_experiment_and_does_not_come_back(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    async with serving(settings) as client:
        await start(client)
        await shown(client, "ann", "newer")
        await shown(client, "bob", "newer")
        await roll_up(pool)
        assert (await client.delete("/users/ann")).status_code in (200, 204)
        assert [row["user_id"] for row in await pool.fetch("SELECT user_id FROM experiment_users")] == ["bob"]
        # While an erasure is under way, a roll-up that reads the events from before leaves the user out.
        await pool.execute("UPDATE user_erasures SET unfinished = TRUE, erased_at = now() + interval '1 d'")
        await shown(client, "ann", "newer")
        await roll_up(pool)
        assert [row["user_id"] for row in await pool.fetch("SELECT user_id FROM experiment_users")] == ["bob"]
