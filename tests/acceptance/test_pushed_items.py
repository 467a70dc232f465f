"""What one client can do to the lists of everybody else."""

import time
from typing import Any

import pytest

from tests.support.service import Service, eventually, running

PURCHASE: dict[str, Any] = {"event_type": "purchase", "session_id": "s"}


def buy(service: Service, *purchases: tuple[str, str]) -> None:
    """`purchases`: users and what they bought."""
    events = [{**PURCHASE, "user_id": user_id, "item_id": item_id} for user_id, item_id in purchases]
    answer = service.client.post("/log/batch", json={"events": events})
    assert answer.status_code == 200, answer.text


def counted(service: Service) -> float:
    return service.metric("reco_feature_consumer_processed_total", status="applied")


def listed(service: Service, path: str) -> list[str]:
    return [item["item_id"] for item in service.client.get(path).json()["items"]]


def test_300_purchases_of_one_user_do_not_pass_those_of_ten(environment: dict[str, str]) -> None:
    with running(environment) as service:
        buy(service, *(("eve", "pushed") for _ in range(300)))
        buy(service, *((f"user-{number}", "liked") for number in range(10)))
        eventually(lambda: set(listed(service, "/popular")) == {"liked", "pushed"}, describe=service.describe)
        eventually(lambda: listed(service, "/popular") == ["liked", "pushed"], describe=service.describe)
        shown = service.client.get("/popular").json()["items"]
        assert shown[1]["score"] < shown[0]["score"]


def test_300_old_purchases_behind_a_full_history_count_once(environment: dict[str, str]) -> None:
    with running(environment) as service:
        view = {**PURCHASE, "user_id": "eve", "event_type": "view"}
        views = [{**view, "item_id": f"other-{number}"} for number in range(50)]
        old = {**PURCHASE, "user_id": "eve", "item_id": "pushed", "ts_ms": time.time_ns() // 1_000_000 - 60_000}
        answer = service.client.post("/log/batch", json={"events": [*views, *(old for _ in range(300))]})
        assert answer.json()["accepted"] == 350
        buy(service, *((f"user-{number}", "liked") for number in range(10)))
        eventually(lambda: counted(service) == 360, describe=service.describe)
        eventually(lambda: {"liked", "pushed"} <= set(listed(service, "/popular?k=100")), describe=service.describe)
        scores = {item["item_id"]: item["score"] for item in service.client.get("/popular?k=100").json()["items"]}
        assert scores["pushed"] < scores["liked"]


@pytest.mark.slow
def test_300_pairs_of_one_user_do_not_pass_those_of_ten(environment: dict[str, str]) -> None:
    with running(environment) as service:
        buy(service, *(("eve", item_id) for _ in range(300) for item_id in ("hit", "pushed")))
        buy(service, *((f"user-{number}", item_id) for number in range(30) for item_id in ("hit", "liked")))
        eventually(lambda: listed(service, "/similar/hit") == ["liked", "pushed"], describe=service.describe)


@pytest.mark.slow
@pytest.mark.shows("CATALOGUE_ONLY")
def test_an_item_that_a_client_made_up_is_not_served_where_only_the_catalogue_is(environment: dict[str, str]) -> None:
    with running({**environment, "CATALOGUE_ONLY": "true"}) as service:
        for item_id in ("hit", "liked"):
            assert service.client.put(f"/items/{item_id}", json={"title": item_id}).status_code == 201
        for user_id in ("ann", "bob", "cy"):
            buy(service, *((user_id, item_id) for item_id in ("hit", "made-up", "liked")))
        eventually(lambda: set(listed(service, "/popular")) == {"hit", "liked"}, describe=service.describe)
        eventually(lambda: listed(service, "/similar/hit") == ["liked"], describe=service.describe)
        assert set(listed(service, "/reco?user_id=dan")) == {"hit", "liked"}
        assert listed(service, "/reco?user_id=ann&exclude_seen=none").count("made-up") == 0
        assert service.client.delete("/items/liked").status_code == 204
        eventually(lambda: listed(service, "/similar/hit") == [], describe=service.describe)
        assert service.client.put("/items/made-up", json={"title": "Real after all"}).status_code == 201
        eventually(lambda: listed(service, "/similar/hit") == ["made-up"], describe=service.describe)
