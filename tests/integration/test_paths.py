"""Every accepted id reaches exactly itself, in every path and method; no other path reaches a handler."""

from urllib.parse import quote

import httpx
import pytest

from app.settings import Settings
from tests.support.api import serving

AWKWARD = (
    "bob", "/bob", "bob/", "//bob", "a//b", "a/b", "..", ".", "a/../b", "%", "%2F", "%2525", "a b", "+", "?", "#", "é",
    "😀", "-", "/", "{user_id}", "a;b", "a\\b",
)  # fmt: skip


def path(kind: str, name: str) -> str:
    """Dots are encoded too: clients resolve `..` before they send a path."""
    return f"/{kind}/{quote(name, safe='').replace('.', '%2E')}"


async def put(client: httpx.AsyncClient, name: str, title: str) -> int:
    return (await client.put(path("items", name), json={"title": title})).status_code


async def test_awkward_ids_each_keep_their_own_item(settings: Settings) -> None:
    async with serving(settings) as client:
        for name in AWKWARD:
            assert await put(client, name, f"title of {name}") == 201, name
        for name in AWKWARD:
            assert (await client.get(path("items", name))).json()["title"] == f"title of {name}"
            assert (await client.get(path("similar", name))).status_code == 200
        for name in AWKWARD:
            assert (await client.delete(path("items", name))).status_code == 204
            assert (await client.get(path("items", name))).status_code == 404
            left = set(AWKWARD[AWKWARD.index(name) + 1 :])
            for other in left:
                assert (await client.get(path("items", other))).status_code == 200


async def test_a_list_of_a_user_is_that_of_the_named_user_alone(settings: Settings) -> None:
    names = [*AWKWARD, "bob/recent", "/recent", "recent"]
    async with serving(settings) as client:
        for name in names:
            event = {"user_id": name, "session_id": "s", "item_id": f"of {name}", "event_type": "view"}
            assert (await client.post("/event", json=event)).status_code == 202
        for name in names:
            found = (await client.get(f"{path('users', name)}/recent")).json()
            assert [item["item_id"] for item in found["items"]] == [f"of {name}"]
        # An id whose slash is not encoded: nobody is erased.
        assert (await client.delete("/users/bob/recent")).status_code == 405


async def test_an_erasure_reaches_the_named_user_alone(settings: Settings) -> None:
    async with serving(settings) as client:
        for name in AWKWARD:
            event = {"user_id": name, "session_id": "s", "item_id": "alien", "event_type": "view"}
            assert (await client.post("/event", json=event)).status_code == 202
        for number, name in enumerate(AWKWARD, start=1):
            erased = await client.delete(path("users", name))
            assert (erased.json()["user_id"], erased.json()["events"]) == (name, 1)
            found = [(await client.get(path("users", other))).status_code for other in AWKWARD]
            assert found == [404] * number + [200] * (len(AWKWARD) - number)


@pytest.mark.parametrize(
    "target",
    ["/metrics/", "//metrics", "/%6detrics", "/Metrics", "/Users", "/%75sers/bob", "//users/bob", "/items//", "/docs/"],
)
async def test_another_spelling_of_a_path_is_not_found(settings: Settings, target: str) -> None:
    async with serving(settings) as client:
        answer = await client.get(httpx.URL(str(client.base_url), raw_path=target.encode()))
        assert answer.status_code == 404


async def test_an_id_that_is_not_utf_8_is_refused(settings: Settings) -> None:
    async with serving(settings) as client:
        answer = await client.delete(httpx.URL(str(client.base_url), raw_path=b"/users/%FF"))
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"path": "$.user_id", "message": "not UTF-8 once it is percent-decoded"}]
