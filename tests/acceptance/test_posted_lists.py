"""POST /reco, /rank and /reco/batch, on one running service."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from app.devstack import Stack
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import shared_environment

_FILMS: Final = [f"film-{number:02}" for number in range(30)]


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """Users who watch film n go on to film n + 1, for each even n; `film-29` is hidden."""
    environment = shared_environment(stack, template_database, redis_base_url, "posted", EXPLORATION_SHARE="0")
    with environment as settings, running(settings) as service:
        have_films(service)
        yield service


def have_films(service: Service) -> None:
    items: list[dict[str, Any]] = [
        {"item_id": film, "title": film, "categories": ["even" if number % 2 == 0 else "odd"]}
        for number, film in enumerate(_FILMS)
    ]
    items[29]["hidden"] = True
    assert service.client.post("/items", json={"items": items}).status_code == 200
    events = [
        {"event_type": "purchase", "user_id": f"viewer-{viewer}-{film}", "session_id": "s", "item_id": _FILMS[item]}
        for film in range(0, 26, 2)
        for viewer in range(6)
        for item in (film, film + 1)
    ]
    assert service.client.post("/log/batch", json=events).json()["accepted"] == len(events)
    eventually(
        lambda: service.metric("reco_feature_consumer_processed_total", status="applied") == len(events),
        describe=service.describe,
    )
    eventually(lambda: "film-11" in ids(posted(service, "/reco", history=[{"item_id": "film-10"}])[:1]))
    # An item that the process knew from the catalogue has its events with the next reload.
    eventually(lambda: all(item["score"] > 0.0 for item in posted(service, "/rank", items=_FILMS[:26])))


def answer(service: Service, path: str, **body: Any) -> dict[str, Any]:
    found = service.client.post(path, json=body)
    assert found.status_code == 200, found.text
    answered: dict[str, Any] = found.json()
    return answered


def posted(service: Service, path: str, **body: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = answer(service, path, **body)["items"]
    return items


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["item_id"] for item in items]


def faults(service: Service, path: str, **body: Any) -> list[tuple[str, str]]:
    found = service.client.post(path, json=body)
    assert found.status_code == 422, found.text
    return [(error["path"], error["message"]) for error in found.json()["errors"]]


def test_somebody_unknown_is_served_by_the_history_of_the_request(service: Service) -> None:
    past = [{"item_id": "film-04", "event_type": "purchase"}, {"item_id": "film-06"}]
    found = posted(service, "/reco", history=past, explain=True)
    assert ids(found)[0] == "film-05"
    assert found[0]["because"] == ["film-04"]
    assert {"film-04", "film-06"}.isdisjoint(ids(found))
    # The same for a user without a stored history; for a known one the stored history counts.
    assert ids(posted(service, "/reco", user_id="stranger", history=past))[0] == "film-05"
    # Once all events of the beginning are counted.
    eventually(
        lambda: (
            ids(posted(service, "/reco", user_id="viewer-0-10", history=past))
            == ids(posted(service, "/reco", user_id="viewer-0-10"))
        )
    )


def test_nothing_but_candidates_is_in_the_list_and_nothing_excluded(service: Service) -> None:
    candidates = ["film-12", "film-05", "film-20", "film-29", "never-seen"]
    found = posted(service, "/reco", history=[{"item_id": "film-04"}], candidates=candidates)
    assert ids(found)[0] == "film-05"
    assert set(ids(found)) == {"film-12", "film-05", "film-20", "never-seen"}
    left = posted(service, "/reco", user_id="ann", k=50, exclude=[*_FILMS[:20], *(f"x{n}" for n in range(9_000))])
    assert set(ids(left)) == set(_FILMS[20:29])


def test_each_ranked_item_is_there_once_and_the_best_first(service: Service) -> None:
    found = answer(service, "/rank", history=[{"item_id": "film-04", "event_type": "purchase"}], items=_FILMS)
    assert sorted(ids(found["items"])) == _FILMS[:29]
    assert found["left_out"] == ["film-29"]
    others = [item_id for item_id in ids(found["items"]) if item_id != "film-04"]
    assert others[0] == "film-05"
    scores = [item["score"] for item in found["items"]]
    assert scores == sorted(scores, reverse=True)
    (odd,) = posted(service, "/rank", user_id="ann", items=["film-02", "film-03"], category="odd")
    assert odd["item_id"] == "film-03"
    assert "why" in posted(service, "/rank", user_id="ann", items=["film-02"], explain=True)[0]


def test_an_item_that_is_named_twice_is_ranked_once_and_for_nobody_as_for_a_stranger(service: Service) -> None:
    found = posted(service, "/rank", items=["film-03", "film-02", "film-03"])
    assert sorted(ids(found)) == ["film-02", "film-03"]
    assert ids(posted(service, "/reco", k=5)) == ids(posted(service, "/reco", k=5, user_id="stranger"))


def test_items_of_which_nothing_is_known_come_last_in_the_order_sent_with_a_score_of_0(service: Service) -> None:
    unknown = ["never-9", "never-1", "never-5"]
    found = posted(service, "/rank", user_id="ann", items=unknown)
    assert [(item["item_id"], item["score"]) for item in found] == [(item_id, 0.0) for item_id in unknown]
    found = posted(service, "/rank", user_id="ann", items=[*unknown, "film-02"])
    assert [item["item_id"] for item in found] == ["film-02", *unknown]
    assert [item["score"] for item in found] == [1.0, 0.0, 0.0, 0.0]


def test_a_thousand_items_of_which_most_are_unknown_are_ranked(service: Service) -> None:
    items = [f"thing-{number}" for number in range(990)] + _FILMS[:10]
    found = answer(service, "/rank", user_id="viewer-0-4", items=items)
    assert sorted(ids(found["items"])) == sorted(items)


def test_rules_that_never_serve_an_item_leave_it_out(service: Service) -> None:
    rule = {"action": "boost", "item_id": "film-07", "factor": 0}
    assert service.client.put("/rules/never", json=rule).status_code in (200, 201)
    try:
        eventually(lambda: answer(service, "/rank", user_id="ann", items=["film-07"])["left_out"] == ["film-07"])
    finally:
        service.client.delete("/rules/never")


def test_pins_of_one_position_follow_each_other_by_their_ids(service: Service) -> None:
    pins = {"top-b": ("film-20", 2), "top-a": ("film-21", 2), "top-c": ("film-20", 5)}

    def pinned() -> list[str]:
        listed = posted(service, "/reco", user_id="ann", k=6)
        return [item["item_id"] if item["source"] == "pinned" else "" for item in listed]

    try:
        for rule_id, (film, position) in pins.items():
            rule = {"action": "pin", "item_id": film, "position": position}
            assert service.client.put(f"/rules/{rule_id}", json=rule).status_code == 201
        eventually(lambda: pinned() == ["", "film-21", "film-20", "", "", ""], describe=pinned)
        ranked = posted(service, "/rank", user_id="ann", items=_FILMS)
        assert "pinned" not in {item["source"] for item in ranked}
    finally:
        for rule_id in pins:
            service.client.delete(f"/rules/{rule_id}")
        eventually(lambda: not any(pinned()), describe=pinned)


def test_a_batch_has_a_line_for_each_user_in_order(service: Service) -> None:
    users = [f"viewer-{viewer}-{film}" for film in range(0, 26, 2) for viewer in range(6)] + ["nobody"]
    found = service.client.post("/reco/batch", json={"user_ids": users, "k": 3})
    assert found.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in found.text.splitlines()]
    assert [line["user_id"] for line in lines] == users
    for line in lines[:3] + lines[-1:]:
        assert ids(line["items"]) == ids(posted(service, "/reco", user_id=line["user_id"], k=3))


def test_all_faults_of_a_body_are_named_at_once(service: Service) -> None:
    found = faults(service, "/reco", k=0, repeats="often", history=[{"item_id": ""}, {"event_type": "hover"}])
    assert [path for path, _ in sorted(found)] == [
        "$.history[0].item_id",
        "$.history[1]",
        "$.history[1].event_type",
        "$.k",
        "$.repeats",
    ]
    messages = dict(found)
    assert "'allow', 'avoid', 'learned', 'only'" in messages["$.repeats"]
    assert "'purchase'" in messages["$.history[1].event_type"]
    assert faults(service, "/reco/batch", user_ids=[]) == [("$.user_ids", "Expected `array` of length >= 1")]


def test_names_that_nobody_knows_are_told_with_all_other_faults(service: Service) -> None:
    wrong: dict[str, Any] = {
        "filter": "colour = 'red' and hue = 1",
        "history": [{"item_id": "film-04", "event_type": "hover"}, {"item_id": "film-05", "event_type": "rating"}],
        "exclude_seen": ["purchase", "gazed", 3],
        "cursor": "!",
    }
    late = ["$.cursor", "$.exclude_seen[1]", "$.filter", "$.filter", "$.history[0].event_type", "$.history[1].rating"]
    assert sorted(path for path, _ in faults(service, "/reco", **wrong, k=0)) == sorted(
        [*late, "$.exclude_seen[2]", "$.k"]
    )
    wrong["exclude_seen"].remove(3)
    assert sorted(path for path, _ in faults(service, "/reco", **wrong)) == late
    # A fault of the field itself is told alone.
    assert sorted(path for path, _ in faults(service, "/reco", filter="x" * 4_001, k=0)) == ["$.filter", "$.k"]
    ranked = {name: wrong[name] for name in ("filter", "history")}
    assert len(faults(service, "/rank", items=["film-04"], **ranked)) == 4
    assert len(faults(service, "/rank", items=[], **ranked)) == 5
    assert len(faults(service, "/reco/batch", user_ids=["ann"], filter=wrong["filter"], exclude_seen=["gazed"])) == 3


@pytest.mark.parametrize(
    ("path", "paths"),
    [
        ("/reco?k=0&filter=hue%3D1&exclude_seen=gazed", ["$.exclude_seen[0]", "$.filter", "$.k", "$"]),
        ("/reco?user_id=ann&filter=hue%3D1&exclude_seen=view,gazed", ["$.exclude_seen[1]", "$.filter"]),
        ("/popular?filter=hue%3D1&cursor=%21", ["$.cursor", "$.filter"]),
        ("/similar/film-04?filter=hue%3D1&limit=3", ["$.filter", "$.limit"]),
        ("/users/ann/recent?did=gazed&filter=hue%3D1&k=0", ["$.did[0]", "$.filter", "$.k"]),
        ("/items?filter=hue%3D1&title=%21&limit=0&cursor=%21", ["$.cursor", "$.filter", "$.limit", "$.title"]),
    ],
)
def test_all_faults_of_a_query_are_named_at_once(service: Service, path: str, paths: list[str]) -> None:
    found = service.client.get(path)
    assert found.status_code == 422
    assert sorted(error["path"] for error in found.json()["errors"]) == sorted(paths)


@pytest.mark.parametrize("call", ["/reco", "/rank"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"user_id": 1e400}',
        b'{"user_id": "ann", "extra": 1, "items": ["\xe1t"]}',
        b'{"extra": 1, "items": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
    ids=["too great a number", "a fault and then no UTF-8", "a fault and then too deep"],
)
def test_a_body_that_is_no_json_after_its_first_fault_is_the_callers(service: Service, call: str, body: bytes) -> None:
    assert service.client.post(call, content=body).status_code in (400, 422)


def test_an_answer_is_logged_as_an_impression_with_the_context_of_the_request(service: Service) -> None:
    autolog = {"X-Autolog-Impressions": "true"}
    body = {"user_id": "dora", "k": 2, "context": {"page": "home"}}
    found = service.client.post("/reco", json=body, headers=autolog)
    assert found.status_code == 200
    stored = eventually(lambda: service.client.get("/users/dora").json().get("latest"))
    assert stored[0]["request_id"] == found.json()["request_id"]
    assert stored[0]["context"]["page"] == "home"
    assert [item["item_id"] for item in stored[0]["items"]] == ids(found.json()["items"])
    refused = service.client.post("/reco", json={"history": [{"item_id": "film-04"}]}, headers=autolog)
    assert refused.json()["errors"][0]["path"] == "$.user_id"
