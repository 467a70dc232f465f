"""Two Postgres servers, one streaming to the other: reads of the standby, and its promotion."""

import psycopg
import pytest
from click.testing import CliRunner

from app.adapters.migrations import migrate
from app.cli import main
from app.devstack import Stack
from tests.faults.checker import check_service, client_of
from tests.support.api import watch
from tests.support.database import ask, cloned_database
from tests.support.postgres_servers import OwnPostgres, primary_and_standby
from tests.support.service import Service, eventually, running

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'reco %'"

QUERIES = "SELECT string_agg(application_name || ': ' || query, '; ') FROM pg_stat_activity"


@pytest.mark.slow
@pytest.mark.shows("DATABASE_READ_URL", "DATABASE_READ_MAX_LAG_SEC")
def test_lists_are_read_of_a_standby_as_long_as_it_keeps_up(environment: dict[str, str]) -> None:
    """It falls behind, then it is killed. The answers go on, and name new items as soon as events are counted. At last
    the primary is away.
    """
    with primary_and_standby() as (primary, standby):
        both = {**environment, "DATABASE_URL": primary.url, "DATABASE_READ_URL": standby.url}
        with running({**both, "DATABASE_READ_MAX_LAG_SEC": "1", "EXPLORATION_SHARE": "0"}) as service:
            eventually(lambda: reads(service)["state"] == "up", 20, service.describe)
            becomes_popular(service, "tent")
            # The last query of a session: how far the standby is, or the changes, which are read next.
            feed = f"{SESSIONS} AND (query LIKE '%feature_changes%' OR query LIKE 'SELECT (%pg_current_wal_lsn()%')"
            eventually(lambda: ask(standby.url, feed), describe=lambda: ask(standby.url, QUERIES))
            assert service.client.get("/analytics/baseline").status_code == 200

            standby.pause_replay()
            becomes_popular(service, "lamp")
            eventually(lambda: reads(service)["state"] == "down", 20, service.describe)
            told = reads(service)["error"]
            assert "the replica is behind by" in told
            assert "DATABASE_READ_MAX_LAG_SEC allows 1 s" in told
            assert "reads go to the primary" in told
            assert service.readiness()["status"] == "degraded"
            assert service.status("/readyz") == 200

            standby.resume_replay()
            eventually(lambda: reads(service)["state"] == "up", 20, service.describe)
            becomes_popular(service, "rope")
            told = CliRunner(env={**both, "ROLE": "api"}).invoke(main, ["doctor"]).output
            assert "ok   replica: has replayed the log" in told

            standby.kill()
            becomes_popular(service, "stove")
            eventually(lambda: reads(service)["state"] == "down", 20, service.describe)
            standby.start()
            eventually(lambda: reads(service)["state"] == "up", 20, service.describe)
            becomes_popular(service, "map")
            assert ask(standby.url, SESSIONS) >= 1

            primary.kill()
            eventually(lambda: "reads go on at the replica" in str(reads(service)["error"]), 20, service.describe)
            assert "map" in {item["item_id"] for item in service.client.get("/popular").json()["items"]}
            assert service.terminate() == 0


@pytest.mark.slow
def test_read_url_of_another_database_is_not_read(environment: dict[str, str], stack: Stack) -> None:
    with (
        cloned_database(stack, "template1") as other,
        running({**environment, "DATABASE_READ_URL": other}) as service,
    ):
        told = "DATABASE_READ_URL leads to another database"
        eventually(lambda: told in str(reads(service)["error"]), 20, service.describe)
        assert reads(service)["state"] == "down"
        becomes_popular(service, "tent")


@pytest.mark.slow
def test_primary_killed_under_load_and_its_standby_promoted(environment: dict[str, str]) -> None:
    """The service knows both hosts. The old one comes back as a standby, and the service has no connection there."""
    with primary_and_standby() as (primary, standby):
        synchronous(primary)
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = primary.url.replace(f"127.0.0.1:{primary.port}", hosts)
        with running({**environment, "DATABASE_URL": url}) as service, client_of(service.url) as client:
            client.send(50)
            primary.kill()
            standby.promote()
            with psycopg.connect(standby.admin_url, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
                connection.execute("SELECT pg_reload_conf()")
            eventually(lambda: service.status("/readyz") == 200, 30, service.describe)
            client.send(50)
            primary.copy(standby)
            primary.start()
            client.send(50)
            check_service(client, {**environment, "DATABASE_URL": standby.url}, within_sec=30.0)
            assert ask(primary.url, SESSIONS) == 0
            assert ask(standby.url, SESSIONS) >= 3


@pytest.mark.slow
def test_process_that_finds_a_standby_alone_waits_for_its_promotion(environment: dict[str, str]) -> None:
    """As when an old primary came back behind its address before that was changed."""
    with primary_and_standby() as (primary, standby):
        migrate(primary.url)
        with psycopg.connect(primary.admin_url) as connection:
            position = connection.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert position is not None
        eventually(lambda: ask(standby.admin_url, f"SELECT pg_last_wal_replay_lsn() >= '{position[0]}'"))
        primary.kill()
        service = Service({**environment, "DATABASE_URL": standby.url})
        try:
            eventually(lambda: service.status("/readyz") == 503, 20, service.describe)
            eventually(
                lambda: "read-only: a standby" in str(service.readiness()["dependencies"]["postgres"]["error"]),
                describe=service.describe,
            )
            standby.promote()
            eventually(lambda: service.status("/readyz") == 200, 30, service.describe)
            assert service.client.post("/log/watch", json=watch()).status_code == 202
        finally:
            service.close()


def synchronous(primary: OwnPostgres) -> None:
    """From now on a commit is on both servers before it is told."""
    with psycopg.connect(primary.admin_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")
        state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        eventually(lambda: connection.execute(state.encode()).fetchone() == (1,))


def reads(service: Service) -> dict[str, str]:
    found: dict[str, str] = service.readiness()["dependencies"]["postgres-read"]
    return found


def becomes_popular(service: Service, item_id: str) -> None:
    for number in range(3):
        assert service.client.post("/log/watch", json=watch(user_id=f"u{number}", item_id=item_id)).status_code == 202

    def is_served() -> bool:
        answer = service.client.get("/popular", params={"k": 50})
        return answer.status_code == 200 and item_id in {item["item_id"] for item in answer.json()["items"]}

    eventually(is_served, 20, service.describe)
