"""An item that nobody has taken yet is placed by its content."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.service import Service, eventually, running

TENT = {"title": "Blue tent for two", "categories": ["tents"], "tags": ["camping"]}


@pytest.fixture
def service(environment: dict[str, str]) -> Iterator[Service]:
    with running({**environment, "EXPLORATION_SHARE": "0"}) as found:
        yield found


def put(service: Service, item_id: str, **card: Any) -> None:
    assert service.client.put(f"/items/{item_id}", json=card).status_code in (200, 201)


def click(service: Service, user_id: str, *item_ids: str) -> None:
    events = [
        {"event_type": "click", "user_id": user_id, "session_id": user_id, "item_id": item_id} for item_id in item_ids
    ]
    assert service.client.post("/log/batch", json={"events": events}).status_code == 200


def places(service: Service, path: str) -> dict[str, dict[str, Any]]:
    answer = service.client.get(path)
    assert answer.status_code == 200, answer.text
    return {item["item_id"]: item for item in answer.json()["items"]}


def sources(service: Service, path: str) -> dict[str, str]:
    return {item_id: item["source"] for item_id, item in places(service, path).items()}


def test_item_without_events_reaches_users_of_its_kind_until_it_is_known(service: Service) -> None:
    put(service, "tent", title="Red tent for two", categories=["tents"], tags=["camping"])
    put(service, "kettle", title="Gas kettle", categories=["kitchen"])
    put(service, "mystery", categories=["of-nothing-else"])
    for user in range(6):
        click(service, f"user-{user}", "tent", "kettle")
    click(service, "ann", "tent")
    click(service, "zoe", "gone")
    eventually(lambda: "kettle" in places(service, "/similar/tent"), describe=service.describe)

    put(service, "new-tent", **TENT)
    eventually(
        lambda: sources(service, "/reco?user_id=ann").get("new-tent") == "content",
        describe=service.describe,
    )
    found = places(service, "/reco?user_id=ann&explain=true")["new-tent"]
    assert found["because"] == ["tent"]
    assert found["parts"]["features"]["content"] > 0.0
    assert "like those of what this one clicked: Red tent for two" in found["why"]
    assert sources(service, "/reco?user_id=zoe")["new-tent"] != "content"

    assert sources(service, "/similar/new-tent") == {"tent": "content"}
    assert sources(service, "/similar/tent") == {"kettle": "covisitation", "new-tent": "content"}
    assert places(service, "/similar/mystery") == {}

    for user in range(5):
        click(service, f"fan-{user}", "new-tent")
    eventually(lambda: sources(service, "/reco?user_id=ann").get("new-tent") != "content", describe=service.describe)
    assert service.client.delete("/items/new-tent").status_code == 204
    eventually(lambda: "new-tent" not in sources(service, "/similar/tent"), describe=service.describe)


@pytest.mark.slow
def test_process_is_ready_once_its_first_list_has_cold_items(environment: dict[str, str]) -> None:
    with running(environment) as before:
        put(before, "tent", title="Red tent for two", categories=["tents"], tags=["camping"])
        put(before, "new-tent", **TENT)
        put(before, "kettle", title="Gas kettle", categories=["kitchen"])
        assert before.client.put("/attributes/price", json={"type": "number"}).status_code == 201
        click(before, "ann", "tent")
        eventually(lambda: "tent" in places(before, "/popular"), describe=before.describe)
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")  # nobody reads the catalogue
        after = Service({**environment, "EXPLORATION_SHARE": "0"})
        try:
            eventually(lambda: after.status("/healthz") == 200, 40.0, after.describe)
            eventually(lambda: warm_up(after)["detail"] == "waits for Postgres", 40.0, after.describe)
            assert warm_up(after)["state"] == "starting"
            assert (after.status("/readyz"), after.readiness()["dependencies"]["postgres"]["state"]) == (503, "up")
            connection.rollback()
            eventually(lambda: after.status("/readyz") == 200, 40.0, after.describe)
            assert warm_up(after)["state"] == "running"
            assert after.metric("reco_ranking_version") == 1  # before anybody asks for a list
            assert sources(after, "/reco?user_id=ann")["new-tent"] == "content"
            assert after.metric("reco_online_cache_reads_total", cache="filter_index", result="miss") == 1
        finally:
            after.close()


def warm_up(service: Service) -> dict[str, Any]:
    task: dict[str, Any] = service.readiness()["tasks"]["warm-up"]
    return task
