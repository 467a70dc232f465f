"""A constraint of the application on `events` refuses those of one tenant, or those of everybody."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from app.devstack.ports import choose
from tests.faults.checker import check, client_of
from tests.faults.test_database import is_ready
from tests.support.service import Service, eventually, running

Send = Callable[[Service, str], int]


def single(service: Service, user: str) -> int:
    return service.client.post("/event", json=view(user)).status_code


def atomic(service: Service, user: str) -> int:
    return service.client.post("/log/batch?atomic=true", json=[view(user), view(user)]).status_code


def view(user: str) -> dict[str, str]:
    return {"event_type": "view", "user_id": user, "session_id": "s", "item_id": "tent"}


@pytest.mark.slow
@pytest.mark.parametrize("send", [single, atomic])
def test_tenant_whose_events_are_refused_turns_nobody_unready(
    environment: dict[str, str], database_url: str, redis_url: str, send: Send
) -> None:
    """Even while nobody else sends anything: what is stored already would be stored again."""
    with running(environment) as service, client_of(service.url) as client:
        client.send(9)
        with refusing(database_url, "user_id NOT LIKE 'bad-%'"):
            refused_alone(service, send)
            assert service.terminate() == 0
            with running(environment) as fresh:  # has stored nothing itself
                refused_alone(fresh, send)
                client.send(9)
                check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
        assert set(client.statuses) == {202}


def refused_alone(service: Service, send: Send) -> None:
    """Events of one tenant's users come and are refused, for longer than it takes to become unready."""
    end = time.monotonic() + 3.0
    for number in itertools.count():
        assert send(service, f"bad-{number % 7}") == 503
        assert is_ready(service), service.readiness()["tasks"]["ingest-buffer"]
        if time.monotonic() > end:
            return


@pytest.mark.parametrize("send", [pytest.param(single, marks=pytest.mark.slow), atomic])
def test_refusal_of_everybodys_events_turns_the_process_unready_until_it_ends(
    environment: dict[str, str], database_url: str, redis_url: str, send: Send
) -> None:
    with running(environment) as service, client_of(service.url) as client:
        client.send(9)
        with refusing(database_url, "false"):
            for user in ("ann", "bob", "cid"):
                assert send(service, user) == 503
            eventually(lambda: not is_ready(service), describe=service.describe)
            told = service.readiness()["tasks"]["ingest-buffer"]
            assert told["state"] == "failing"
            assert "only_some" in told["error"]
            assert service.status("/healthz") == 200
            client.send(9)
        eventually(lambda: is_ready(service), 5.0, service.describe)
        client.settle()
        assert set(client.statuses) == {202, 503}
        check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)


def test_user_whose_row_a_trigger_refuses_holds_up_nobody_else(
    environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    """More events of that user than the brake lets pass, and the first ones that a consumer reads after its start. They
    are counted once the trigger is gone.
    """
    consumer = {**environment, "ROLE": "consumer", "HTTP_PORT": str(choose()), "FEATURE_CONSUMER_MEMBERS": "1"}
    with (
        running({**environment, "ROLE": "api,relay"}) as api,
        client_of(api.url) as client,
        psycopg.connect(database_url, autocommit=True) as connection,
    ):
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON user_history FOR EACH ROW "
            "WHEN (NEW.user_id = 'bad-1') EXECUTE FUNCTION refuse()"
        )
        events = [view("bad-1") for _ in range(30)]
        assert api.client.post("/log/batch", json={"events": events}).status_code == 200
        client.send(24)

        def dead() -> tuple[Any, ...] | None:
            return connection.execute(
                "SELECT count(*), count(DISTINCT message_key) FROM feature_consumer_dlq"
            ).fetchone()

        counted = "SELECT count(*) FROM feature_event_consumed"
        with running(consumer) as service:
            eventually(lambda: dead() == (30, 1), 20.0, service.describe)
            eventually(lambda: connection.execute(counted).fetchone() == (24,), 20.0, service.describe)
            assert is_ready(service)
            connection.execute("DROP TRIGGER refuse ON user_history")
            assert api.client.post("/dead-letters/replay", json={"source": "dlq"}).status_code == 200
            check(client, database_url=database_url, redis_url=redis_url, within_sec=20.0, dead_letters=30)
            assert connection.execute(counted).fetchone() == (54,)


@contextmanager
def refusing(database_url: str, condition: str) -> Iterator[None]:
    """New events must meet the condition."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE events ADD CONSTRAINT only_some CHECK ({condition}) NOT VALID".encode())
        try:
            yield
        finally:
            connection.execute("ALTER TABLE events DROP CONSTRAINT only_some")
