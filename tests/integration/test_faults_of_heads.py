"""What is wrong with the path and the headers of a request is told beside the faults of its query or body."""

import re
from typing import Any, Final

import httpx

from app.settings import Settings
from tests.support.api import fault_paths, serving

_LONG: Final = "x" * 129
_ID: Final = re.compile(r"\{(\w+)\}")
HEADS: Final[dict[str, tuple[str, str, dict[str, Any], list[str]]]] = {
    "a header and a query": (
        "GET",
        "/reco?k=0&filter=nope%20%3D%201",
        {"headers": {"X-Autolog-Impressions": "yes"}},
        ["X-Autolog-Impressions", "$", "$.k", "$.filter"],
    ),
    "a query and a batch": (
        "POST",
        "/log/batch?atomic=perhaps&x=1",
        {"json": {"events": []}},
        ["$.atomic", "$.x", "$.events"],
    ),
    "a header and a filter": (
        "GET",
        "/reco?user_id=u&filter=nope%20%3D%201",
        {"headers": {"X-Autolog-Impressions": "yes"}},
        ["X-Autolog-Impressions", "$.filter"],
    ),
    "a header and a body": (
        "POST",
        "/reco",
        {"headers": {"X-Autolog-Impressions": "yes"}, "json": {"k": 0, "cursor": "?"}},
        ["X-Autolog-Impressions", "$.k", "$.cursor"],
    ),
    "an impression of nobody": (
        "POST",
        "/reco",
        {
            "headers": {"X-Autolog-Impressions": "true"},
            "json": {"k": 0, "context": {"a": "\0"}, "filter": "no = 1"},
        },
        ["$.k", "$.context", "$.user_id", "$.filter"],
    ),
    "an impression that is too large": (
        "POST",
        "/reco",
        {"headers": {"X-Autolog-Impressions": "true"}, "json": {"user_id": "u", "context": {"a": "x" * 32_768}}},
        ["$.context"],
    ),
    "an impression of a context that is none": (
        "POST",
        "/reco",
        {"headers": {"X-Autolog-Impressions": "true"}, "json": {"context": 5}},
        ["$.context", "$.user_id"],
    ),
    "an id that is not UTF-8": (
        "GET",
        "/users/%FF/recent?k=0&limit=1",
        {},
        ["$.user_id", "$.k", "$.limit"],
    ),
    "a query that is not percent-encoded": (
        "GET",
        "/reco?user_id=%zz&category=%FF&k=0&k=1",
        {},
        ["$.user_id", "$.category", "$.k"],
    ),
    "an id and a query of a call without one": ("GET", f"/rules/{_LONG}?x=1", {}, ["$.rule_id"]),
    "an id and an item": (
        "PUT",
        f"/items/{_LONG}",
        {"json": {"title": "", "attributes": {"colour": "red"}}},
        ["$.item_id", "$.title", "$.attributes.colour"],
    ),
    "an id and a change": (
        "PATCH",
        f"/items/{_LONG}",
        {"json": {"hidden": 5, "attributes": {"colour": "red"}}},
        ["$.item_id", "$.hidden", "$.attributes.colour"],
    ),
    "an id and a rule": (
        "PUT",
        f"/rules/{_LONG}",
        {"json": {"action": "pin", "item_id": "i", "position": 0}},
        ["$.rule_id", "$.position"],
    ),
    "a name and an event type": ("PUT", f"/event-types/{_LONG}", {"json": {"weight": 9}}, ["$.weight", "$", "$.name"]),
    "a name and an attribute": ("PUT", "/attributes/title", {"json": {"type": "colour"}}, ["$.type", "$.name"]),
    "a name and the end of an experiment": (
        "POST",
        f"/experiments/{_LONG}/stop",
        {"json": {"conclusion": ""}},
        ["$.name", "$.conclusion"],
    ),
    "a name and shares": ("PUT", f"/experiments/{_LONG}/shares", {"json": {"shares": 5}}, ["$.name", "$.shares"]),
    "an id and a link": (
        "POST",
        f"/users/{_LONG}/merge",
        {"json": {"anonymous_id": ""}},
        ["$.user_id", "$.anonymous_id"],
    ),
    "an id and no link": ("DELETE", f"/users/{_LONG}/merge?to=a", {}, ["$.user_id", "$", "$.to"]),
    "an id and a number of events": ("GET", f"/users/{_LONG}?limit=-1", {}, ["$.user_id", "$.limit"]),
    "ids of Gorse's": (
        "GET",
        f"/api/recommend/{_LONG}/%FF?n=0",
        {},
        ["$.user_id", "$.category", "$.n"],
    ),
    "places of Gorse's": ("GET", "/api/popular?category=a&category=b&n=150&offset=60", {}, ["$.category", "$.n"]),
}


async def test_path_and_headers_are_told_beside_body_and_query(settings: Settings) -> None:
    async with serving(settings, gorse_api=True) as client:
        answers = {
            name: await client.request(method, httpx.URL(str(client.base_url), raw_path=path.encode()), **options)
            for name, (method, path, options, _) in HEADS.items()
        }
    assert {name: fault_paths(answer) for name, answer in answers.items()} == {
        name: paths for name, (*_, paths) in HEADS.items()
    }


async def test_every_call_with_an_id_in_its_path_tells_that_beside_the_rest(settings: Settings) -> None:
    found = {}
    async with serving(settings) as client:
        for path, calls in (await client.get("/openapi.json")).json()["paths"].items():
            for method, call in calls.items() if "{" in path else ():
                has_query = any(one.get("in") == "query" for one in call.get("parameters", ()))
                body = {"json": {"nope": 1}} if "requestBody" in call else {}
                if body or has_query:
                    url = _ID.sub(_LONG, path) + ("?nope=1" if has_query else "")
                    found[f"{method} {path}"] = fault_paths(await client.request(method, url, **body))
    assert len(found) >= 15
    ids = {call: f"$.{_ID.search(call)[1]}" for call in found}  # type: ignore[index]
    assert {call: paths for call, paths in found.items() if len(paths) < 2 or ids[call] not in paths} == {}
