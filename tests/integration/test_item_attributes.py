"""Attributes of items: declared with a type, stored with items, changed one by one and against a known state."""

import asyncio
from typing import Any, Final

import asyncpg
import httpx
import pytest

from app.core.attributes import MAX_DECLARED
from app.settings import Settings
from tests.support.api import serving

TYPES: Final = {
    "price": "number",
    "brand": "text",
    "in stock": "flag",
    "released": "time",
    "sizes": "list",
    "shop": "place",
}
VALUES: Final[dict[str, Any]] = {
    "price": 49.5,
    "brand": "acme",
    "in stock": True,
    "released": "2026-12-24T18:00:00+01:00",
    "sizes": ["S", "M", "S"],
    "shop": {"lat": 52.5, "lon": 13.4},
}
SHOWN: Final = {**VALUES, "released": "2026-12-24T17:00:00.000Z", "sizes": ["S", "M"]}


async def declare(client: httpx.AsyncClient) -> None:
    for name, kind in TYPES.items():
        assert (await client.put(f"/attributes/{name}", json={"type": kind})).status_code == 201


async def test_attributes_are_declared_listed_and_removed(settings: Settings) -> None:
    async with serving(settings) as client:
        await declare(client)
        assert (await client.put("/attributes/price", json={"type": "number"})).status_code == 200
        changed = await client.put("/attributes/price", json={"type": "text"})
        assert (changed.status_code, "is a number already" in changed.json()["detail"]) == (409, True)
        listed = (await client.get("/attributes")).json()["attributes"]
        assert {one["name"]: one["type"] for one in listed} == TYPES
        assert (await client.delete("/attributes/price")).status_code == 204
        assert (await client.delete("/attributes/price")).status_code == 404
        assert (await client.put("/attributes/price", json={"type": "text"})).status_code == 201


async def test_declaration_that_is_not_valid_is_refused(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings) as client:
        for name, body, path in (
            ("price", {"type": "money"}, "$.type"),
            ("title", {"type": "text"}, "$.name"),
            ("x" * 65, {"type": "text"}, "$.name"),
        ):
            refused = await client.put(f"/attributes/{name}", json=body)
            assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, path)
        await pool.execute(
            "INSERT INTO item_attributes (name, type) SELECT 'a' || n, 'text' FROM generate_series(1, $1) AS n",
            MAX_DECLARED,
        )
        assert (await client.put("/attributes/price", json={"type": "text"})).status_code == 409
        assert (await client.put("/attributes/a1", json={"type": "text"})).status_code == 200


async def test_values_of_every_type_are_stored_and_shown(settings: Settings) -> None:
    async with serving(settings) as client:
        await declare(client)
        stored = await client.put("/items/tent", json={"attributes": VALUES})
        assert (stored.status_code, stored.json()["attributes"]) == (201, SHOWN)
        batch = [{"item_id": "stove", "attributes": {"price": 1}}, {"item_id": "rope"}]
        assert (await client.post("/items", json={"items": batch})).json() == {"created": 2, "replaced": 0}
        found = [(await client.get(f"/items/{item}")).json()["attributes"] for item in ("tent", "stove", "rope")]
        assert found == [SHOWN, {"price": 1}, {}]
        assert (await client.put("/items/tent", json={})).json()["attributes"] == {}


async def test_every_value_that_does_not_fit_is_named(settings: Settings) -> None:
    bad: dict[str, Any] = {
        "price": "49",
        "brand": 1,
        "in stock": 1,
        "released": "yesterday",
        "sizes": "S",
        "shop": ["S"],
        "pirce": 49,
        "title": "Tent",
    }
    async with serving(settings) as client:
        await declare(client)
        refused = await client.put("/items/tent", json={"attributes": bad, "expires_at": "0001-01-01T00:00:00+14:00"})
        errors = {error["path"]: error["message"] for error in refused.json()["errors"]}
        assert errors.keys() == {"$.expires_at", *(f"$.attributes.{name}" for name in bad)}
        assert errors["$.attributes.price"] == "Expected a number between -1e15 and 1e15: the attribute is a number"
        assert "PUT /attributes/pirce" in errors["$.attributes.pirce"]
        assert "brand, in stock, price" in errors["$.attributes.pirce"]
        assert "field of the item itself" in errors["$.attributes.title"]
        batch = {"items": [{"item_id": "a", "attributes": {"price": True}}, {"item_id": "a", "attributes": {"x": 1}}]}
        paths = [error["path"] for error in (await client.post("/items", json=batch)).json()["errors"]]
        assert paths == ["$.items[1].item_id", "$.items[0].attributes.price", "$.items[1].attributes.x"]
        for value in ({"lat": 91, "lon": 0}, [1], None, "nul\x00"):
            refused = await client.put("/items/tent", json={"attributes": {"shop": value, "brand": value}})
            assert refused.status_code == 422


async def test_what_does_not_fit_is_named_beside_what_is_of_another_type(settings: Settings) -> None:
    async with serving(settings) as client:
        await declare(client)
        item = {"title": 5, "published_at": "never", "attributes": {"price": "49"}, "colour": "red"}
        wanted = ["$.title", "$.published_at", "$", "$.attributes.price"]
        refused = (await client.put("/items/tent", json=item)).json()["errors"]
        assert [error["path"] for error in refused] == wanted
        assert refused[1]["message"] == "Expected a time with its zone, such as '2026-12-24T18:00:00Z'"
        assert (await client.put("/items/tent", json={})).status_code == 201
        refused = (await client.patch("/items/tent", json=item)).json()["errors"]
        assert [error["path"] for error in refused] == wanted
        batch = [{"title": "no id"}, {"item_id": "a", **item}, {"item_id": "b"}, {"item_id": "b"}, 5]
        refused = (await client.post("/items", json={"items": batch})).json()["errors"]
        assert [error["path"].removeprefix("$.items") for error in refused] == [
            *("[0]", "[1].title", "[1].published_at", "[1]", "[4]"),
            *("[3].item_id", "[1].attributes.price"),
        ]
        assert (await client.get("/items")).json()["items"][0]["title"] is None


async def test_values_are_judged_beside_one_that_is_no_value(settings: Settings) -> None:
    wrong = {"price": "cheap", "shop": {"lat": 100, "lon": 1}, "nope": 1, "brand": "acme"}
    paths = ["$.attributes.shop.lat", "$.attributes.price", "$.attributes.nope"]
    async with serving(settings) as client:
        await declare(client)
        await client.put("/items/i", json={})
        for method in ("PUT", "PATCH"):
            answer = await client.request(method, "/items/i", json={"attributes": wrong})
            assert [error["path"] for error in answer.json()["errors"]] == paths, answer.text
        several = await client.post("/items", json={"items": [{"item_id": "i", "attributes": wrong}]})
        found = [error["path"].replace("$.items[0]", "$") for error in several.json()["errors"]]
        assert found == paths, several.text


async def test_patch_changes_what_it_names(settings: Settings) -> None:
    async with serving(settings) as client:
        await declare(client)
        assert (await client.patch("/items/tent", json={"hidden": True})).status_code == 404
        item = {"title": "Tent", "categories": ["camping"], "attributes": {"price": 49.5, "brand": "acme"}}
        before = (await client.put("/items/tent", json=item)).json()
        changes = {"title": None, "tags": ["new", "new"], "attributes": {"price": 45, "brand": None, "in stock": True}}
        after = (await client.patch("/items/tent", json=changes)).json()
        wanted = {"title": None, "tags": ["new"], "attributes": {"price": 45, "in stock": True}}
        assert after == {**before, **wanted, "updated_at": after["updated_at"]}
        assert (await client.get("/items/tent")).json() == after
        assert (await client.patch("/items/tent", json={})).json() == after
        refused = await client.patch("/items/tent", json={"attributes": {"price": "x"}, "expires_at": None})
        assert [error["path"] for error in refused.json()["errors"]] == ["$.attributes.price"]
        assert (await client.patch("/items/tent", json={"hidden": None})).status_code == 422


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_change_of_another_state_than_the_one_read_is_refused(settings: Settings, method: str) -> None:
    async with serving(settings) as client:
        content = {} if method == "DELETE" else {"json": {"title": "Mine"}}

        async def change(**headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await client.request(method, "/items/tent", headers=named, **content)).status_code

        assert await change(if_match="*") == 412
        await client.put("/items/tent", json={"title": "Tent"})
        read = await client.get("/items/tent")
        assert read.headers["etag"] == (await client.head("/items/tent")).headers["etag"]
        again = await client.get("/items/tent", headers={"if-none-match": f'"other", W/{read.headers["etag"]}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", read.headers["etag"])
        await client.patch("/items/tent", json={"title": "Yours"})
        assert await change(if_match=read.headers["etag"]) == 412
        assert await change(if_match=f"W/{read.headers['etag']}") == 412
        assert (await client.get("/items/tent")).json()["title"] == "Yours"
        present = (await client.get("/items/tent", headers={"if-none-match": read.headers["etag"]})).headers["etag"]
        assert await change(if_match=f'"other", {present}') in (200, 204)


async def test_tag_that_a_packing_proxy_made_weak_still_names_the_state(settings: Settings) -> None:
    async with serving(settings) as client:
        await client.put("/items/tent", json={"title": "Tent"})
        tag = (await client.get("/items/tent")).headers["etag"]
        changed = await client.patch("/items/tent", json={"title": "Mine"}, headers={"if-match": f"W/{tag}"})
        assert (changed.status_code, changed.json()["title"]) == (200, "Mine")


async def test_item_is_created_only_where_there_is_none(settings: Settings) -> None:
    async with serving(settings) as client:
        only_new = {"if-none-match": "*"}
        assert (await client.put("/items/tent", json={}, headers=only_new)).status_code == 201
        refused = await client.put("/items/tent", json={"title": "Other"}, headers=only_new)
        assert (refused.status_code, (await client.get("/items/tent")).json()["title"]) == (412, None)


async def test_one_of_many_who_create_an_item_at_once_does(settings: Settings) -> None:
    async with serving(settings) as client:
        for number in range(5):
            path, only_new = f"/items/tent-{number}", {"if-none-match": "*"}
            titles = [f"Tent of {who}" for who in range(12)]
            answers = await asyncio.gather(
                *(client.put(path, json={"title": title}, headers=only_new) for title in titles)
            )
            assert sorted(answer.status_code for answer in answers) == [201, *[412] * 11]
            (created,) = (answer.json()["title"] for answer in answers if answer.status_code == 201)
            assert (await client.get(path)).json()["title"] == created
