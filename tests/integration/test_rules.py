"""The rules of what is served: stored, refused, and announced to the processes that serve."""

import asyncio
from typing import Any, Final

import asyncpg
import pytest

from app.adapters import changes, rules
from app.adapters.postgres import Database
from app.adapters.rules import StoredRule
from app.core.rules import MAX_RULES, Rule
from app.options import pool_options
from app.serving.change_feed import ChangeFeed
from app.settings import Settings
from tests.support.api import serving
from tests.support.pipeline import running

PIN: Final = {"action": "pin", "item_id": "alien", "position": 2}
BOOST: Final = {"action": "boost", "tag": "1979", "factor": 0.5, "within": "film", "note": "for a while"}


async def test_a_rule_is_stored_replaced_listed_and_removed(settings: Settings) -> None:
    async with serving(settings) as client:
        assert (await client.get("/rules/a%2Fb")).status_code == 404
        created = await client.put("/rules/a%2Fb", json={**PIN, "ends_at": "2020-01-01T01:00:00+01:00"})
        assert created.status_code == 201
        stored = (await client.get("/rules/a%2Fb")).json()
        assert stored == created.json()
        assert (stored["rule_id"], stored["ends_at"], stored["active"]) == ("a/b", "2020-01-01T00:00:00Z", False)
        replaced = await client.put("/rules/a%2Fb", json=BOOST)
        assert replaced.status_code == 200
        shown = replaced.json()
        assert {name: shown[name] for name in BOOST} == BOOST
        assert [shown[name] for name in ("item_id", "position", "ends_at", "active")] == [None, None, None, True]
        await client.put("/rules/Z", json=PIN)
        listed = (await client.get("/rules")).json()["rules"]
        assert [rule["rule_id"] for rule in listed] == ["Z", "a/b"]
        assert listed[1] == shown
        removed = await client.delete("/rules/a%2Fb")
        assert (removed.status_code, removed.content) == (204, b"")
        assert (await client.delete("/rules/a%2Fb")).status_code == 404
        assert [rule["rule_id"] for rule in (await client.get("/rules")).json()["rules"]] == ["Z"]


REFUSED: Final = [
    ({"action": "hide", "item_id": "i"}, "$.action"),
    ({"item_id": "i", "position": 1}, "$"),
    ({**PIN, "position": 0}, "$.position"),
    ({**PIN, "position": 201}, "$.position"),
    ({"action": "pin", "category": "c", "position": 1}, "$"),
    ({"action": "pin", "item_id": "i", "position": 1, "factor": 2}, "$"),
    ({"action": "boost", "item_id": "i", "factor": -0.1}, "$.factor"),
    ({"action": "boost", "item_id": "i", "factor": 10.1}, "$.factor"),
    ({"action": "boost", "factor": 1}, "$"),
    ({"action": "boost", "item_id": "i", "tag": "t", "factor": 1}, "$"),
    ({**PIN, "item_id": ""}, "$.item_id"),
    ({**PIN, "note": "a\u0000"}, "$.note"),
    ({**PIN, "starts_at": "2020-01-01T00:00:00"}, "$.starts_at"),
    ({**PIN, "ends_at": "0001-01-01T00:00:00+14:00"}, "$.ends_at"),
    ({**PIN, "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2020-01-01T00:00:00Z"}, "$.ends_at"),
]


async def test_refusals_over_http(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        for body, path in REFUSED:
            refused = await client.put("/rules/r", json=body)
            assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, path), body
        assert (await client.put("/rules/r", content=b"{")).status_code == 400
        assert (await client.put("/rules/r", content=b" " * 20_000)).status_code == 413
        assert (await client.put(f"/rules/{'r' * 129}", json=PIN)).status_code == 422
        await pool.execute(
            "INSERT INTO serving_rules (rule_id, action, item_id, position) "
            f"SELECT 'r' || n, 'pin', 'i', 1 FROM generate_series(1, {MAX_RULES}) AS n"
        )
        full = await client.put("/rules/one-more", json=PIN)
        assert (full.status_code, full.json()["detail"][:23]) == (409, "There are 1000 rules al")
        assert (await client.put("/rules/r1", json=BOOST)).status_code == 200
    async with pool.acquire() as connection:
        assert len((await rules.read_rules(connection))._rules) == MAX_RULES


async def test_stored_rules_become_core_rules(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        assert not await rules.read_rules(connection)
        await connection.execute(
            "INSERT INTO serving_rules (rule_id, action, tag, factor, within, starts_at, ends_at, note) VALUES "
            "('r', 'boost', 't', 0.5, 'film', '1970-01-01 00:00:01Z', '1970-01-01 00:00:02.5Z', 'n')"
        )
        found = await rules.read_rules(connection)
    assert list(found._rules) == [
        Rule(
            rule_id="r",
            action="boost",
            tag="t",
            factor=0.5,
            within="film",
            starts_ms=1000,
            ends_ms=2500,
            note="n",
        )
    ]


@pytest.mark.parametrize(
    "columns",
    [
        {"action": "hide", "item_id": "i"},
        {"action": "pin", "item_id": "i"},
        {"action": "pin", "category": "c", "position": 1},
        {"action": "pin", "item_id": "i", "position": 1, "factor": 1.0},
        {"action": "boost", "factor": 1.0},
        {"action": "boost", "item_id": "i", "tag": "t", "factor": 1.0},
        {"action": "boost", "item_id": "i"},
        {"action": "boost", "item_id": "i", "factor": float("nan")},
        {"action": "boost", "item_id": "i", "factor": 1.0, "position": 1},
    ],
)
async def test_the_table_holds_only_rules(pool: asyncpg.Pool, columns: dict[str, Any]) -> None:
    rule = StoredRule(rule_id="r", **columns)
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await rules.store(connection, rule)


async def test_a_change_is_announced_with_it_and_none_without(settings: Settings, pool: asyncpg.Pool) -> None:
    rule = StoredRule(rule_id="r", action="pin", item_id="i", position=1)
    async with pool.acquire() as connection:
        before = await changes.newest(connection)
        transaction = connection.transaction()
        await transaction.start()
        await rules.store(connection, rule)
        await transaction.rollback()
        assert not await rules.delete(connection, "r")
        _, rows = await changes.read(connection, before, [])
        assert rows == []

    heard: asyncio.Queue[list[str]] = asyncio.Queue()
    database = Database(settings.database_url, pool_options(settings))
    await database.open()
    feed = ChangeFeed(database, lambda item_ids: heard.put_nowait(list(item_ids)), lambda: None)
    async with running(feed), pool.acquire() as connection:
        await rules.store(connection, rule)
        assert await asyncio.wait_for(heard.get(), 20) == [changes.RULES_CHANGED]
        await rules.delete(connection, "r")
        assert await asyncio.wait_for(heard.get(), 20) == [changes.RULES_CHANGED]
    await database.close(timeout_sec=5)
