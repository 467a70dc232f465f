"""Postgres in a bad state: connections that end in the middle of a commit, a standby, a transaction left open."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from tests.faults.checker import Client, check_service, client_of
from tests.faults.proxy import proxied_url
from tests.faults.roles import role
from tests.support.database import ask
from tests.support.service import eventually, running


@pytest.mark.slow
def test_connection_reset_while_the_commit_is_answered(environment: dict[str, str]) -> None:
    """The event is stored and its client is told 503: it sends the event again, and the id settles what it was."""
    with (
        running(role(environment, "relay,consumer")) as workers,
        proxied_url(environment["DATABASE_URL"]) as (proxy, url),
        running({**environment, "ROLE": "api", "DATABASE_URL": url}) as api,
        client_of(api.url) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        eventually(workers.reads_all, describe=workers.describe)
        proxy.trap(client.run.encode(), direction="response")
        sent = threads.submit(client.send, 1)
        assert proxy.caught.wait(60.0), api.describe()
        eventually(lambda: ask(environment["DATABASE_URL"], "SELECT count(*) FROM events") == 1)
        proxy.reset()
        (event_id,) = sent.result(60.0)
        assert client.outcomes[event_id] == "refused"
        client.settle()
        assert client.statuses == {503: 1, 200: 1}
        check_service(client, environment, within_sec=10.0)


@pytest.mark.slow
def test_postgres_turns_read_only_and_back(environment: dict[str, str]) -> None:
    """Sessions of the read-only time stay read-only: only a pool that drops them gets to the writable server."""
    url = environment["DATABASE_URL"]
    with running(environment) as service, Client(service.url) as client:
        client.await_more(20)
        set_read_only(url, read_only=True)
        eventually(lambda: client.statuses[503] > 3, 30.0, service.describe)
        eventually(lambda: service.status("/readyz") == 503, 30.0, service.describe)
        set_read_only(url, read_only=False)
        before = client.statuses[202]
        eventually(lambda: client.statuses[202] > before + 20, 30.0, service.describe)
        eventually(lambda: service.status("/readyz") == 200, 30.0, service.describe)
        client.finish()
        client.settle()
        check_service(client, environment, within_sec=30.0)
        assert {task["restarts"] for task in service.readiness()["tasks"].values()} == {0}


@pytest.mark.slow
def test_transaction_left_open_under_load(environment: dict[str, str]) -> None:
    """Vacuum removes nothing while it is open: the gauge shows it, and the outbox drains all the same."""
    with (
        running(environment) as service,
        psycopg.connect(environment["DATABASE_URL"]) as left_open,
        Client(service.url) as client,
    ):
        left_open.execute("SET idle_in_transaction_session_timeout = 0")
        left_open.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        left_open.execute("SELECT count(*) FROM event_outbox")
        age = "reco_database_oldest_transaction_seconds"
        eventually(lambda: service.metric(age) > 5.0, 30.0, service.describe)
        client.await_more(200)
        client.finish()
        check_service(client, environment, within_sec=30.0)
        left_open.rollback()
        eventually(lambda: service.metric(age) < 5.0, 30.0, service.describe)
        assert ask(environment["DATABASE_URL"], "SELECT count(*) FROM event_outbox") == 0


def set_read_only(url: str, *, read_only: bool) -> None:
    """New sessions begin so. Those of a primary that became a standby are ended; those of a standby live on."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        name = sql.Identifier(connection.info.dbname)
        value = sql.SQL("on" if read_only else "off")
        connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(name, value))
        if read_only:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
