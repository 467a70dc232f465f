"""The catalogue, and what is kept of a user until it is erased."""

import time
from typing import Any

import asyncpg
import httpx
import redis

from app.adapters.postgres import Database
from app.core.messages import decode_message
from app.options import pool_options
from app.settings import Settings
from tests.support.api import serving, watch
from workers.batch import FeatureWriter, Incoming

ITEM = {
    "title": "Alien",
    "categories": ["horror", "space"],
    "tags": ["1979"],
    "published_at": "2020-01-01T00:00:00Z",
    "expires_at": None,
    "hidden": False,
}


async def test_an_item_is_stored_replaced_shown_and_removed(settings: Settings) -> None:
    async with serving(settings) as client:
        assert (await client.get("/items/a%2Fb")).status_code == 404
        created = await client.put("/items/a%2Fb", json=ITEM)
        assert created.status_code == 201
        stored = (await client.get("/items/a%2Fb")).json()
        assert stored == created.json()
        assert {name: stored[name] for name in [*ITEM, "item_id"]} == {**ITEM, "item_id": "a/b"}
        replaced = await client.put("/items/a%2Fb", json={"hidden": True})
        assert (replaced.status_code, replaced.json()["title"], replaced.json()["hidden"]) == (200, None, True)
        removed = await client.delete("/items/a%2Fb")
        assert (removed.status_code, removed.content) == (204, b"")
        assert (await client.delete("/items/a%2Fb")).status_code == 404


async def test_many_items_are_stored_all_or_none(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        items = [{"item_id": f"i{number}", **ITEM} for number in range(1000)]
        assert (await client.post("/items", json={"items": items})).json() == {"created": 1000, "replaced": 0}
        assert (await client.post("/items", json={"items": items[::-1]})).json() == {"created": 0, "replaced": 1000}
        for body, path in (
            ({"items": []}, "$.items"),
            ({"items": items * 2}, "$.items"),
            ({"items": [{"item_id": "n1"}, {"item_id": "n1"}]}, "$.items[1].item_id"),
            ({"items": [{"item_id": "n1"}, {"item_id": "n2", "title": ""}]}, "$.items[1].title"),
            ({"items": [{"item_id": "n1", "expires_at": "2020-01-01T00:00:00"}]}, "$.items[0].expires_at"),
            ({"items": [{"item_id": "n1", "expires_at": "0001-01-01T00:00:00+14:00"}]}, "$.items[0].expires_at"),
        ):
            refused = await client.post("/items", json=body)
            assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, path)
        faulty = [
            {"item_id": "n1"},
            {"item_id": "n2", "title": ""},
            {"title": "n3"},
            {"item_id": "n4", "tags": ["a", 1]},
        ]
        refused = await client.post("/items", json={"items": faulty})
        paths = [fault["path"] for fault in refused.json()["errors"]]
        assert (refused.status_code, paths) == (422, ["$.items[1].title", "$.items[2]", "$.items[3].tags[1]"])
        refused = await client.post("/items", json={"items": [{"item_id": "n", "title": ""}] * 1000})
        assert (refused.status_code, len(refused.json()["errors"])) == (422, 100)
        assert (await client.post("/items", content=b'{"items": [')).status_code == 400
    assert await pool.fetchval("SELECT count(*) FROM items") == 1000


async def consume(settings: Settings, payloads: list[str]) -> int:
    """Counts these messages as the consumer does; returns how many changed a feature."""
    database = Database(settings.database_url, pool_options(settings))
    await database.open()
    incoming = [Incoming(None, "t", decode_message(payload.encode()), None) for payload in payloads]
    try:
        return (await FeatureWriter(database, max_retries=1).apply(incoming)).counted
    finally:
        await database.close(timeout_sec=5)


async def test_erasure_is_everywhere_and_stays(settings: Settings, pool: asyncpg.Pool, redis_url: str) -> None:
    async with serving(settings) as client:
        await client.put("/items/alien", json={"title": "Alien"})
        for item_id in ("alien", "heat"):
            assert (await client.post("/log/watch", json=watch(item_id=item_id))).status_code == 202
        payloads = [payload for (payload,) in await pool.fetch("SELECT payload FROM event_outbox ORDER BY id")]
        assert await consume(settings, payloads[:1]) == 1
        assert (await client.get("/reco?user_id=ann")).status_code == 200  # which caches the history

        stored = (await client.get("/users/ann?limit=1")).json()
        assert (stored["events"], stored["queued"], len(stored["latest"])) == (2, 2, 1)
        assert [(entry["item_id"], entry["title"]) for entry in stored["history"]] == [("alien", "Alien")]
        assert stored["history"][0]["kind"] == "watch"

        await pool.execute(
            "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, value, error_kind, "
            "error, attempts) VALUES ('t', 0, 7, 1, 'ann, and others', 'batch', 'no checksum', 1)"
        )

        erased = (await client.delete("/users/ann")).json()
        assert (erased["events"], erased["queued"]) == (2, 2)
        assert (await client.get("/users/ann")).status_code == 404
        assert await pool.fetchval("SELECT count(*) FROM user_history") == 0
        # Whose messages are in a batch that cannot be read nobody knows.
        assert await pool.fetch("SELECT record_offset, value FROM feature_consumer_dlq") == [(7, None)]
        with redis.Redis.from_url(redis_url) as cache:
            assert all(len(cache.get(key)) == 8 for key in cache.keys("reco:history:*"))

        # What was on its way, and what is replayed, is passed over; what comes later is new.
        assert await consume(settings, payloads) == 0
        while time.time_ns() // 1_000_000 <= await erased_ms(pool):
            pass
        assert (await client.post("/log/watch", json=watch(item_id="heat"))).status_code == 202
        later = await pool.fetchval("SELECT payload FROM event_outbox")
        assert await consume(settings, [later]) == 1
        assert [entry["item_id"] for entry in (await history(client))] == ["heat"]


async def erased_ms(pool: asyncpg.Pool) -> int:
    return int(await pool.fetchval("SELECT (extract(EPOCH FROM erased_at) * 1000)::bigint FROM user_erasures"))


async def history(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get("/users/ann")).json()["history"]
    return found
