"""SIGTERM in the middle of an outage: the process ends within `SHUTDOWN_TIMEOUT_SEC`, whatever its workers wait for."""

import pytest

from app.devstack import Stack
from tests.faults.checker import Client, check_service
from tests.faults.proxy import proxied_url
from tests.support.service import Service, eventually, running

pytestmark = pytest.mark.slow
_WORKERS = ("outbox-relay", "feature-consumer")


def wait(service: Service) -> bool:
    """Whether each worker says that it waits for a server."""
    tasks = service.readiness()["tasks"]
    return all((tasks[name]["detail"] or "").startswith("waiting") for name in _WORKERS)


@pytest.mark.parametrize("back", [False, True], ids=["still silent", "just back"])
def test_sigterm_while_the_workers_connect_to_kafka(
    breakable_stack: Stack, environment: dict[str, str], back: bool
) -> None:
    hasty = {**environment, "OUTBOX_RELAY_PUBLISH_TIMEOUT_SEC": "1"}
    with running(hasty) as service, Client(service.url) as client:
        client.await_more(20)
        breakable_stack.kafka.pause()
        client.await_more(20)
        eventually(lambda: wait(service), 60.0, service.describe)
        client.finish()
        if back:
            breakable_stack.kafka.resume()
        assert service.terminate() == 0, service.log()
        breakable_stack.kafka.restore()
        with running(environment):
            check_service(client, environment, within_sec=60.0)


def test_sigterm_while_postgres_is_silent(environment: dict[str, str]) -> None:
    with (
        proxied_url(environment["DATABASE_URL"]) as (proxy, url),
        running({**environment, "DATABASE_URL": url}) as service,
    ):
        # In the middle of a batch of the consumer, whose commit is never answered.
        proxy.trap(b"INSERT INTO feature_event_consumed")
        with Client(service.url) as client:
            client.await_more(20)
            assert proxy.caught.wait(60.0), service.describe()
            proxy.black_hole()
            assert service.terminate() == 0, service.log()
            client.finish()
            proxy.heal()
            proxy.release()
            with running(environment):
                client.settle()
                check_service(client, environment, within_sec=30.0)
