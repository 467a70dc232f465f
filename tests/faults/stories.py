"""Stories that are told twice: with the service as it is, which passes, and with a flaw in it, which the check finds.

`module` is what runs in the process that the fault hits; see `tests.faults.flawed`.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg

from app.devstack import Stack
from tests.faults.checker import check_service, client_of
from tests.faults.offsets import uncommitted
from tests.faults.proxy import proxied_url
from tests.faults.roles import role
from tests.support.database import ask
from tests.support.service import Service, eventually, running

Module = Sequence[str]

APP: Final[Module] = ("app",)
# A signal comes at once, or on a busy machine when its turn comes.
_SIGNAL_SEC: Final = 60.0
_PENDING: Final = "SELECT count(*) FROM event_outbox WHERE status = 'pending'"
# Outbox rows that no transaction holds.
_CLAIMABLE: Final = (
    "SELECT count(*) FROM (SELECT FROM event_outbox WHERE status = 'pending' FOR UPDATE SKIP LOCKED) AS claimable"
)


def api_killed_while_it_inserts(environment: Mapping[str, str], module: Module = APP) -> None:
    """The insert of the event does not reach Postgres, and the client never sends it again."""
    with (
        running(role(environment, "relay,consumer")) as workers,
        proxied_url(environment["DATABASE_URL"]) as (proxy, url),
        running(role(environment, "api", DATABASE_URL=url), module=module) as api,
        client_of(api.url) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        eventually(workers.reads_all, describe=workers.describe)
        proxy.trap(client.run.encode(), after=b"INSERT INTO events")
        sent = threads.submit(client.send, 1)
        assert proxy.caught.wait(_SIGNAL_SEC), api.describe()
        api.kill()
        sent.result(_SIGNAL_SEC)
        check_service(client, environment, within_sec=5.0)


def api_acknowledges(environment: Mapping[str, str], module: Module = APP) -> None:
    """What is acknowledged is stored: also the last of a batch."""
    with running(environment, module=module) as service, client_of(service.url) as client:
        client.send_batch(20)
        check_service(client, environment, within_sec=15.0)


def relay_killed_before_its_commit(environment: Mapping[str, str], consumer: Module = APP) -> None:
    """Kafka has acknowledged the rows and they are still in the outbox: they are published again.

    The first copies are counted by then, so that only the dedupe rows tell that the second ones are copies.
    """
    with (
        running(role(environment, "api")) as api,
        client_of(api.url) as client,
        running(role(environment, "consumer"), module=consumer) as counting,
    ):
        client.send(30)
        with proxied_url(environment["DATABASE_URL"]) as (proxy, url):
            # The relay's own deletion: maintenance deletes from the outbox too, by another condition.
            proxy.trap(b"COMMIT", after=b"DELETE FROM event_outbox WHERE id = ANY ($1")
            with running(role(environment, "relay", DATABASE_URL=url)) as relay:
                assert proxy.caught.wait(_SIGNAL_SEC), relay.describe()
                relay.kill()
        eventually(lambda: counted(counting) > 0 and not uncommitted(environment), _SIGNAL_SEC, counting.describe)
        # The relay has two lanes: the other one may have published and deleted rows of its own, or none.
        held, first = ask(environment["DATABASE_URL"], _PENDING), counted(counting)
        with running(role(environment, "relay")):
            eventually(lambda: ask(environment["DATABASE_URL"], _PENDING) == 0, _SIGNAL_SEC, counting.describe)
            check_service(client, environment, within_sec=10.0)
            assert counted(counting) == 30
            assert counted(counting, "duplicate") >= held + first - 30 > 0


def relay_killed_while_kafka_does_not_answer(
    stack: Stack, environment: Mapping[str, str], module: Module = APP
) -> None:
    """Its rows are claimed, and nobody has acknowledged them: they are there for the next relay."""
    with running(role(environment, "api")) as api, client_of(api.url) as client:
        with running(role(environment, "relay"), module=module) as relay:
            client.send(10)
            eventually(lambda: relay.metric("reco_outbox_relay_published_total") == 10, describe=relay.describe)
            stack.kafka.pause()
            client.send(30)
            eventually(lambda: ask(environment["DATABASE_URL"], _CLAIMABLE) == 0, _SIGNAL_SEC, relay.describe)
            relay.kill()
            stack.kafka.resume()
        with running(role(environment, "relay,consumer")):
            check_service(client, environment, within_sec=30.0)


def consumer_killed_before_its_commit(environment: Mapping[str, str], module: Module = APP) -> None:
    """All events are in Kafka when the consumer starts, so that its batch has several events of a user."""
    with running(role(environment, "api,relay")) as api, client_of(api.url) as client:
        client.send(30)
        eventually(lambda: api.metric("reco_outbox_relay_published_total") == 30, _SIGNAL_SEC, api.describe)
        with proxied_url(environment["DATABASE_URL"]) as (proxy, url):
            proxy.trap(b"COMMIT", after=b"INSERT INTO feature_event_consumed")
            with running(role(environment, "consumer", DATABASE_URL=url), module=module) as consumer:
                assert proxy.caught.wait(_SIGNAL_SEC), consumer.describe()
                consumer.kill()
        with running(role(environment, "consumer")):
            check_service(client, environment, within_sec=30.0)


def rows_expire(environment: Mapping[str, str], module: Module = APP) -> None:
    """A sweep removes the rows that are past their time."""
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute(
            "INSERT INTO feature_event_consumed (event_id, consumed_at) VALUES ('old-event', now() - interval '1 year')"
        )
    with running(environment, module=module) as service, client_of(service.url) as client:
        client.send(10)
        check_service(client, environment, within_sec=20.0)


def counted(consumer: Service, status: str = "applied") -> float:
    return consumer.metric("reco_feature_consumer_processed_total", status=status)
