"""Which version of the model serves is chosen over HTTP, previewed, and told in the audit log."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from app.core import keys
from tests.support.database import ask
from tests.support.service import Service, eventually, running

OPS, OPS_TOKEN = keys.make("ops", ["admin"], "o" * 43)
READER, READER_TOKEN = keys.make("page", ["read"], "r" * 43)


@pytest.fixture
def service(environment: dict[str, str], database_url: str) -> Iterator[Service]:
    """With two more versions of the model, which have not served yet."""
    with running({**environment, "API_KEYS": f"{OPS.entry()},{READER.entry()}"}) as started:
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute(
                "INSERT INTO ranking_models (weights, origin, reason, figures) "
                "SELECT weights, 'imported', 'a test', '{}' FROM ranking_models, generate_series(1, 2)"
            )
        event = {"user_id": "ann", "session_id": "s", "item_id": "tent", "event_type": "view"}
        for user in ("ann", "bob"):
            answer = started.client.post("/event", json={**event, "user_id": user}, headers=operator())
            assert answer.status_code == 202
        eventually(lambda: len(listed(started)["items"]) > 0, describe=started.describe)
        yield started


def operator() -> dict[str, str]:
    return {"x-api-key": OPS_TOKEN}


def listed(service: Service, **query: str) -> dict[str, Any]:
    answer = service.client.get("/reco", params={"user_id": "cid", **query}, headers=operator())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def act(service: Service, what: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = service.client.post(f"/model/{what}", json=body, headers=operator())
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_operator_promotes_pins_and_rolls_back_over_http(service: Service, database_url: str) -> None:
    found = service.client.get("/models", headers=operator()).json()
    assert [one["version"] for one in found["versions"]] == [3, 2, 1]
    assert (found["serves"], found["pinned"]) == (1, False)
    done = act(service, "promote", {"version": 2, "reason": "it is bolder"})
    assert done == {"serves": 2, "pinned": False, "instead_of": 1}
    eventually(lambda: listed(service)["model_version"] == "weights-2", describe=service.describe)
    assert act(service, "pin", {"pinned": True}) == {"serves": 2, "pinned": True, "instead_of": None}
    assert act(service, "rollback", {"reason": "too bold"}) == {"serves": 1, "pinned": True, "instead_of": 2}
    eventually(lambda: listed(service)["model_version"] == "weights-1", describe=service.describe)
    assert act(service, "rollback", {}) == {"serves": 1, "pinned": True, "instead_of": None}
    assert act(service, "pin", {"pinned": False})["pinned"] is False
    missing = act(service, "promote", {"version": 9}, status=404)
    assert [error["path"] for error in missing["errors"]] == ["$.version"]
    told = ask(
        database_url,
        "SELECT string_agg(targets[1] || ' ' || outcome, ', ' ORDER BY recorded_at) FROM audit_log WHERE actor = 'ops'",
    )
    assert str(told).startswith("2 served, 2 pinned, 1 rolled_back, 1 pinned")


def test_what_was_decided_about_another_version_changes_nothing(service: Service) -> None:
    for version in (2, 3):
        act(service, "promote", {"version": version, "pin": True})

    def roll_back(_: int) -> int:
        body = {"version": 3, "reason": "lists are odd"}
        return service.client.post("/model/rollback", json=body, headers=operator()).status_code

    # As operators do who all see the same, and a program that lost the answer.
    with ThreadPoolExecutor(4) as several:
        assert sorted(several.map(roll_back, range(4))) == [200, 409, 409, 409]
    for what, body, path in (
        ("rollback", {"version": 3}, "$.version"),
        ("pin", {"pinned": False, "version": 3}, "$.version"),
        ("promote", {"version": 1, "instead_of": 3}, "$.instead_of"),
    ):
        refused = act(service, what, body, status=409)
        assert (refused["code"], refused["errors"][0]["path"]) == ("model_changed", path)
        assert "version 2 serves by now, not version 3" in refused["errors"][0]["message"]
        found = service.client.get("/models", headers=operator()).json()
        assert (found["serves"], found["pinned"]) == (2, True)
    assert act(service, "pin", {"pinned": False, "version": 2})["pinned"] is False
    assert act(service, "promote", {"version": 1, "instead_of": 2})["instead_of"] == 2


@pytest.mark.slow
def test_version_is_previewed_without_serving(service: Service) -> None:
    preview = listed(service, variant="model-2")
    assert (preview["model_version"], preview["variant"]) == ("weights-2", "preview")
    assert listed(service)["model_version"] == "weights-1"
    posted = service.client.post("/reco", json={"user_id": "cid", "variant": "model-2"}, headers=operator())
    assert posted.status_code == 200, posted.text
    assert posted.json()["model_version"] == "weights-2"
    ranked = service.metric("reco_stage_latency_ms_count", stage="rank")
    for answer in (
        service.client.get("/reco?user_id=cid&variant=model-9", headers=operator()),
        service.client.post("/reco", json={"user_id": "cid", "variant": "model-9"}, headers=operator()),
    ):
        assert answer.status_code == 404
        assert "version 9" in answer.json()["detail"]
    assert service.metric("reco_stage_latency_ms_count", stage="rank") == ranked


@pytest.mark.slow
def test_key_that_only_reads_lists_versions_and_changes_nothing(service: Service) -> None:
    headers = {"x-api-key": READER_TOKEN}
    assert service.client.get("/models", headers=headers).status_code == 200
    for what, body in (("promote", {"version": 2}), ("rollback", {}), ("pin", {"pinned": True})):
        assert service.client.post(f"/model/{what}", json=body, headers=headers).status_code == 403
    assert service.client.get("/models", headers=headers).json()["serves"] == 1
