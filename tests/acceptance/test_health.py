"""Killing a dependency turns its entry and nothing else, and it turns back without a restart."""

import pytest

from app.devstack import Stack
from tests.support.service import Service, eventually, running


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "status_code", "status"),
    [("postgres", 503, "unavailable"), ("kafka", 200, "degraded"), ("redis", 200, "degraded")],
)
def test_a_killed_dependency_turns_its_own_entry_and_back(
    breakable_stack: Stack, environment: dict[str, str], name: str, status_code: int, status: str
) -> None:
    server = {"postgres": breakable_stack.postgres, "kafka": breakable_stack.kafka, "redis": breakable_stack.redis}[
        name
    ]
    with running(environment) as service:
        eventually(lambda: states(service) == all_up(), describe=service.describe)
        server.kill()
        eventually(lambda: running_states(service) == {**all_up(), name: "down"}, 20.0, service.describe)
        assert service.status("/readyz") == status_code
        assert service.readiness()["status"] == status
        assert service.readiness()["dependencies"][name]["error"]
        assert service.status("/healthz") == 200

        server.start()
        eventually(lambda: states(service) == all_up(), 40.0, service.describe)
        eventually(lambda: service.status("/readyz") == 200, describe=service.describe)
        event = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "event_type": "view"}
        assert service.client.post("/event", json=event).status_code == 202
        eventually(
            lambda: [item["item_id"] for item in service.client.get("/popular").json()["items"]] == ["alien"],
            40.0,
            service.describe,
        )
        assert {task["restarts"] for task in service.readiness()["tasks"].values()} == {0}


def states(service: Service) -> dict[str, str]:
    report = service.readiness()
    return {name: entry["state"] for part in ("tasks", "dependencies") for name, entry in report[part].items()}


def running_states(service: Service) -> dict[str, str]:
    """A task whose work fails without the dependency runs on."""
    return {name: "running" if state == "failing" else state for name, state in states(service).items()}


def all_up() -> dict[str, str]:
    api = ("ingest-buffer", "ingest-notifier", "change-feed", "sla-window", "refused-keys", "warm-up", "histories")
    workers = ("outbox-relay", "feature-consumer", "feature-consumer-2", "learner", "maintenance")
    tasks = ("http-server", "health-probe", "cache-switch", *api, *workers)
    return {**dict.fromkeys(tasks, "running"), "postgres": "up", "kafka": "up", "redis": "up"}


def test_metrics_tell_readiness_to_whoever_asks_for_nothing_else(
    breakable_stack: Stack, environment: dict[str, str]
) -> None:
    service = Service(environment)
    try:
        eventually(lambda: service.status("/healthz") == 200, 40.0)
        ready = {"scope": "process", "check": "ready"}
        eventually(lambda: service.metric("reco_api_check_status", **ready) == 1, 40.0)
        breakable_stack.postgres.kill()
        eventually(lambda: service.metric("reco_api_check_status", **ready) == 0, 20.0)
        breakable_stack.postgres.start()
        eventually(lambda: service.metric("reco_api_check_status", **ready) == 1, 40.0)
    finally:
        service.close()
