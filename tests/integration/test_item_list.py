"""`GET /items` lists, filters, searches and pages; many items are deleted at once."""

import re
from typing import Any, Final

import httpx
import pytest

from app.settings import Settings
from tests.support.api import serving

_COUNT: Final = 1_203


def item(number: int) -> dict[str, Any]:
    return {
        "item_id": f"item-{number:04}",
        "title": f"{'Red' if number % 2 else 'Blue'} tent {number}",
        "categories": ["even" if number % 2 == 0 else "odd"],
        "published_at": f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z",
        "hidden": number % 100 == 0,
        "attributes": {"price": number},
    }


async def have_items(client: httpx.AsyncClient, count: int = _COUNT) -> list[str]:
    """Returns the ids, the newest first."""
    assert (await client.put("/attributes/price", json={"type": "number"})).status_code == 201
    items = [item(number) for number in range(count)]
    for start in range(0, count, 1_000):
        assert (await client.post("/items", json={"items": items[start : start + 1_000]})).status_code == 200
    return [one["item_id"] for one in reversed(items)]


async def pages(client: httpx.AsyncClient, **parameters: Any) -> list[list[str]]:
    found: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get("/items", params={**parameters, **cursor})
        assert answer.status_code == 200, answer.text
        found.append([one["item_id"] for one in answer.json()["items"]])
        if "cursor" not in answer.json():
            return found
        cursor = {"cursor": answer.json()["cursor"]}


async def test_pages_have_every_item_once_newest_first(settings: Settings) -> None:
    async with serving(settings) as client:
        ids = await have_items(client)
        found = await pages(client, limit=200)
        assert [one for page in found for one in page] == ids
        assert [len(page) for page in found] == [200] * 6 + [3]
        listed = (await client.get("/items", params={"limit": 1})).json()["items"]
        assert listed == [(await client.get(f"/items/{ids[0]}")).json()]
        odd = [one for page in await pages(client, category="odd", limit=100) for one in page]
        assert odd == [one for one in ids if int(one[-4:]) % 2]
        # The last of the matches ends the list, although the page is full.
        assert await pages(client, filter="price < 50", limit=50) == [ids[-50:]]
        cheap = await pages(client, filter="price < 50 and not hidden", category="even", limit=20)
        assert [one for page in cheap for one in page] == [one for one in ids[-49:-1] if int(one[-4:]) % 2 == 0]
        assert await pages(client, filter="price > 99999") == [[]]


async def test_titles_are_searched_by_the_beginnings_of_words(settings: Settings) -> None:
    async with serving(settings) as client:
        await have_items(client, 120)
        for title, wanted in (
            ("tent 119", ["item-0119"]),
            ("11 RED", ["item-0119", "item-0117", "item-0115", "item-0113", "item-0111", "item-0011"]),
            ("green", []),
            ("blu: & !| 118", ["item-0118"]),
        ):
            assert [one for page in await pages(client, title=title) for one in page] == wanted
        assert await pages(client, title="11", category="even", filter="price > 114") == [["item-0118", "item-0116"]]
        for title in ("!", "a " * 11):
            refused = await client.get("/items", params={"title": title})
            assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "$.title")


async def test_words_are_found_beside_any_punctuation(settings: Settings) -> None:
    titles = ["BLACK/BLUE UMBRELLA", "Tyre 27.5 inch", "Lamp -10%", "Cable v1.2.3", "A.B.C book", "x@y.org card"]
    async with serving(settings) as client:
        items = [{"item_id": title, "title": title} for title in titles]
        assert (await client.post("/items", json={"items": items})).status_code == 200
        for title in titles:
            for words in (title, *title.split(), *re.findall(r"[^\W_]+", title)):
                assert title in (await pages(client, title=words))[0], words


async def test_items_of_the_first_and_of_the_last_day_are_in_the_list(settings: Settings) -> None:
    times = {
        "never": "9999-12-31T23:59:59.999998Z",
        "not yet": "9999-12-31T23:59:59.999Z",
        "late": "9999-12-31T00:00:00Z",
        "now": "2026-01-01T00:00:00Z",
        "first": "0001-01-01T12:00:00Z",
        "at first": "0001-01-01T00:00:00.000001Z",
    }
    async with serving(settings) as client:
        items = [{"item_id": name, "published_at": time} for name, time in times.items()]
        assert (await client.post("/items", json={"items": items})).status_code == 200
        assert await pages(client, limit=1) == [[name] for name in times]


async def test_list_is_sent_again_only_when_it_has_changed(settings: Settings) -> None:
    async with serving(settings) as client:
        await have_items(client, 3)
        first = await client.get("/items")
        tag = {"if-none-match": first.headers["etag"]}
        again = await client.get("/items", headers=tag)
        assert (again.status_code, again.content) == (304, b"")
        head = await client.head("/items")
        assert (head.headers["etag"], head.content) == (first.headers["etag"], b"")
        await client.patch("/items/item-0001", json={"hidden": True})
        assert (await client.get("/items", headers=tag)).status_code == 200


@pytest.mark.parametrize(
    ("query", "path"),
    [("limit=0", "$.limit"), ("cursor=x", "$.cursor"), ("filter=price", "$.filter"), ("colour=red", "$.colour")],
)
async def test_bad_parameter_is_named(settings: Settings, query: str, path: str) -> None:
    async with serving(settings) as client:
        refused = await client.get(f"/items?{query}")
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, path)


async def test_many_items_are_deleted_at_once(settings: Settings) -> None:
    async with serving(settings) as client:
        ids = await have_items(client, 5)
        body = {"item_ids": [*ids[:3], "nobody", ids[0]]}
        assert (await client.post("/items:delete", json=body)).json() == {"deleted": 3, "absent": ["nobody"]}
        assert await pages(client) == [ids[3:]]
        assert (await client.post("/items:delete", json=body)).json() == {"deleted": 0, "absent": [*ids[:3], "nobody"]}
        assert (await client.post("/items:delete", json={"item_ids": []})).status_code == 422
