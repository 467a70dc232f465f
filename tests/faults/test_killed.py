"""A process dies at the worst moment. Nothing is lost and nothing counts twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.devstack import Stack
from tests.faults import stories
from tests.faults.checker import Client, check, check_service, client_of
from tests.faults.proxy import Direction, proxied_url
from tests.faults.roles import role
from tests.support.service import Service, eventually, running


@pytest.fixture
def api(environment: dict[str, str]) -> Iterator[Service]:
    with running({**environment, "ROLE": "api"}) as service:
        yield service


@pytest.fixture
def client(api: Service) -> Iterator[Client]:
    with client_of(api.url) as client:
        yield client


def test_api_killed_while_it_inserts(environment: dict[str, str]) -> None:
    stories.api_killed_while_it_inserts(environment)


@pytest.mark.parametrize(
    "held",
    [
        pytest.param("request", marks=pytest.mark.slow, id="before Postgres has it"),
        pytest.param("response", id="after Postgres has it"),
    ],
)
def test_api_killed_in_the_middle_of_a_batch(
    environment: dict[str, str], database_url: str, redis_url: str, held: Direction
) -> None:
    """The client cannot know which it was: it sends the batch again, under the same ids."""
    with (
        running(role(environment, "relay,consumer")) as workers,
        proxied_url(database_url) as (proxy, url),
        running({**environment, "ROLE": "api", "DATABASE_URL": url}) as api,
        client_of(api.url) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        eventually(workers.reads_all, describe=workers.describe)
        proxy.trap(client.run.encode(), direction=held)
        sent = threads.submit(client.send_batch, 100)
        assert proxy.caught.wait(60.0), api.describe()
        api.kill()
        ids = sent.result(60.0)
        assert client.accepted() == set()
        with running({**environment, "ROLE": "api"}):
            again = client.post_batch(ids)
            assert again == ["accepted" if held == "request" else "duplicate"] * 100
            check_service(client, environment, within_sec=5.0)


@pytest.mark.slow
def test_relay_killed_between_kafkas_acknowledgement_and_its_commit(environment: dict[str, str]) -> None:
    stories.relay_killed_before_its_commit(environment)


@pytest.mark.slow
def test_relay_killed_while_kafka_does_not_answer(breakable_stack: Stack, environment: dict[str, str]) -> None:
    stories.relay_killed_while_kafka_does_not_answer(breakable_stack, environment)


@pytest.mark.slow
def test_consumer_killed_before_its_commit(environment: dict[str, str]) -> None:
    stories.consumer_killed_before_its_commit(environment)


@pytest.mark.slow
@pytest.mark.parametrize("held", ["request", "response"], ids=["before the cache", "after the cache"])
def test_consumer_killed_after_postgres_and_before_kafkas_offset(
    client: Client, environment: dict[str, str], database_url: str, redis_url: str, held: str
) -> None:
    """The cache comes between the two, so a cache that does not answer holds the consumer there."""
    with proxied_url(redis_url) as (proxy, url), running(role(environment, "relay")):
        proxy.trap(b"reco:history.v3:", direction="request" if held == "request" else "response")
        slow = role(environment, "consumer", ONLINE_CACHE_REDIS_URL=url, ONLINE_CACHE_REDIS_TIMEOUT_SEC="60")
        with running(slow) as consumer:
            client.send(30)
            assert proxy.caught.wait(60.0), consumer.describe()
            consumer.kill()
        with running(role(environment, "consumer")) as consumer:
            check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
            eventually(
                lambda: consumer.metric("reco_feature_consumer_processed_total", status="duplicate") > 0,
                within_sec=30.0,
                describe=consumer.describe,
            )


@pytest.mark.slow
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
