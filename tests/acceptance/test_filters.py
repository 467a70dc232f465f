"""Filters over a running service: lists are full however few items a filter keeps, and never hold another."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import pytest

from app.devstack import Stack
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import shared_environment

_COUNT: Final = 2_600
# Every 50th item is of the rare brand: 52 of them.
_RARE: Final = [f"item-{number:04}" for number in range(0, _COUNT, 50)]
RARE: Final = "brand = 'rare' and price < 5000"


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """The first hundred items are popular, and Ann has the first two."""
    environment = shared_environment(stack, template_database, redis_base_url, "filters", EXPLORATION_SHARE="0.2")
    with environment as settings, running(settings) as service:
        for name, kind in (("price", "number"), ("brand", "text"), ("shop", "place")):
            assert service.client.put(f"/attributes/{name}", json={"type": kind}).status_code == 201
        items = [item(number) for number in range(_COUNT)]
        for start in range(0, _COUNT, 1_000):
            assert service.client.post("/items", json={"items": items[start : start + 1_000]}).status_code == 200
        have_events(service)
        eventually(lambda: len(found(service, "/popular", k=200)) >= 60)
        eventually(lambda: len(reco(service, filter=RARE, k=200)) == len(_RARE) - 1)
        yield service


def item(number: int) -> dict[str, Any]:
    brand = "rare" if number % 50 == 0 else "plain"
    shop = {"lat": 52.5, "lon": 13.0 + number / 1_000}
    return {
        "item_id": f"item-{number:04}",
        "title": f"Item {number}",
        "categories": ["a" if number < 300 else "b"],
        "attributes": {"price": number, "brand": brand, "shop": shop},
    }


def have_events(service: Service) -> None:
    events = [
        {"event_type": "view", "user_id": f"viewer-{viewer}", "session_id": "s", "item_id": f"item-{number:04}"}
        for viewer in range(3)
        for number in range(100)
    ]
    events += [{"event_type": "purchase", "user_id": "ann", "session_id": "s", "item_id": _RARE[0]}]
    assert service.client.post("/log/batch", json=events).json()["accepted"] == len(events)


def found(service: Service, path: str, **parameters: Any) -> list[str]:
    answer = service.client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


def reco(service: Service, user: str = "ann", **parameters: Any) -> list[str]:
    return found(service, "/reco", user_id=user, **parameters)


def test_list_is_full_and_holds_only_what_the_filter_keeps(service: Service) -> None:
    for user in ("ann", "nobody"):
        items = reco(service, user, filter=RARE, k=40)
        assert len(items) == 40
        assert set(items) <= set(_RARE)
    assert reco(service, filter=RARE, k=40)[0] == _RARE[1]  # the popular one that Ann does not have
    near = reco(service, filter="distance(shop, 52.5, 13.5) <= 200 m", k=200)
    assert sorted(near) == ["item-0498", "item-0499", "item-0500", "item-0501", "item-0502"]
    assert reco(service, filter="price < 0") == []
    for path in ("/popular", "/trending"):
        assert sorted(found(service, path, filter=RARE)) == _RARE[:2]
    for path in ("/users/ann/recent", "/users/ann/buy-again"):
        assert found(service, path, filter=RARE) == _RARE[:1]
        assert found(service, path, filter=f"not ({RARE})") == []


def test_each_form_of_the_language_keeps_what_it_says(service: Service) -> None:
    for name, kind in (("since", "time"), ("sale", "flag"), ("colours", "list")):
        assert service.client.put(f"/attributes/{name}", json={"type": kind}).status_code == 201
    tomorrow, old = datetime.now(UTC) + timedelta(days=1), "2020-01-01"
    given = {
        "item-0004": {"since": tomorrow.isoformat(), "sale": True, "colours": ["red", "blue"]},
        "item-0005": {"since": old, "sale": False, "colours": ["blue"]},
    }
    for item_id, attributes in given.items():
        assert service.client.patch(f"/items/{item_id}", json={"attributes": attributes}).status_code == 200
    assert service.client.get("/items/item-0005").json()["attributes"]["since"] == "2020-01-01T00:00:00.000Z"
    forms = {
        "since < now + 2d and since > now - 1h": {"item-0004"},
        "since = '2020-01-01'": {"item-0005"},
        "sale = true": {"item-0004"},
        "sale = false or colours has 'red'": {"item-0004", "item-0005"},
        "colours exists and sale != true": {"item-0005"},
        "brand not in ('plain', 'rare') or colours has 'blue'": {"item-0004", "item-0005"},
    }
    for text, wanted in forms.items():
        # The index of the filter and the attributes come with the changes.
        eventually(lambda: set(found(service, "/popular", filter=f"price < 8 and ({text})")) == wanted)  # noqa: B023


def test_category_and_filter_both_hold(service: Service) -> None:
    assert set(reco(service, filter=RARE, category="a", k=200)) == set(_RARE[1:6])
    assert reco(service, filter=RARE + " and not categories in ('a', 'b')") == []


def test_pages_of_a_filter_have_each_of_its_items_once(service: Service) -> None:
    pages, cursor = [], "start"
    while cursor is not None:
        answer = service.client.get(
            "/reco", params={"user_id": "bob", "k": 20, "filter": RARE, "cursor": cursor}
        ).json()
        pages.append([item["item_id"] for item in answer["items"]])
        cursor = answer.get("cursor")
    assert [len(page) for page in pages[:2]] == [20, 20]
    assert sorted(item for page in pages for item in page) == _RARE


def test_posted_lists_take_a_filter(service: Service) -> None:
    body: dict[str, Any] = {"user_id": "ann", "filter": RARE, "k": 10}
    listed = service.client.post("/reco", json=body).json()["items"]
    assert {item["item_id"] for item in listed} < set(_RARE)
    assert len(listed) == 10
    among = [*_RARE[1:3], "item-0001"]
    listed = service.client.post("/reco", json={**body, "candidates": among}).json()["items"]
    assert {item["item_id"] for item in listed} == set(_RARE[1:3])
    ranked = service.client.post("/rank", json={"user_id": "ann", "items": among, "filter": RARE}).json()
    assert ({item["item_id"] for item in ranked["items"]}, ranked["left_out"]) == (set(_RARE[1:3]), ["item-0001"])
    lines = service.client.post("/reco/batch", json={"user_ids": ["ann", "bob"], "filter": RARE, "k": 3}).text
    assert lines.count('"item_id":"item-') == 6


def test_similar_items_pass_the_filter(service: Service) -> None:
    assert "item-0001" in found(service, "/similar/item-0002", k=200)
    items = found(service, "/similar/item-0002", k=200, filter=RARE)
    assert items
    assert set(items) <= set(_RARE)


def test_filter_that_does_not_fit_is_refused_by_every_call(service: Service) -> None:
    wrong = "colour = 'red' and price = 'x'"
    paths = ("/reco?user_id=ann", "/popular?k=5", "/similar/item-0001?k=5", "/trending?k=5")
    for path in (*paths, "/users/ann/recent?k=5", "/users/ann/buy-again?k=5"):
        refused = service.client.get(f"{path}&filter={quote(wrong)}")
        assert refused.status_code == 422
        errors = refused.json()["errors"]
        assert [error["path"] for error in errors] == ["$.filter", "$.filter"]
        assert "unknown attribute `colour`; known are brand, categories" in errors[0]["message"]
    for path, body in (("/reco", {}), ("/rank", {"items": ["a"]}), ("/reco/batch", {"user_ids": ["ann"]})):
        refused = service.client.post(path, json={**body, "filter": "price <"})
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "$.filter")


def test_changed_item_leaves_and_comes(service: Service) -> None:
    """Of the index and of the cards; and a pin that the filter does not keep has no place."""
    service.client.put("/rules/pinned", json={"action": "pin", "item_id": "item-0001", "position": 1})
    service.client.patch("/items/item-0051", json={"attributes": {"brand": "rare"}})
    service.client.patch(f"/items/{_RARE[7]}", json={"attributes": {"brand": None}})
    wanted = {*_RARE, "item-0051"} - {_RARE[7]}
    eventually(lambda: set(reco(service, "eve", filter=RARE, k=200)) == wanted)
    eventually(lambda: reco(service, "eve")[0] == "item-0001")
    assert "item-0001" not in reco(service, "eve", filter=RARE, k=200)


def test_picture_of_an_item_is_in_lists_where_it_is_an_https_url_or_a_path(service: Service) -> None:
    assert service.client.put("/attributes/picture_url", json={"type": "text"}).status_code == 201
    pictures = {"item-0002": "https://pictures.example/2.jpg", "item-0005": "/pictures/5.jpg"}
    refused = {"item-0003": "javascript:alert(1)", "item-0004": "//pictures.example/4.jpg", "item-0006": r"/\pictures"}
    for name, url in {**pictures, **refused}.items():
        assert service.client.patch(f"/items/{name}", json={"attributes": {"picture_url": url}}).status_code == 200

    def shown() -> dict[str, str]:
        items = service.client.get("/popular", params={"filter": "price < 8"}).json()["items"]
        return {item["item_id"]: item["picture_url"] for item in items if "picture_url" in item}

    eventually(lambda: shown() == pictures, describe=service.describe)


def test_attribute_is_known_to_filters_as_soon_as_it_is_declared(service: Service) -> None:
    assert service.client.get("/popular", params={"filter": "colour = 'red'"}).status_code == 422
    unknown = service.client.patch("/items/item-0009", json={"attributes": {"colour": "red"}})
    assert "declare it with PUT /attributes/colour" in unknown.json()["errors"][0]["message"]
    assert service.client.put("/attributes/colour", json={"type": "text"}).status_code == 201
    assert found(service, "/popular", filter="colour = 'red'") == []
    assert service.client.delete("/attributes/colour").status_code == 204
    eventually(lambda: service.client.get("/popular", params={"filter": "colour = 'red'"}).status_code == 422)
