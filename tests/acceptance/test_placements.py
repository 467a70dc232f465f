"""Lists of further places on one running service: recent, buy again, trending, bought together."""

import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from app.devstack import Stack
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import shared_environment

_HOUR_MS: Final = 3_600_000
_ITEMS: Final[dict[str, list[str]]] = {
    "evergreen": ["plants"],
    "today": ["news"],
    "now": ["news"],
    "soap": ["home"],
    "lamp": ["home"],
    "film": ["films"],
    "gone": ["home"],
}


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """Three items are popular, each by another half-life; Ann bought, watched and viewed others."""
    environment = shared_environment(stack, template_database, redis_base_url, "places", EXPLORATION_SHARE="0")
    with environment as settings, running(settings) as service:
        have_events(service)
        yield service


def have_events(service: Service) -> None:
    items = [{"item_id": i, "title": i.upper(), "categories": c, "hidden": i == "gone"} for i, c in _ITEMS.items()]
    assert service.client.post("/items", json={"items": items}).status_code == 200
    now_ms = time.time_ns() // 1_000_000
    bought = [("evergreen", 72, 30), ("today", 10, 8), ("now", 0, 1)]
    events: list[dict[str, Any]] = [
        event("purchase", f"{item}-{buyer}", item, now_ms - hours * _HOUR_MS)
        for item, hours, buyers in bought
        for buyer in range(buyers)
    ]
    anns = [("purchase", "soap", 90), ("purchase", "gone", 80), ("purchase", "lamp", 50), ("view", "soap", 20)]
    events += [event(kind, "ann", item, now_ms - hours * _HOUR_MS) for kind, item, hours in anns]
    events.append({**event("watch", "ann", "film", now_ms - 30 * _HOUR_MS), "watch_time_sec": 60.0})
    assert service.client.post("/log/batch", json=events).json()["accepted"] == len(events)
    eventually(
        lambda: service.metric("reco_feature_consumer_processed_total", status="applied") == len(events),
        describe=service.describe,
    )
    eventually(lambda: len(ids(listed(service, "/popular"))) == 6, describe=service.describe)


def event(kind: str, user: str, item: str, ts_ms: int) -> dict[str, Any]:
    return {"event_type": kind, "user_id": user, "session_id": user, "item_id": item, "ts_ms": ts_ms}


def listed(service: Service, path: str, **parameters: Any) -> dict[str, Any]:
    answer = service.client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in found["items"]]


def test_items_that_are_popular_at_different_times_lead_their_own_window(service: Service) -> None:
    three = ["now", "today", "evergreen"]
    assert [i for i in ids(listed(service, "/trending", window="hour")) if i in three] == three
    assert [i for i in ids(listed(service, "/trending", window="day")) if i in three] == ["today", "evergreen", "now"]
    assert ids(listed(service, "/trending", window="week")) == ids(listed(service, "/popular"))
    assert ids(listed(service, "/trending")) == ids(listed(service, "/trending", window="day"))


def test_what_is_trending_in_a_category_is_of_it_alone(service: Service) -> None:
    found = listed(service, "/trending", window="hour", category="news", explain=True)
    assert ids(found) == ["now", "today"]
    assert {item["why"] for item in found["items"]} == {"Popular in the last hours in news."}


def test_a_window_that_there_is_not_is_refused_with_those_there_are(service: Service) -> None:
    answer = service.client.get("/trending", params={"window": "month"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["path"] == "$.window"
    assert all(window in error["message"] for window in ("hour", "day", "week"))


def test_a_users_items_come_the_latest_first_without_what_may_not_be_served(service: Service) -> None:
    found = listed(service, "/users/ann/recent", explain=True)
    assert ids(found) == ["soap", "film", "lamp"]
    assert [item["why"] for item in found["items"]] == [
        "The user viewed it.",
        "The user watched it.",
        "The user bought it.",
    ]
    assert ids(listed(service, "/users/ann/recent", did="purchase")) == ["lamp", "soap"]
    assert ids(listed(service, "/users/ann/recent", did="watch,view", exclude="soap")) == ["film"]
    assert ids(listed(service, "/users/ann/recent", category="home")) == ["soap", "lamp"]
    assert ids(listed(service, "/users/nobody/recent")) == []


def test_an_acknowledged_event_leads_the_next_list_of_recent_items(service: Service) -> None:
    for number in range(10):
        viewed = {"event_type": "view", "user_id": "bob", "session_id": "b", "item_id": f"item-{number}"}
        assert service.client.post("/event", json=viewed).status_code == 202
        assert ids(listed(service, "/users/bob/recent", k=1)) == [f"item-{number}"]


def test_pages_of_recent_items_have_each_of_them_once(service: Service) -> None:
    found, cursor = [], "start"
    while cursor is not None:
        page = listed(service, "/users/ann/recent", k=2, cursor=cursor)
        found += ids(page)
        cursor = page.get("cursor")
    assert found == ["soap", "film", "lamp"]


def test_only_what_the_user_bought_may_be_bought_again(service: Service) -> None:
    found = listed(service, "/users/ann/buy-again", explain=True)
    assert set(ids(found)) == {"soap", "lamp"}
    assert found["model_version"].startswith("weights-")
    assert all(item["why"] and item["parts"]["features"] for item in found["items"])
    assert ids(listed(service, "/users/ann/buy-again", exclude="soap")) == ["lamp"]
    assert ids(listed(service, "/users/ann/buy-again", category="films")) == []
    assert ids(listed(service, "/users/nobody/buy-again")) == []


def test_a_rule_that_excludes_an_item_acts_on_every_place(service: Service) -> None:
    paths = ["/users/ann/recent", "/users/ann/buy-again", "/trending", "/popular"]
    assert all("lamp" in ids(listed(service, path)) for path in paths)
    rule = {"action": "boost", "item_id": "lamp", "factor": 0}
    assert service.client.put("/rules/no-lamp", json=rule).status_code == 201
    eventually(lambda: all("lamp" not in ids(listed(service, path)) for path in paths), describe=service.describe)
    assert service.client.delete("/rules/no-lamp").status_code == 204
    eventually(lambda: all("lamp" in ids(listed(service, path)) for path in paths), describe=service.describe)


def test_items_of_one_basket_are_bought_together_and_those_of_two_visits_are_not(service: Service) -> None:
    baskets = [("tent", "stove"), ("tent", "stove", "mat"), ("tent",), ("tent", "gone")]
    now_ms = time.time_ns() // 1_000_000
    events = [event("purchase", f"camper-{n}", item, now_ms) for n, basket in enumerate(baskets) for item in basket]
    # The same session a day later, another session, and no purchase.
    events.append(event("purchase", "camper-0", "rope", now_ms - 24 * _HOUR_MS))
    events.append({**event("purchase", "camper-0", "axe", now_ms), "session_id": "another"})
    events.append(event("view", "camper-0", "map", now_ms))
    assert service.client.post("/log/batch", json=events).json()["accepted"] == len(events)

    def together(**parameters: Any) -> dict[str, float]:
        items = listed(service, "/bought-together/tent", **parameters)["items"]
        return {item["item_id"]: item["score"] for item in items}

    eventually(lambda: together() == {"stove": 0.5, "mat": 0.25}, describe=service.describe)
    assert together(exclude="stove") == {"mat": 0.25}
    assert together(k=1) == {"stove": 0.5}
    (item,) = listed(service, "/bought-together/mat", k=1, explain=True)["items"]
    assert (item["because"], item["why"]) == (["mat"], "In 1 of 1 baskets with mat.")
    # What is taken back is in no basket.
    returned = event("purchase", "camper-3", "mat", now_ms)
    assert service.client.post("/log/batch", json=[{**returned, "event_id": "returned-mat"}]).json()["accepted"] == 1
    cancel = {"event_type": "cancel", "cancels": "returned-mat", "user_id": "camper-3", "session_id": "s"}
    assert service.client.post("/event", json=cancel).status_code == 202
    # An erased user's baskets go with them.
    assert service.client.delete("/users/camper-1").status_code == 200
    assert service.client.post("/event", json=event("view", "x", "tent", now_ms)).status_code == 202
    eventually(lambda: together() == {"stove": 0.333333}, describe=service.describe)


def preview(service: Service, **body: Any) -> dict[str, Any]:
    answer = service.client.post("/rules/preview", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_previewed_rule_changes_the_list_of_the_preview_alone(service: Service) -> None:
    found = preview(service, user_id="ann", k=5, rule={"action": "pin", "item_id": "lamp", "position": 1})
    before = [item["item_id"] for item in found["before"]]
    assert [item["item_id"] for item in found["after"]] == ["lamp", *(i for i in before if i != "lamp")][:5]
    assert [item["rules"] for item in found["after"]] == [["preview"], [], [], [], []]
    assert (found["active"], found["touches"], found["warnings"]) == (True, 1, [])
    assert "pinned" not in {item["source"] for item in listed(service, "/reco", user_id="ann")["items"]}
    never = {"action": "boost", "item_id": before[0], "factor": 0}
    hidden = preview(service, user_id="ann", rule=never)
    assert before[0] in [item["item_id"] for item in hidden["before"]]
    assert before[0] not in [item["item_id"] for item in hidden["after"]]


def test_a_rule_that_has_yet_to_start_shows_at_its_time(service: Service) -> None:
    rule = {"action": "boost", "category": "news", "factor": 0, "starts_at": "2099-01-01T00:00:00Z"}
    now = preview(service, rule=rule)
    assert (now["active"], now["before"]) == (False, now["after"])
    then = preview(service, rule=rule, at="2099-01-02T00:00:00Z")
    assert then["active"]
    assert {"today", "now"} & {item["item_id"] for item in then["before"]}
    assert {"today", "now"}.isdisjoint(item["item_id"] for item in then["after"])


@pytest.mark.parametrize(
    ("rule", "touches", "path"),
    [
        ({"action": "boost", "category": "home", "factor": 2}, 3, None),
        ({"action": "boost", "item_id": "lmap", "factor": 2}, 0, "$.rule.item_id"),
        ({"action": "boost", "category": "hom", "factor": 2}, 0, "$.rule.category"),
        ({"action": "boost", "tag": "sale", "factor": 2}, 0, "$.rule.tag"),
        ({"action": "pin", "item_id": "lamp", "position": 1, "within": "gifts"}, 0, "$.rule.within"),
        ({"action": "pin", "item_id": "lamp", "position": 1, "within": "news"}, 0, "$.rule.within"),
    ],
)
def test_a_preview_counts_what_a_rule_touches_and_warns_of_what_nobody_knows(
    service: Service, rule: dict[str, Any], touches: int, path: str | None
) -> None:
    found = preview(service, rule=rule)
    assert found["touches"] == touches
    assert [warning["path"] for warning in found["warnings"]] == ([] if path is None else [path])


def test_a_preview_of_a_rule_that_is_not_valid_says_where(service: Service) -> None:
    body = {"rule": {"action": "boost", "factor": 2}}
    answer = service.client.post("/rules/preview", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "$.rule")


def test_stored_rules_are_named_where_they_move_an_item(service: Service) -> None:
    for rule_id, rule in (("half", {"category": "home", "factor": 0.5}), ("more", {"item_id": "lamp", "factor": 1.5})):
        assert service.client.put(f"/rules/{rule_id}", json={"action": "boost", **rule}).status_code == 201

    def named(path: str, **parameters: Any) -> dict[str, list[str]]:
        items = listed(service, path, explain=True, k=50, **parameters)["items"]
        return {item["item_id"]: item["rules"] for item in items if item["item_id"] in ("lamp", "soap", "now")}

    expected = {"lamp": ["half", "more"], "soap": ["half"], "now": []}
    eventually(lambda: named("/popular") == expected, describe=service.describe)
    assert named("/reco", user_id="nobody") == expected
    assert all(service.client.delete(f"/rules/{rule_id}").status_code == 204 for rule_id in ("half", "more"))
    eventually(lambda: named("/popular") == {item_id: [] for item_id in expected}, describe=service.describe)


def test_items_that_go_with_another_say_why_they_do(service: Service) -> None:
    found = listed(service, "/similar/soap", explain=True)
    assert found["items"]
    assert all("SOAP" in item["why"] and item["because"] == ["soap"] for item in found["items"])


def test_one_user_alone_does_not_put_an_item_beside_another_for_everybody(service: Service) -> None:
    now_ms = time.time_ns() // 1_000_000
    events = [event("purchase", f"diver-{n}", item, now_ms) for n in range(8) for item in ("mask", "fins")]
    visits = [{"session_id": f"visit-{n}", "user_id": "pusher"} for n in range(200)]
    pushed = [event("purchase", "pusher", item, now_ms) | visit for visit in visits for item in ("mask", "junk")]
    assert service.client.post("/log/batch", json=events + pushed).json()["accepted"] == len(events + pushed)

    def together() -> dict[str, float]:
        items = listed(service, "/bought-together/mask")["items"]
        return {item["item_id"]: item["score"] for item in items}

    eventually(lambda: together() == pytest.approx({"fins": 8 / 11, "junk": 3 / 11}), describe=service.describe)


def test_a_kept_list_is_sent_again_when_a_title_or_a_reason_changes(service: Service) -> None:
    def await_another(kept: str) -> str:
        """The tag of the list once it is another than the kept one."""

        def status() -> int:
            return service.client.get(path, headers={"if-none-match": kept}).status_code

        eventually(lambda: status() == 200, describe=service.describe)
        return service.client.get(path).headers["etag"]

    path = "/users/ann/recent?explain=true"
    tag = service.client.get(path).headers["etag"]
    assert service.client.get(path, headers={"if-none-match": tag}).status_code == 304
    service.client.patch("/items/film", json={"title": "Another title"})
    tag = await_another(tag)
    service.client.put("/rules/lasting", json={"action": "boost", "item_id": "film", "factor": 1.001})
    tag = await_another(tag)
    service.client.delete("/rules/lasting")
    service.client.patch("/items/film", json={"title": "FILM"})
    await_another(tag)
