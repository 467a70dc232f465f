"""A process is frozen in the middle of its work, another does the work, and then the first one goes on."""

import json

import pytest

from app.devstack import Stack
from tests.faults.checker import check_service, client_of
from tests.faults.proxy import proxied_url
from tests.faults.roles import role
from tests.faults.test_outages import reading
from tests.support.database import ask
from tests.support.service import eventually, running

COUNTED = "SELECT count(*) FROM feature_event_consumed"


@pytest.mark.slow
@pytest.mark.parametrize("before", ["its commit", "the cache"])
def test_consumer_frozen_beyond_its_session(environment: dict[str, str], before: str) -> None:
    """What the first one sends when it goes on changes nothing: its transaction and its partitions are gone."""
    setting = "DATABASE_URL" if before == "its commit" else "ONLINE_CACHE_REDIS_URL"
    with (
        running({**environment, "ROLE": "api,relay"}) as front,
        client_of(front.url) as client,
        proxied_url(environment[setting]) as (proxy, url),
    ):
        if before == "its commit":
            proxy.trap(b"COMMIT", after=b"INSERT INTO feature_event_consumed")
        else:
            proxy.trap(b"reco:history:")
        through = role(environment, "consumer", **{setting: url, "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "60"})
        with running(through) as frozen:
            client.send(30)
            assert proxy.caught.wait(60.0), frozen.describe()
            frozen.freeze()
            with running(role(environment, "consumer")) as other:
                client.send(30)
                # The group gives its partitions to the other one when its session has ended.
                eventually(lambda: ask(environment["DATABASE_URL"], COUNTED) == 60, 60.0, other.describe)
                proxy.release()
                frozen.thaw()
                client.send(10)
                check_service(client, environment, within_sec=30.0)
                eventually(lambda: frozen.status("/readyz") == 200, 30.0, frozen.describe)
                assert frozen.metric("reco_feature_consumer_processed_total", status="dlq") == 0


@pytest.mark.slow
def test_relay_frozen_with_its_rows_while_another_runs(environment: dict[str, str]) -> None:
    """Postgres ends the lease of the first one, and the other publishes its rows a second time."""
    with (
        running({**environment, "ROLE": "api,consumer"}) as front,
        client_of(front.url) as client,
        proxied_url(environment["DATABASE_URL"]) as (proxy, url),
    ):
        proxy.trap(b"COMMIT", after=b"DELETE FROM event_outbox WHERE id = ANY ($1")
        with running(role(environment, "relay", DATABASE_URL=url)) as frozen:
            client.send(30)
            assert proxy.caught.wait(60.0), frozen.describe()
            frozen.freeze()
            held = ask(environment["DATABASE_URL"], "SELECT count(*) FROM event_outbox")
            assert held > 0
            with running(role(environment, "relay")) as other:
                client.send(30)
                check_service(client, environment, within_sec=35.0)
                assert other.metric("reco_outbox_relay_published_total") >= held
                proxy.release()
                frozen.thaw()
                client.send(30)
                check_service(client, environment, within_sec=30.0)
                eventually(lambda: frozen.status("/readyz") == 200, 30.0, frozen.describe)


@pytest.mark.slow
def test_postgres_frozen_while_users_read(breakable_stack: Stack, environment: dict[str, str]) -> None:
    """Copies are served after a second: nobody waits for a connection that gets no answer to be given up."""
    patient = {**environment, "ONLINE_CACHE_ENABLED": "false", "DB_CONNECT_TIMEOUT_SEC": "30"}
    patient |= {"DB_STATEMENT_TIMEOUT_MS": "30000", "HTTP_REQUEST_TIMEOUT_SEC": "30"}
    with running(patient) as service, client_of(service.url) as client:
        client.send(24)
        check_service(client, environment, within_sec=30.0)
        with reading(service.url, timeout_sec=10.0) as answers:
            eventually(lambda: answers.total() > 30, 30.0, service.describe)
            breakable_stack.postgres.pause()
            frozen = answers.total()
            eventually(lambda: answers.total() > frozen + 5, 60.0, service.describe)
            asked = {"user_ids": ["user-1", "nobody"], "k": 3}
            found = service.client.post("/reco/batch", json=asked, timeout=60.0)
            known, unknown = map(json.loads, found.text.splitlines())
            assert ("error" in known, "error" in unknown) == (False, True), found.text
        breakable_stack.postgres.resume()
        assert set(answers) == {200}
        eventually(lambda: service.status("/readyz") == 200, 30.0, service.describe)
        client.send(10)
        check_service(client, environment, within_sec=30.0)
        assert service.terminate() == 0, service.log()
        assert "never retrieved" not in service.log()
