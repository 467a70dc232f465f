"""Lists of what is popular while hundreds of the most popular items may not be served."""

import asyncio

import asyncpg
import httpx

from app.settings import Settings
from tests.support.api import serving
from tests.support.item_sums import have_sums

ITEMS = [f"item-{number:03}" for number in range(400)]
LEADERS, OTHERS = ITEMS[:300], ITEMS[300:]


async def have_items(pool: asyncpg.Pool, catalogued: list[str]) -> None:
    """The first is the most popular, and none is new."""
    await have_sums(pool, **{item_id: 1_000.0 - number for number, item_id in enumerate(ITEMS)})
    await pool.execute(
        "INSERT INTO items (item_id, published_at) SELECT unnest($1::text[]), now() - interval '1 year'", catalogued
    )


async def listed(client: httpx.AsyncClient, path: str) -> list[str]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


async def assert_others_are_popular(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):  # what is popular is half a second fresh
        while await listed(client, "/popular?k=20") != OTHERS[:20]:
            await asyncio.sleep(0.02)
    assert await listed(client, "/trending?k=20") == OTHERS[:20]
    answer = await client.get("/reco?user_id=nobody&k=20")
    assert {item["source"] for item in answer.json()["items"]} == {"popular"}


async def test_leaders_that_are_hidden_take_no_places(settings: Settings, pool: asyncpg.Pool) -> None:
    await have_items(pool, ITEMS)
    async with serving(settings, exploration_share=0.0) as client:
        assert await listed(client, "/popular?k=20") == LEADERS[:20]
        await pool.execute("UPDATE items SET hidden = TRUE WHERE item_id = ANY ($1)", LEADERS)
        await assert_others_are_popular(client)
    async with serving(settings, exploration_share=0.0) as client:
        await assert_others_are_popular(client)


async def test_leaders_that_the_catalogue_does_not_have_take_no_places(settings: Settings, pool: asyncpg.Pool) -> None:
    await have_items(pool, OTHERS)
    async with serving(settings, exploration_share=0.0, catalogue_only=True) as client:
        await assert_others_are_popular(client)
        await pool.execute("INSERT INTO items (item_id) VALUES ('item-000')")
        async with asyncio.timeout(20):
            while (await listed(client, "/popular?k=1")) != ["item-000"]:
                await asyncio.sleep(0.02)
        await pool.execute("DELETE FROM items WHERE item_id = ANY ($1)", ["item-000", *OTHERS[:50]])
        async with asyncio.timeout(20):
            while (await listed(client, "/popular?k=20")) != OTHERS[50:70]:
                await asyncio.sleep(0.02)
