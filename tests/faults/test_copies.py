"""Copies of histories: those that a process keeps for outages, and those of a snapshot that is loaded into Redis."""

import httpx
import pytest
import redis

from app.devstack import Stack
from tests.faults.roles import role
from tests.support.service import Service, eventually, running


@pytest.mark.slow
def test_user_erased_by_another_process_just_before_an_outage(
    breakable_stack: Stack, environment: dict[str, str]
) -> None:
    """Both processes have served Ann and Bob. Bob is erased by one of them, then Postgres freezes."""
    patient = {**environment, "ONLINE_CACHE_ENABLED": "false", "EXPLORATION_SHARE": "0"}
    patient |= {"DB_STATEMENT_TIMEOUT_MS": "30000", "DB_CONNECT_TIMEOUT_SEC": "30", "HTTP_REQUEST_TIMEOUT_SEC": "30"}
    with running(patient) as first, running(role(patient, "api")) as second:
        for user in ("ann", "bob"):
            takes(first, user, "tent")
        for service in (first, second):
            for user in ("ann", "bob"):
                eventually(lambda service=service, user=user: repeated(service, user) == {"tent"}, 20, first.describe)
        # Keeps the rules, so that only the feed brings another one; what is known of the item, counting changes too.
        eventually(lambda: rules_named(second) == [[]], describe=second.describe)
        assert first.client.delete("/users/bob").status_code == 200
        # What comes after the erasure in the feed of changes has arrived, and so has the erasure.
        rule = {"action": "boost", "item_id": "tent", "factor": 2}
        assert first.client.put("/rules/after", json=rule).status_code == 201
        eventually(lambda: rules_named(second) == [["after"]], describe=second.describe)
        breakable_stack.postgres.pause()
        try:
            for service in (first, second):
                assert repeated(service, "ann") == {"tent"}
                answer = asked(service, "bob")
                assert answer.status_code == 503, answer.text
        finally:
            breakable_stack.postgres.resume()
        for service in (first, second):
            eventually(lambda service=service: service.status("/readyz") == 200, 30.0, service.describe)
            assert repeated(service, "bob") == set()


def test_an_old_snapshot_loaded_into_a_running_redis(environment: dict[str, str], redis_url: str) -> None:
    """Ann has gone on since, and Bob was erased."""
    with running({**environment, "EXPLORATION_SHARE": "0"}) as service, redis.Redis.from_url(redis_url) as cache:
        for user in ("ann", "bob"):
            takes(service, user, "tent")
            eventually(lambda user=user: repeated(service, user) == {"tent"}, 20, service.describe)
        eventually(lambda: not cache.keys("*reco:own.v1:*"), describe=service.describe)  # all is counted
        snapshot = {key: cache.dump(key) for key in cache.keys("*")}
        takes(service, "ann", "pen")
        assert service.client.delete("/users/bob").status_code == 200
        eventually(lambda: repeated(service, "ann") == {"tent", "pen"}, 20, service.describe)
        assert repeated(service, "bob") == set()
        # A process tells a snapshot that is older than its last probe.
        probes = f"{environment['KAFKA_TOPIC_PREFIX']}reco:history.probes"
        counted = int(cache.get(probes))
        eventually(lambda: int(cache.get(probes)) > counted, describe=service.describe)
        for key, value in snapshot.items():
            cache.restore(key, 0, value, replace=True)
        eventually(lambda: repeated(service, "ann") == {"tent", "pen"}, 5, service.describe)
        eventually(lambda: repeated(service, "bob") == set(), 5, service.describe)
        assert service.metric("reco_online_cache_epochs_total", reason="redis") >= 1


def takes(service: Service, user_id: str, item_id: str) -> None:
    event = {"user_id": user_id, "session_id": f"of {user_id}", "item_id": item_id, "event_type": "purchase"}
    assert service.client.post("/event", json=event).status_code == 202


def asked(service: Service, user_id: str) -> httpx.Response:
    return service.client.get("/reco", params={"user_id": user_id, "repeats": "only"})


def repeated(service: Service, user_id: str) -> set[str]:
    """The items of the user's history, as the process serves them."""
    answer = asked(service, user_id)
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"] if item["source"] == "repeat"}


def rules_named(service: Service) -> list[list[str]]:
    """Of the popular items, the rules that move each."""
    return [item["rules"] for item in service.client.get("/popular?explain=true").json()["items"]]
