"""Hosts whose clocks are wrong: leases, backoff, erasure and the times of events go by the database's clock."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psycopg
import pytest

from app.core.history import decode_history
from tests.faults.checker import check_service, client_of
from tests.faults.roles import role
from tests.support.clock import off_by
from tests.support.database import ask
from tests.support.service import Service, eventually, running

_HOUR_SEC: Final = 3600


@pytest.mark.slow
@pytest.mark.parametrize("direction", [-1, 1], ids=["workers an hour behind", "workers an hour ahead"])
def test_clocks_an_hour_apart(environment: dict[str, str], tmp_path: Path, direction: int) -> None:
    """A row for a topic that is not there is tried three times, and its backoff is seconds, not hours."""
    url = environment["DATABASE_URL"]
    front = off_by(role(environment, "api"), -direction * _HOUR_SEC, tmp_path / "api")
    back = off_by(role(environment, "relay,consumer"), direction * _HOUR_SEC, tmp_path / "workers")
    with running(front) as api, running({**back, "OUTBOX_MAX_ATTEMPTS": "3"}) as workers, client_of(api.url) as client:
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO event_outbox (event_id, topic, message_key, payload) VALUES "
                "('refused-0001', 'no-such-topic', 'ann', '{}')"
            )
        client.send(30)
        refused = "SELECT count(*) FROM event_outbox WHERE status = 'dead' AND attempts = 3"
        eventually(lambda: ask(url, refused) == 1, 30.0, workers.describe)
        check_service(client, environment, within_sec=30.0, dead_rows=1)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [-_HOUR_SEC, -20, 20, _HOUR_SEC])
def test_erasure_by_an_api_whose_clock_is_off(environment: dict[str, str], tmp_path: Path, seconds: int) -> None:
    """By so much that the API sees it, or by less."""
    erase_with_events_on_the_way(environment, tmp_path, seconds)


def erase_with_events_on_the_way(
    environment: Mapping[str, str], folder: Path, seconds: int, module: Sequence[str] = ("app",)
) -> None:
    """Events of before the erasure are in Kafka when it comes, and nobody has counted them yet. `module` counts them.

    Nothing of before comes back, and nothing of after is lost.
    """
    front = off_by(role(environment, "api,relay"), seconds, folder)
    with running(front) as api:
        post(api, "before", 10)
        eventually(lambda: api.metric("reco_outbox_relay_published_total") == 10, describe=api.describe)
        assert api.client.delete("/users/ann").status_code == 200
        post(api, "after", 10)
        with running(role(environment, "consumer"), module=module) as consumer:
            eventually(consumer.reads_all, describe=consumer.describe)
            after = {f"after-{number}" for number in range(10)}
            eventually(
                lambda: history(environment["DATABASE_URL"]) == after,
                5.0,
                lambda: f"{history(environment['DATABASE_URL'])}\n{consumer.describe()}",
            )
            found = ask(environment["DATABASE_URL"], "SELECT count(*) FROM events WHERE event_id LIKE 'before-%'")
            assert found == 0


@pytest.mark.parametrize(
    "hours",
    [25, *(pytest.param(hours, marks=pytest.mark.slow) for hours in (-30, -1, 20, 8 * 24))],
    ids=lambda hours: f"{abs(hours)} hours {'ahead' if hours > 0 else 'behind'}",
)
def test_api_with_a_wrong_clock_dates_events_by_the_database(
    environment: dict[str, str], tmp_path: Path, hours: int
) -> None:
    """Clients send the times that are right by the clocks of everybody else, or none. Readiness names the clock."""
    url = environment["DATABASE_URL"]
    event = {"user_id": "ann", "session_id": "s", "event_type": "view"}
    with running(off_by(environment, hours * _HOUR_SEC, tmp_path)) as service:
        sent_ms = time.time_ns() // 1_000_000
        assert service.client.post("/event", json={**event, "item_id": "tent"}).status_code == 202
        batch = [
            {**event, "item_id": "pen", "ts_ms": sent_ms},
            {**event, "item_id": "ink", "ts_ms": sent_ms + 600_000},
            {**event, "item_id": "cup", "ts_ms": sent_ms - 600_000, "sent_at": sent_ms - 600_000},
        ]
        results = service.client.post("/log/batch", json=batch).json()["results"]
        assert [result["status"] for result in results] == ["accepted", "invalid", "accepted"]
        eventually(lambda: history(url) == {"tent", "pen", "cup"}, describe=service.describe)
        off_ms = f"abs(ts_ms - {sent_ms}), abs((payload ->> 'received_ms')::bigint - {sent_ms})"
        assert ask(url, f"SELECT max(greatest({off_ms})) < 60_000 FROM events")
        assert ask(url, "SELECT count(*) FROM feature_consumer_dlq") == 0
        assert service.client.get("/reco", params={"user_id": "ann"}).status_code == 200

        off = f" s {'ahead of' if hours > 0 else 'behind'} the database's"
        eventually(lambda: off in str(service.readiness()["dependencies"]["clock"]["error"]), describe=service.describe)
        assert service.readiness()["status"] == "degraded"
        assert service.metric("reco_api_check_status", scope="dependency", check="clock") == 0


def post(api: Service, name: str, count: int) -> None:
    for number in range(count):
        item_id = f"{name}-{number}"
        event = {"event_id": f"{name}-{number:05d}", "user_id": "ann", "session_id": "s", "item_id": item_id}
        assert api.client.post("/event", json={**event, "event_type": "view"}).status_code == 202


def history(database_url: str) -> set[str]:
    """The items of ann's stored history."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT history FROM user_history WHERE user_id = 'ann'").fetchone()
    return {entry.item_id for entry in decode_history(row[0]).entries} if row and row[0] else set()
