"""Pages by cursor: all of the catalogue, no item twice, over a running service."""

import base64
from collections.abc import Iterator
from typing import Any, Final

import pytest

from app.devstack import Stack
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import shared_environment

_ITEMS: Final = [f"item-{number:04}" for number in range(2_600)]


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """More items than a fallback list has; the first hundred are popular, one is hidden, and Ann has two."""
    environment = shared_environment(stack, template_database, redis_base_url, "pages", EXPLORATION_SHARE="0")
    with environment as settings, running(settings) as service:
        have_items(service)
        yield service


def have_items(service: Service) -> None:
    items: list[dict[str, Any]] = [
        {"item_id": item, "title": item, "categories": ["a" if item < "item-0300" else "b"]} for item in _ITEMS
    ]
    items[-1]["hidden"] = True
    for start in range(0, len(items), 1_000):
        assert service.client.post("/items", json={"items": items[start : start + 1_000]}).status_code == 200
    events = [
        {"event_type": "view", "user_id": f"viewer-{viewer}", "session_id": "s", "item_id": _ITEMS[item]}
        for viewer in range(3)
        for item in range(100)
    ]
    events += [{"event_type": "purchase", "user_id": "ann", "session_id": "s", "item_id": i} for i in _ITEMS[:2]]
    assert service.client.post("/log/batch", json=events).json()["accepted"] == len(events)
    counted = "reco_feature_consumer_processed_total"
    eventually(lambda: service.metric(counted, status="applied") == len(events), describe=service.describe)
    # Ann's lead as soon as the list is of what is counted now.
    eventually(lambda: len(popular(service)) >= 60 and sorted(popular(service)[:2]) == _ITEMS[:2])


def popular(service: Service) -> list[str]:
    return [item["item_id"] for item in service.client.get("/popular", params={"k": 200}).json()["items"]]


def pages(service: Service, path: str, k: int = 200, **parameters: Any) -> list[list[str]]:
    found, cursor = [], "start"
    while cursor is not None:
        answer = service.client.get(path, params={**parameters, "k": k, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        found.append([item["item_id"] for item in answer.json()["items"]])
        cursor = answer.json().get("cursor")
        assert len(found) < 200
    return found


def flat(found: list[list[str]]) -> list[str]:
    return [item_id for page in found for item_id in page]


def test_pages_have_each_servable_item_once_until_the_catalogue_ends(service: Service) -> None:
    found = pages(service, "/reco", user_id="ann")
    assert [len(page) for page in found[:-1]] == [200] * (len(found) - 1)
    assert sorted(flat(found)) == _ITEMS[2:-1]


@pytest.mark.slow
def test_pages_of_a_category_have_all_of_it_and_nothing_else(service: Service) -> None:
    found = pages(service, "/reco", k=70, user_id="nobody", category="a")
    assert sorted(flat(found)) == _ITEMS[:300]
    assert [len(page) for page in found] == [70, 70, 70, 70, 20]


def test_each_place_of_each_page_is_explained(service: Service) -> None:
    cursor, found = "start", []
    while cursor is not None:
        asked = {"user_id": "nobody", "category": "a", "k": 200, "explain": "true", "cursor": cursor}
        answer = service.client.get("/reco", params=asked).json()
        found += answer["items"]
        cursor = answer.get("cursor")
    assert len(found) == 300
    assert all(item["why"] and item["because"] == item["rules"] == [] for item in found if item["score"] == 0.0)
    assert all({"why", "because", "rules", "parts"} <= item.keys() for item in found)


def test_pages_with_a_maximum_per_category_go_on_behind_a_short_one(service: Service) -> None:
    found = pages(service, "/popular", k=20, max_per_category=7)
    assert sorted(flat(found)) == sorted(popular(service))
    *full, _, last = map(len, found)
    assert (set(full), last) == ({7}, 0)  # a page that is short may be the last but one
    ranked = flat(pages(service, "/reco", k=150, max_per_category=100, user_id="ann"))
    assert len(ranked) == len(set(ranked)) >= len(popular(service)) - 2


def test_first_page_has_what_a_list_without_pages_has(service: Service) -> None:
    answer = service.client.get("/reco", params={"user_id": "ann", "k": 20})
    assert "cursor" not in answer.json()
    first = service.client.get("/reco", params={"user_id": "ann", "k": 20, "cursor": "start"}).json()
    assert [item["item_id"] for item in first["items"]] == [item["item_id"] for item in answer.json()["items"]]


def test_what_is_popular_or_similar_has_pages_until_it_ends(service: Service) -> None:
    assert flat(pages(service, "/popular", k=25)) == popular(service)
    near = flat(pages(service, f"/similar/{_ITEMS[50]}", k=7))
    assert len(near) == len(set(near)) > 7
    assert _ITEMS[50] not in near


def test_a_posted_list_has_pages_of_its_candidates(service: Service) -> None:
    body: dict[str, Any] = {"user_id": "nobody", "candidates": _ITEMS[200:225], "k": 10, "cursor": "start"}
    found = []
    while body["cursor"] is not None:
        answer = service.client.post("/reco", json=body).json()
        found.append([item["item_id"] for item in answer["items"]])
        body["cursor"] = answer.get("cursor")
    assert [len(page) for page in found] == [10, 10, 5]
    assert sorted(flat(found)) == _ITEMS[200:225]


# A cursor, whose fifth member is an array in an array, and so on.
NESTED = base64.urlsafe_b64encode(b"\x95\xc4\x00\xc2\xc0\x00" + b"\x91" * 5_000 + b"\xc0").decode().rstrip("=")


@pytest.mark.parametrize("cursor", ["begin", "AAAA", "k8QA", "%", "kcQA!", "k c Q A", NESTED])
def test_a_cursor_that_is_none_is_refused_with_its_path(service: Service, cursor: str) -> None:
    answer = service.client.get("/reco", params={"user_id": "ann", "cursor": cursor})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["path"] == "$.cursor"
    assert "start" in error["message"]


def test_a_cursor_of_another_list_is_refused_and_said_so(service: Service) -> None:
    def asked(path: str, cursor: str, **parameters: str) -> Any:
        return service.client.get(path, params={"k": 5, "cursor": cursor, **parameters})

    similar, other = f"/similar/{_ITEMS[50]}", f"/similar/{_ITEMS[51]}"
    cursors = {path: asked(path, "start").json()["cursor"] for path in (similar, other, "/popular")}
    cursors["/reco"] = asked("/reco", "start", user_id="ann").json()["cursor"]
    cursors["/items"] = service.client.get("/items?limit=5").json()["cursor"]
    for path, cursor in cursors.items():
        for asked_path in (similar, "/popular", "/trending", f"/bought-together/{_ITEMS[50]}", "/users/ann/recent"):
            answer = asked(asked_path, cursor)
            if path == asked_path:
                assert answer.status_code == 200, answer.text
            else:
                assert [error["path"] for error in answer.json()["errors"]] == ["$.cursor"], (path, asked_path)
                assert "another list" in answer.json()["errors"][0]["message"]
    # Beside other faults, and of the same list by POST, by another user, and under the path with a version.
    refused = asked("/reco", cursors[similar], user_id="ann", filter="hue = 1")
    assert [error["path"] for error in refused.json()["errors"]] == ["$.filter", "$.cursor"]
    assert service.client.get("/items", params={"cursor": cursors["/reco"]}).status_code == 422
    for body in ({"user_id": "ann"}, {"user_id": "bob"}):
        posted = service.client.post("/v1/reco", json={**body, "k": 5, "cursor": cursors["/reco"]})
        assert posted.status_code == 200, posted.text


def test_an_item_that_comes_between_two_pages_does_not_repeat_another(service: Service) -> None:
    first = service.client.get("/reco", params={"user_id": "bob", "k": 50, "cursor": "start"}).json()
    service.client.post(
        "/event", json={"user_id": "bob", "session_id": "s", "item_id": _ITEMS[60], "event_type": "purchase"}
    )
    second = service.client.get("/reco", params={"user_id": "bob", "k": 50, "cursor": first["cursor"]}).json()
    shown = [item["item_id"] for item in first["items"]]
    then = [item["item_id"] for item in second["items"]]
    assert len(then) == 50
    assert set(shown).isdisjoint(then)
