"""A process dies at the worst moment. Nothing is lost and nothing counts twice."""

from collections.abc import Iterator

import pytest

from app.devstack.ports import choose
from tests.faults.checker import Client, check, client_of
from tests.faults.proxy import proxied_url
from tests.support.service import Service, eventually, running


@pytest.fixture
def api(environment: dict[str, str]) -> Iterator[Service]:
    with running({**environment, "ROLE": "api"}) as service:
        yield service


@pytest.fixture
def client(api: Service) -> Iterator[Client]:
    with client_of(api.url) as client:
        yield client


def role(environment: dict[str, str], name: str, **changes: str) -> dict[str, str]:
    return {**environment, "ROLE": name, "HTTP_PORT": str(choose()), **changes}


def test_relay_killed_between_kafkas_acknowledgement_and_its_commit(
    client: Client, environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    ids = client.send(30)
    with proxied_url(database_url) as (proxy, url):
        # The relay's own deletion: maintenance deletes from the outbox too, by another condition.
        proxy.trap(b"COMMIT", after=b"DELETE FROM event_outbox WHERE id = ANY ($1")
        with running(role(environment, "relay", DATABASE_URL=url)) as relay:
            assert proxy.caught.wait(20.0), relay.describe()
            relay.kill()
    with running(role(environment, "relay")), running(role(environment, "consumer")) as consumer:
        check(client, database_url=database_url, redis_url=redis_url, within_sec=10.0)
        eventually(lambda: applied(consumer) == len(ids), describe=consumer.describe)
        # The first copies are there too, and were not counted.
        eventually(
            lambda: consumer.metric("reco_feature_consumer_processed_total", status="duplicate") > 0,
            describe=consumer.describe,
        )


def test_consumer_killed_before_its_commit(
    client: Client, environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    with proxied_url(database_url) as (proxy, url), running(role(environment, "relay")):
        proxy.trap(b"COMMIT", after=b"INSERT INTO feature_event_consumed")
        with running(role(environment, "consumer", DATABASE_URL=url)) as consumer:
            client.send(30)
            assert proxy.caught.wait(20.0), consumer.describe()
            consumer.kill()
        with running(role(environment, "consumer")):
            check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)


@pytest.mark.parametrize("held", ["request", "response"], ids=["before the cache", "after the cache"])
def test_consumer_killed_after_postgres_and_before_kafkas_offset(
    client: Client, environment: dict[str, str], database_url: str, redis_url: str, held: str
) -> None:
    """The cache comes between the two, so a cache that does not answer holds the consumer there."""
    with proxied_url(redis_url) as (proxy, url), running(role(environment, "relay")):
        proxy.trap(b"reco:history:", direction="request" if held == "request" else "response")
        slow = role(environment, "consumer", ONLINE_CACHE_REDIS_URL=url, ONLINE_CACHE_REDIS_TIMEOUT_SEC="60")
        with running(slow) as consumer:
            client.send(30)
            assert proxy.caught.wait(20.0), consumer.describe()
            consumer.kill()
        with running(role(environment, "consumer")) as consumer:
            check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
            eventually(
                lambda: consumer.metric("reco_feature_consumer_processed_total", status="duplicate") > 0,
                within_sec=30.0,
                describe=consumer.describe,
            )


def test_consumers_come_and_go_under_load(
    api: Service, environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    with running(role(environment, "relay")), running(role(environment, "consumer")), Client(api.url) as client:
        for number in range(4):
            with running(role(environment, "consumer")) as guest:
                client.await_more(20)
                guest.kill() if number % 2 else guest.terminate()
        client.finish()
        client.settle()
        check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
    assert set(client.statuses) == {202}


def applied(consumer: Service) -> float:
    return consumer.metric("reco_feature_consumer_processed_total", status="applied")
