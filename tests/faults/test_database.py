"""Postgres answers, but refuses what the service wants; and the service refuses what it should not."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app.devstack.ports import choose
from tests.faults.checker import Client, check, client_of
from tests.support.service import ROOT, Service, eventually, running

SEQUENCES = (
    *("event_outbox_id_seq", "feature_changes_id_seq", "feature_consumer_dlq_id_seq", "item_stats_item_key_seq"),
    *("rule_changes_change_id_seq", "experiments_run_seq", "ranking_models_version_seq"),
)
PIN = {"action": "pin", "item_id": "alien", "position": 1}


def test_sequences_behind_after_a_promotion(environment: dict[str, str], database_url: str, redis_url: str) -> None:
    """As on a promoted logical replica: the rows are there, the sequences begin anew, and every connection is new."""
    with running(environment) as service, client_of(service.url) as client:
        client.send(9)
        assert service.client.put("/rules/first", json=PIN).status_code == 201
        check(client, database_url=database_url, redis_url=redis_url, within_sec=20.0)
        with psycopg.connect(database_url, autocommit=True) as connection:
            for name in SEQUENCES:
                connection.execute("SELECT setval(%s::regclass, 1, false)", [name])
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'reco %'"
            )
        client.send(60)
        client.settle()
        check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
        assert service.metric("reco_feature_consumer_processed_total", status="dlq") == 0
        assert service.client.put("/rules/second", json=PIN).status_code == 201
        with psycopg.connect(database_url) as connection:
            learnt = "INSERT INTO ranking_models (weights, origin, reason) VALUES ('{}', 'learned', '')"
            assert connection.execute(f"{learnt} RETURNING version").fetchone() == (2,)
            connection.rollback()


def test_sequences_set_back_under_a_running_service(
    environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    with running(environment) as service, client_of(service.url) as client:
        client.send(9)
        check(client, database_url=database_url, redis_url=redis_url, within_sec=20.0)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT setval('item_stats_item_key_seq', 1, false)")
        client.send(60)
        check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
        assert "sequences_advanced" in service.log()
        assert set(client.statuses) == {202}


@pytest.mark.slow
@pytest.mark.parametrize("requests_come", [True, False])
def test_lock_on_events(environment: dict[str, str], database_url: str, redis_url: str, requests_come: bool) -> None:
    """Readiness tells, and returns by itself even if no request comes because of it."""
    with running(environment) as service, client_of(service.url) as client:
        client.send(10)
        with locked(database_url, "events"):
            if requests_come:
                with Client(service.url) as other:
                    eventually(lambda: not is_ready(service), 15.0, service.describe)
                    other.finish()
                    assert other.statuses[503] > 0
            eventually(lambda: not is_ready(service), 15.0, service.describe)
            told = service.readiness()
            assert told["status"] == "unavailable"
            assert told["tasks"]["ingest-buffer"]["state"] == "failing"
            assert "lock timeout" in told["tasks"]["ingest-buffer"]["error"]
            assert told["dependencies"]["postgres"]["state"] == "up"
            assert service.status("/healthz") == 200
        eventually(lambda: is_ready(service), describe=service.describe)
        client.send(10)
        assert set(client.statuses) == {202}


@pytest.mark.slow
def test_lock_on_histories(environment: dict[str, str], database_url: str, redis_url: str) -> None:
    """The process goes on taking events, and says that lists fail."""
    with running({**environment, "ROLE": "api"}) as api, client_of(api.url) as client:
        with locked(database_url, "user_history"):
            eventually(lambda: api.readiness()["status"] == "degraded", 20.0, api.describe)
            told = api.readiness()
            assert told["ready"]
            assert told["tasks"]["histories"]["state"] == "failing"
            assert told["tasks"]["histories"]["need"] == "degrades"
            assert api.status("/reco?user_id=unknown-to-the-cache") == 503
            client.send(10)
        eventually(lambda: api.readiness()["status"] == "ready", 5.0, api.describe)
        assert api.status("/reco?user_id=unknown-to-the-cache") == 200
        assert set(client.statuses) == {202}


@pytest.mark.slow
@pytest.mark.parametrize("sqlstate", ["53100", "XX000", "23514"])
def test_no_room_on_the_disk(environment: dict[str, str], database_url: str, redis_url: str, sqlstate: str) -> None:
    """Raised by a trigger: what a full disk, an error that nobody has heard of, and a missing partition answer."""
    with running(environment) as service, Client(service.url) as client:
        client.await_more(20)
        with failing(database_url, "events", sqlstate):
            eventually(lambda: client.statuses[503] > 3, 15.0, service.describe)
            eventually(lambda: not is_ready(service), 15.0, service.describe)
            assert service.readiness()["tasks"]["ingest-buffer"]["state"] == "failing"
            client.finish()
        eventually(lambda: is_ready(service), 15.0, service.describe)
        client.settle()
        assert set(client.statuses) == {202, 503}
        check(client, database_url=database_url, redis_url=redis_url, within_sec=15.0)


@pytest.mark.slow
def test_statement_that_is_always_too_slow_for_a_batch(
    environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    front = {**environment, "ROLE": "api,relay"}
    slow = {
        **environment,
        "ROLE": "consumer",
        "HTTP_PORT": str(choose()),
        "FEATURE_CONSUMER_MEMBERS": "1",
        "DB_STATEMENT_TIMEOUT_MS": "1000",
    }
    with running(front) as api, client_of(api.url) as client:
        client.send(100)
        eventually(lambda: api.metric("reco_outbox_relay_published_total") >= 100, 30.0, api.describe)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$"
            )
            connection.execute(
                "CREATE TRIGGER dawdle BEFORE INSERT ON feature_event_consumed FOR EACH ROW EXECUTE FUNCTION dawdle()"
            )
            with running(slow) as consumer:
                check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
                assert batches(consumer, 1000) == batches(consumer, 50) > 0
                connection.execute("DROP TRIGGER dawdle ON feature_event_consumed")

                def grown() -> bool:
                    """A backlog gives the consumer full batches."""
                    consumer.process.send_signal(signal.SIGSTOP)
                    client.send(150)
                    consumer.process.send_signal(signal.SIGCONT)
                    check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
                    return batches(consumer, 1000) > batches(consumer, 50)

                eventually(grown, 60.0, consumer.describe)
                assert is_ready(consumer)


@pytest.mark.slow
def test_relays_statement_that_is_always_too_slow_for_a_batch(
    environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    """Each row takes 50 ms to delete, and a statement one second. A batch would be published again without an end."""
    front = {**environment, "ROLE": "api,consumer"}
    slow = {**environment, "ROLE": "relay", "HTTP_PORT": str(choose()), "DB_STATEMENT_TIMEOUT_MS": "1000"}
    with running(front) as api, client_of(api.url) as client:
        client.send(100)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(0.05); RETURN OLD; END $$"
            )
            connection.execute(
                "CREATE TRIGGER dawdle BEFORE DELETE ON event_outbox FOR EACH ROW EXECUTE FUNCTION dawdle()"
            )
        with running(slow) as relay:
            check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
            eventually(lambda: is_ready(relay), 15.0, relay.describe)


@pytest.mark.slow
@pytest.mark.shows("FEATURE_CONSUMER_BRAKE_RETRY_SEC")
def test_fold_with_a_bug(environment: dict[str, str], database_url: str, redis_url: str, tmp_path: Path) -> None:
    """The brake holds the topic instead of turning it into dead letters, and lets go once the bug is mended."""
    bug = tmp_path / "bug"
    (tmp_path / "sitecustomize.py").write_text(
        f"import pathlib, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from workers import counting\nhonest = counting.fold\n"
        f"def fold(*args, **named):\n    if pathlib.Path({str(bug)!r}).exists():\n        raise KeyError('a bug')\n"
        "    return honest(*args, **named)\ncounting.fold = fold\n"
    )
    flawed = {
        **environment,
        "ROLE": "consumer",
        "HTTP_PORT": str(choose()),
        "PYTHONPATH": str(tmp_path),
        "FEATURE_CONSUMER_MEMBERS": "1",
        "FEATURE_CONSUMER_BRAKE_RETRY_SEC": "2",
    }
    front = {**environment, "ROLE": "api,relay"}
    with running(front) as api, client_of(api.url) as client, running(flawed) as consumer:
        client.send(20)
        check(client, database_url=database_url, redis_url=redis_url, within_sec=20.0)
        bug.touch()
        client.send(200)
        eventually(lambda: not is_ready(consumer), 15.0, consumer.describe)
        told = consumer.readiness()["tasks"]["feature-consumer"]
        assert told["state"] == "failing"
        assert "KeyError in fold" in told["error"]
        assert "FEATURE_CONSUMER_BRAKE_RETRY_SEC" in told["error"]
        assert is_ready(api)
        first = braked(consumer)
        eventually(lambda: braked(consumer) > first + 1, 15.0, consumer.describe)
        with psycopg.connect(database_url) as connection:
            row = connection.execute("SELECT count(*) FROM feature_consumer_dlq").fetchone()
            assert row is not None
            assert row[0] == 10
        bug.unlink()
        eventually(lambda: is_ready(consumer), 15.0, consumer.describe)
        with psycopg.connect(database_url) as connection:
            eventually(lambda: consumed(connection) == 220 - row[0], 15.0, consumer.describe)
            assert connection.execute("SELECT count(*) FROM feature_consumer_dlq").fetchone() == row
        assert consumer.terminate() == 0


def is_ready(service: Service) -> bool:
    return httpx.get(f"{service.url}/readyz", timeout=15.0, verify=False).status_code == 200


def braked(service: Service) -> float:
    return service.metric("reco_feature_consumer_errors_total", kind="Braked")


def batches(service: Service, at_most: int) -> float:
    """Transactions of the consumer with at most so many messages."""
    return service.metric("reco_feature_consumer_batch_events_bucket", le=f"{at_most:.1f}")


def consumed(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM feature_event_consumed").fetchone()
    connection.rollback()
    assert row is not None
    return int(row[0])


@contextmanager
def locked(database_url: str, table: str) -> Iterator[None]:
    with psycopg.connect(database_url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield


@contextmanager
def failing(database_url: str, table: str, sqlstate: str) -> Iterator[None]:
    """Each insert raises it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'inner words' USING ERRCODE = '{sqlstate}'; END $$".encode()
        )
        connection.execute(
            f"CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()".encode()
        )
        try:
            yield
        finally:
            connection.execute(f"DROP TRIGGER fail ON {table}".encode())
