"""Variants over HTTP: who is served by which weights, who may look at others, and what is logged of it."""

import json
from typing import Any, Final

import asyncpg
import httpx
import pytest

from app.core.variants import Variants, parse
from app.settings import Settings
from tests.integration.test_keys import ADMIN, ADMIN_TOKEN, READ, READ_TOKEN, bearer
from tests.support.api import serving
from tests.support.item_sums import have_sums

TWO: Final = parse(
    '[{"name": "bolder", "share": 0.5, "weights": {"popular_week": 2}}, {"name": "new", "share": 0, "weights": {}}]'
)
ASSIGNED: Final = Variants("1", TWO)
USERS: Final = [f"user-{number}" for number in range(20)]


@pytest.fixture
async def popular_items(pool: asyncpg.Pool) -> None:
    await have_sums(pool, a=2.0, b=1.0)


async def reco(client: httpx.AsyncClient, user_id: str, more: str = "", **headers: str) -> dict[str, Any]:
    answer = await client.get(f"/reco?user_id={user_id}{more}", headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.usefixtures("popular_items")
async def test_a_user_is_ranked_by_the_weights_of_the_users_variant(settings: Settings) -> None:
    async with serving(settings, variants=TWO) as client:
        answers = {user: await reco(client, user) for user in USERS}
    labels = {user: answer["variant"] for user, answer in answers.items()}
    assert labels == {user: ASSIGNED.of(user).name for user in USERS}
    assert set(labels.values()) == {"bolder", "control"}
    # What is half as popular has a smaller share where popularity weighs more.
    second = {answer["variant"]: answer["items"][1]["score"] for answer in answers.values()}
    assert second["bolder"] < second["control"] < 1.0


@pytest.mark.usefixtures("popular_items")
@pytest.mark.shows("EXPERIMENT")
async def test_another_experiment_assigns_otherwise(settings: Settings) -> None:
    async with serving(settings, variants=TWO, experiment="spring") as client:
        labels = {user: (await reco(client, user))["variant"] for user in USERS}
    assert labels == {user: Variants("spring", TWO).of(user).name for user in USERS}
    assert labels != {user: ASSIGNED.of(user).name for user in USERS}


@pytest.mark.usefixtures("popular_items")
async def test_without_variants_an_answer_names_none(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        assert "variant" not in await reco(client, "ann", **{"X-Autolog-Impressions": "true"})
        refused = await client.get("/reco?user_id=ann&variant=control")
    assert refused.status_code == 404
    assert refused.json()["errors"] == [
        {"path": "$.variant", "message": "there are none: no experiment runs; or model-VERSION"}
    ]
    assert "variant" not in json.loads(await pool.fetchval("SELECT payload -> 'context' FROM events"))


@pytest.mark.usefixtures("popular_items")
async def test_an_operator_may_look_at_any_variant_without_being_counted(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    async with serving(settings, variants=TWO) as client:
        second = {}
        for name in ("bolder", "control", "new"):
            seen = await reco(client, "ann", f"&variant={name}", **{"X-Autolog-Impressions": "true"})
            assert seen["variant"] == "preview"
            second[name] = seen["items"][1]["score"]
        assert second["bolder"] < second["control"] == second["new"]
        own = await reco(client, "ann", **{"X-Autolog-Impressions": "true"})
        refused = await client.get("/reco?user_id=ann&variant=bolde")
    assert refused.json()["errors"][0]["message"] == "there are bolder, new, control; or model-VERSION"
    rows = await pool.fetch("SELECT payload -> 'context' ->> 'variant' AS variant FROM events")
    assert sorted(row["variant"] for row in rows) == sorted(["preview", "preview", "preview", own["variant"]])


@pytest.mark.usefixtures("popular_items")
async def test_where_keys_are_asked_for_only_operators_may_choose(settings: Settings) -> None:
    async with serving(settings, variants=TWO, api_keys=(READ.entry(), ADMIN.entry())) as client:
        assert (await reco(client, "ann", **bearer(READ_TOKEN)))["variant"] == ASSIGNED.of("ann").name
        for name in ("bolder", "nothing"):
            refused = await client.get(f"/reco?user_id=ann&variant={name}", headers=bearer(READ_TOKEN))
            assert (refused.status_code, "operate" in refused.json()["detail"]) == (403, True)
        assert (await reco(client, "ann", "&variant=bolder", **bearer(ADMIN_TOKEN)))["variant"] == "preview"
