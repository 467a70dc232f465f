"""The catalogue."""

import asyncpg

from app.settings import Settings
from tests.support.api import serving

ITEM = {
    "title": "Alien",
    "categories": ["horror", "space"],
    "tags": ["1979"],
    "published_at": "2020-01-01T00:00:00Z",
    "expires_at": None,
    "hidden": False,
}
ENDED = {"published_at": "2030-01-01T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"}


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
            ({"items": [{"item_id": "n1"}, {"item_id": "n2", **ENDED}]}, "$.items[1].expires_at"),
        ):
            refused = await client.post("/items", json=body)
            assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, path)
        invalid = [
            {"item_id": "n1"},
            {"item_id": "n2", "title": ""},
            {"title": "n3"},
            {"item_id": "n4", "tags": ["a", True]},
        ]
        refused = await client.post("/items", json={"items": invalid})
        paths = [error["path"] for error in refused.json()["errors"]]
        assert (refused.status_code, paths) == (422, ["$.items[1].title", "$.items[2]", "$.items[3].tags[1]"])
        refused = await client.post("/items", json={"items": [{"item_id": "n", "title": ""}] * 1000})
        assert (refused.status_code, len(refused.json()["errors"])) == (422, 100)
        assert (await client.post("/items", content=b'{"items": [')).status_code == 400
    assert await pool.fetchval("SELECT count(*) FROM items") == 1000


async def test_item_that_ends_before_it_begins_is_refused_where_the_fault_is(settings: Settings) -> None:
    async with serving(settings) as client:
        for times in (ENDED, {**ENDED, "published_at": "2030-01-01T01:00:00+01:00"}):
            refused = await client.put("/items/tent", json=times)
            assert (refused.status_code, [error["path"] for error in refused.json()["errors"]]) == (
                422,
                ["$.expires_at"],
            )
        assert (await client.put("/items/tent", json={"expires_at": ENDED["expires_at"]})).status_code == 201
        later, earlier = "2031-01-01T00:00:00Z", "2029-01-01T00:00:00Z"
        for changes, path in (
            ({"published_at": later}, "$.published_at"),
            ({"published_at": later, "expires_at": earlier}, "$.expires_at"),
        ):
            refused = await client.patch("/items/tent", json=changes)
            assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, path)
        assert "before `expires_at`" in (await client.patch("/items/tent", json={"published_at": later})).text
        assert (await client.patch("/items/tent", json={"published_at": earlier})).status_code == 200
        assert (await client.patch("/items/tent", json={"published_at": later, "expires_at": None})).status_code == 200


async def test_item_stored_with_its_times_in_the_wrong_order_can_still_be_changed(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    """Releases before this one stored such items."""
    async with serving(settings) as client:
        assert (await client.put("/items/tent", json={})).status_code == 201
        await pool.execute("UPDATE items SET published_at = now(), expires_at = now() - interval '1 day'")
        assert (await client.patch("/items/tent", json={"title": "A tent"})).status_code == 200
