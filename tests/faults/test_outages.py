"""A server dies, freezes, falls silent or cuts connections under load."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import psycopg
import pytest
import redis

from app.devstack import Stack
from tests.faults.checker import Client, check, check_service
from tests.faults.proxy import proxied_url
from tests.support.service import Service, eventually, running

_STATE_LINES: Final = ("relay_waits", "relay_resumes", "consumer_waits", "consumer_resumes")
_LOOPS: Final = 2
_SLOW_SEC: Final = 5.0


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["killed", "stopped"])
def test_kafka_killed_and_restarted(
    breakable_stack: Stack, environment: dict[str, str], database_url: str, redis_url: str, fault: str
) -> None:
    with running(environment) as service, Client(service.url) as client:
        client.await_more(20)
        if fault == "killed":
            breakable_stack.kafka.kill()
        else:
            breakable_stack.kafka.stop()
        eventually(lambda: relay_errors(service, "kafka") > 0, 30.0, service.describe)
        client.await_more(20)
        breakable_stack.kafka.start()
        client.await_more(20)
        client.finish()
        assert set(client.statuses) == {202}
        check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
        assert_well(service)


@pytest.mark.slow
def test_kafka_frozen_for_longer_than_a_send_may_take(
    breakable_stack: Stack, environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    hasty = {**environment, "OUTBOX_RELAY_PUBLISH_TIMEOUT_SEC": "1", "OUTBOX_MAX_ATTEMPTS": "1"}
    with running(hasty) as service, Client(service.url) as client:
        client.await_more(20)
        breakable_stack.kafka.pause()
        frozen = time.monotonic()
        eventually(lambda: relay_errors(service, "kafka") >= 3, 30.0, service.describe)
        # Longer than the session of the consumer and than each of its requests: the length is the fault.
        eventually(lambda: time.monotonic() - frozen > 45.0, 60.0)
        with psycopg.connect(database_url) as connection:
            rows = connection.execute("SELECT max(attempts), count(*) FROM event_outbox").fetchone()
        assert rows is not None
        assert rows[0] == 0
        assert rows[1] > 0
        breakable_stack.kafka.resume()
        client.finish()
        assert set(client.statuses) == {202}
        check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
        assert_well(service)


def test_postgres_killed_and_restarted(
    breakable_stack: Stack, environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    with running(environment) as service, Client(service.url) as client:
        client.await_more(20)
        breakable_stack.postgres.kill()
        eventually(lambda: client.statuses[503] > 3, 30.0, service.describe)
        breakable_stack.postgres.start()
        before = client.statuses[202]
        eventually(lambda: client.statuses[202] > before + 20, 15.0, service.describe)
        client.finish()
        client.settle()
        check(client, database_url=database_url, redis_url=redis_url, within_sec=15.0)
        assert_well(service)


@pytest.mark.slow
def test_postgres_black_holed(environment: dict[str, str], database_url: str, redis_url: str) -> None:
    """Afterwards only a LISTEN that was rebuilt wakes the relay in time: it polls once an hour here."""
    with proxied_url(database_url) as (proxy, url):
        rarely = {**environment, "DATABASE_URL": url, "OUTBOX_RELAY_POLL_INTERVAL_MS": "3600000"}
        with running(rarely) as service, Client(service.url) as client:
            client.await_more(20)
            proxy.black_hole()
            eventually(lambda: client.statuses[503] > 3, 30.0, service.describe)
            proxy.heal()
            before = client.statuses[202]
            eventually(lambda: client.statuses[202] > before + 20, 30.0, service.describe)
            client.finish()
            client.settle()
            check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
            client.send(1)
            check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
            assert_well(service)


@pytest.mark.slow
def test_connections_reset_in_the_middle_of_commits(
    environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    with proxied_url(database_url) as (proxy, url):
        through = {**environment, "DATABASE_URL": url}
        with running(through) as service, Client(service.url) as client:
            for _ in range(5):
                client.await_more(10)
                proxy.reset()
            client.await_more(10)
            client.finish()
            client.settle()
            check(client, database_url=database_url, redis_url=redis_url, within_sec=10.0)
            assert_well(service, outages=5)


@pytest.mark.slow
def test_redis_killed_flushed_and_back(
    breakable_stack: Stack, environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    """First it comes back with what it held, which is old by then; the second time with nothing."""
    with running(environment) as service:
        with Client(service.url) as client, reading(service.url) as answers:
            client.await_more(20)
            for loses in (False, True):
                breakable_stack.redis.kill()
                client.await_more(40)
                breakable_stack.redis.start()
                if loses:
                    flush(redis_url)
            client.finish()
            check(client, database_url=database_url, redis_url=redis_url, within_sec=5.0)
            assert set(client.statuses) == {202}
        assert set(answers) == {200}
        assert_well(service, outages=2)


@pytest.mark.slow
def test_redis_slowed(environment: dict[str, str]) -> None:
    """Each answer of Redis takes longer than the reader waits in all, so only one that did not wait for it is one."""
    with (
        proxied_url(environment["ONLINE_CACHE_REDIS_URL"]) as (proxy, url),
        running({**environment, "ONLINE_CACHE_REDIS_URL": url}) as service,
        Client(service.url) as client,
    ):
        client.await_more(20)
        proxy.delay(_SLOW_SEC)
        with reading(service.url, timeout_sec=_SLOW_SEC) as answers:
            eventually(lambda: service.metric("reco_online_cache_breaker_open") == 1, 30.0, service.describe)
            client.await_more(20)
            before = sum(answers.values())
            eventually(lambda: sum(answers.values()) > before + 20, 30.0, service.describe)
        proxy.delay(0.0)
        client.finish()
        assert set(answers) == {200}
        assert set(client.statuses) == {202}
        check_service(client, environment, within_sec=5.0)


@contextmanager
def reading(url: str, timeout_sec: float = 15.0) -> Iterator[Counter[int | None]]:
    """`GET /reco` over and over; the statuses of the answers, None for one that did not come in time."""
    answers: Counter[int | None] = Counter()
    stop = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=url, timeout=timeout_sec) as client:
            while not stop.wait(0.02):
                user = {"user_id": f"user-{sum(answers.values()) % 12}"}
                try:
                    answers[client.get("/reco", params=user).status_code] += 1
                except httpx.TimeoutException:
                    answers[None] += 1

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def flush(redis_url: str) -> None:
    deadline = time.monotonic() + 10.0
    while True:
        try:
            with redis.Redis.from_url(redis_url) as cache:
                cache.flushdb()
                return
        except redis.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def relay_errors(service: Service, kind: str) -> float:
    return service.metric("reco_outbox_relay_errors_total", kind=kind)


def assert_well(service: Service, *, outages: int = 1) -> None:
    """No task restarted, no line of the log is an error, and each loop told each outage once.

    Two lanes of the relay and two members of the group are loops; an outage may make two dependencies fail for them.
    """
    assert {task["restarts"] for task in service.readiness()["tasks"].values()} == {0}
    assert service.terminate() == 0, service.log()
    lines = [json.loads(line) for line in service.log().splitlines()]
    assert [line for line in lines if line["level"] in {"error", "critical"}] == []
    for event in _STATE_LINES:
        assert len([line for line in lines if line["event"] == event]) <= _LOOPS * 2 * outages, service.log()
