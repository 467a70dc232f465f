"""Event types of the application, dislikes, numbers and cancellations, over two API processes."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from click.testing import CliRunner

from app.cli import main
from app.devstack.ports import choose
from tests.support.service import Service, eventually, running

_ITEMS: Final = [f"item-{number}" for number in range(6)]
_WISH: Final = {"weight": 0.6, "meaning": "interest"}


@pytest.fixture
def services(environment: dict[str, str]) -> Iterator[tuple[Service, Service]]:
    api = {**environment, "ROLE": "api", "HTTP_PORT": str(choose()), "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "10"}
    with running({**environment, "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "10"}) as one, running(api) as other:
        body = {"items": [{"item_id": item_id, "title": item_id} for item_id in _ITEMS]}
        assert one.client.post("/items", json=body).status_code == 200
        for service in (one, other):
            eventually(lambda service=service: set(_ITEMS) <= set(served(service, "nobody")))
        yield one, other


def served(service: Service, user_id: str, **query: str) -> list[str]:
    answer = service.client.get("/reco", params={"user_id": user_id, "repeats": "allow"} | query)
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


def send(service: Service, event_type: str, item_id: str | None = None, **more: Any) -> tuple[int, Any]:
    body = {"user_id": "ann", "session_id": "s", "event_type": event_type, **more}
    answer = service.client.post("/event", json=body if item_id is None else {**body, "item_id": item_id})
    return answer.status_code, answer.json()


def wrong(answer: tuple[int, Any]) -> dict[str, str]:
    """The messages by path."""
    status, body = answer
    assert status == 422, body
    return {error["path"]: error["message"] for error in body["errors"]}


def history(service: Service) -> dict[str, float]:
    """By the names of the types, the weights in the stored history."""
    answer = service.client.get("/users/ann")
    assert answer.status_code in (200, 404)
    return {entry["kind"]: entry["weight"] for entry in answer.json().get("history", [])}


@pytest.mark.slow
@pytest.mark.shows("reco event-types")
def test_a_type_of_your_own_is_taken_by_all_processes_and_counts_as_it_was(
    services: tuple[Service, Service], environment: dict[str, str]
) -> None:
    one, other = services
    assert "'cart'" in wrong(send(one, "wish", "item-0"))["$.event_type"]
    created = one.client.put("/event-types/wish", json=_WISH)
    assert created.status_code == 201
    assert send(one, "wish", "item-0")[0] == 202  # in the next request, and in other processes within a second
    eventually(lambda: send(other, "wish", "item-1")[0] == 202)
    eventually(lambda: history(one) == {"wish": 0.6})
    assert set(served(other, "ann", repeats="learned", exclude_seen="wish")) == set(_ITEMS) - {"item-0", "item-1"}
    assert set(served(other, "ann", repeats="learned", exclude_seen="interest")) == set(_ITEMS) - {"item-0", "item-1"}
    refused = one.client.get("/reco?user_id=ann&exclude_seen=view,hover")
    assert [error["path"] for error in refused.json()["errors"]] == ["$.exclude_seen[1]"]

    in_state = {"if-match": created.headers["etag"]}
    stronger = one.client.put("/event-types/wish", json={**_WISH, "weight": 1.5, "pairs": False}, headers=in_state)
    assert (stronger.status_code, stronger.json()["weight"], stronger.json()["pairs"]) == (200, 1.5, False)
    assert send(one, "wish", "item-2")[0] == 202
    eventually(lambda: len(one.client.get("/users/ann").json()["history"]) == 3)
    weights = {entry["item_id"]: entry["weight"] for entry in one.client.get("/users/ann").json()["history"]}
    assert weights == {"item-0": 0.6, "item-1": 0.6, "item-2": 1.5}
    printed = CliRunner().invoke(main, ["event-types", "--json"], env=environment)
    assert printed.exit_code == 0, printed.output
    assert {"name": "wish", "weight": 1.5}.items() <= {
        line["name"]: line for line in map(json.loads, printed.stdout.splitlines())
    }["wish"].items()
    assert "wish" in CliRunner().invoke(main, ["event-types"], env=environment).stdout

    assert one.client.delete("/event-types/wish", headers=in_state).status_code == 412
    assert one.client.delete("/event-types/wish").status_code == 204
    assert "$.event_type" in wrong(send(one, "wish", "item-3"))
    eventually(lambda: send(other, "wish", "item-3")[0] == 422)
    assert set(history(one)) == {"wish"}  # the name stays with what was counted
    batch = {"events": [{"event_type": "wish", "user_id": "ann", "session_id": "s", "item_id": "item-4"}]}
    assert one.client.post("/log/batch", json=batch).json()["invalid"] == 1


def test_a_dislike_counts_for_its_user_at_once_and_is_taken_back(services: tuple[Service, Service]) -> None:
    one, other = services
    for event_type, item_id in (("dislike", "item-0"), ("hide", "item-1")):
        status, answer = send(one, event_type, item_id)
        assert status == 202
        assert item_id not in served(other, "ann")
        assert item_id in served(other, "bob")
        listed = other.client.post("/rank", json={"user_id": "ann", "items": _ITEMS}).json()
        assert item_id in listed["left_out"]
        status, _ = send(one, "cancel", cancels=answer["event_id"])
        assert status == 202
        assert item_id in served(other, "ann")
        assert send(other, "cancel", cancels=answer["event_id"])[0] == 200
    eventually(lambda: one.metric("reco_feature_consumer_processed_total", status="applied") >= 4)
    assert history(one) == {}
    assert {"item-0", "item-1"} <= set(served(one, "ann"))


def liked(service: Service) -> list[str]:
    answer = service.client.get("/users/ann/recent", params={"did": "like"})
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


def test_each_cancellation_of_like_events_shows_at_once(services: tuple[Service, Service]) -> None:
    one, other = services

    def counted(events: int) -> None:
        eventually(lambda: one.metric("reco_feature_consumer_processed_total", status="applied") >= events)

    likes = [send(one, "like", "item-0")[1]["event_id"] for _ in range(2)]
    counted(2)
    for place, (service, event_id) in enumerate(zip((one, other), likes, strict=True)):
        assert liked(other) == ["item-0"]
        assert send(service, "cancel", cancels=event_id)[0] == 202
        if place == 0:
            counted(3)
    assert liked(one) == liked(other) == []
    # Liked and taken back in turns, as a button does it.
    for turn in range(3):
        _, again = send(one, "like", "item-0")
        assert liked(other) == ["item-0"]
        counted(5 + 2 * turn)
        assert send(one, "cancel", cancels=again["event_id"])[0] == 202
        assert liked(other) == []
    counted(10)
    assert liked(one) == liked(other) == []


@pytest.mark.slow
def test_a_returned_purchase_is_taken_out_of_the_sums(services: tuple[Service, Service], database_url: str) -> None:
    one, _ = services
    sold = {"value": 59.9, "currency": "EUR", "quantity": 2}
    status, bought = send(one, "purchase", "item-0", **sold)
    assert status == 202
    eventually(lambda: history(one) == {"purchase": 1.0})
    assert sold.items() <= one.client.get("/users/ann").json()["latest"][0].items()
    unknown = {"user_id": "bob", "session_id": "s", "event_type": "cancel", "cancels": bought["event_id"]}
    batch = one.client.post("/log/batch", json=[unknown, {**unknown, "user_id": "ann"}]).json()
    assert [result["status"] for result in batch["results"]] == ["invalid", "accepted"]
    assert batch["results"][0]["errors"][0]["path"] == "$.cancels"
    assert "$.cancels" in wrong(send(one, "cancel", cancels=batch["results"][1]["event_id"]))
    eventually(lambda: history(one) == {})
