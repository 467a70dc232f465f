"""The main job: what one user does changes what others see, whoever carries it there."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.devstack.ports import choose
from tests.support.service import Service, eventually, running


@pytest.fixture(params=["all", "api | relay | consumer"])
def api(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Service]:
    """The service's front: one process for everything, or three."""
    if request.param == "all":
        with running(environment) as service:
            yield service
        return
    api, relay, consumer = (
        {**environment, "ROLE": role, "HTTP_PORT": str(choose())} for role in ("api", "relay", "consumer")
    )
    with running(api) as front, running(relay), running(consumer):
        yield front


def test_a_watch_by_one_user_changes_anothers_similar_and_reco(api: Service) -> None:
    watch(api, "ann", "alien")
    watch(api, "ann", "aliens")
    eventually(lambda: "aliens" in item_ids(api, "/similar/alien"), describe=api.describe)

    click = {"user_id": "bob", "session_id": "s2", "item_id": "alien", "event_type": "click"}
    assert api.client.post("/event", json=click).status_code == 202
    eventually(lambda: "aliens" in sources(api, "/reco?user_id=bob", "covisitation"), describe=api.describe)

    watch(api, "cy", "alien")
    watch(api, "cy", "heat")
    eventually(lambda: {"aliens", "heat"} <= set(item_ids(api, "/similar/alien")), describe=api.describe)
    eventually(lambda: item_ids(api, "/popular")[:1] == ["alien"], describe=api.describe)


def test_every_kind_of_event_reaches_the_features_once(api: Service) -> None:
    shown = {"user_id": "ann", "session_id": "s1", "items": [{"item_id": "alien", "position": 0}]}
    assert api.client.post("/log/impression", json=shown).status_code == 202
    batch = [
        {"event_type": kind, "user_id": "ann", "session_id": "s1", "item_id": kind, "event_id": f"event-{kind}"}
        for kind in ("view", "click", "purchase")
    ]
    watched = {
        "event_type": "watch",
        "user_id": "ann",
        "session_id": "s1",
        "item_id": "watch",
        "watch_time_sec": 60,
        "percent_watched": 100,
        "event_id": "event-watch",
    }
    for _ in range(2):
        answer = api.client.post("/log/batch", json={"events": [*batch, watched]})
        assert answer.status_code == 200
    assert answer.json()["duplicate"] == 4

    eventually(lambda: set(item_ids(api, "/popular")) == {"view", "click", "purchase", "watch"}, describe=api.describe)
    assert item_ids(api, "/popular")[-1] == "view"


def watch(api: Service, user_id: str, item_id: str) -> None:
    event = {"user_id": user_id, "session_id": "s1", "item_id": item_id, "watch_time_sec": 5400, "percent_watched": 95}
    assert api.client.post("/log/watch", json=event).status_code == 202


def item_ids(api: Service, path: str) -> list[str]:
    answer = api.client.get(path)
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


def sources(api: Service, path: str, source: str) -> list[str]:
    return [item["item_id"] for item in api.client.get(path).json()["items"] if item["source"] == source]


def test_a_request_can_be_followed_to_its_features(environment: dict[str, str]) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    body = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "watch_time_sec": 60}
    with running({**environment, "LOG_LEVEL": "DEBUG"}) as service:
        eventually(service.reads_all, describe=service.describe)  # or a batch comes twice
        headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        assert service.client.post("/log/watch", json=body, headers=headers).status_code == 202

        def batches() -> list[dict[str, Any]]:
            return [json.loads(line) for line in service.log().splitlines() if '"batch_counted"' in line]

        eventually(lambda: [batch["trace_ids"] for batch in batches()] == [[trace]], describe=service.describe)
        assert batches()[0]["counted"] == 1
