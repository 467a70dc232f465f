"""The service behind PgBouncer: in transaction mode with the setting for it, and what is said without it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest
from click.testing import CliRunner

from app.cli import main
from tests.faults.test_standby import reads
from tests.support.api import watch
from tests.support.database import ask, stored
from tests.support.pgbouncer import pgbouncer
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import PATIENT


@pytest.mark.shows("DATABASE_POOLER", "DATABASE_DIRECT_URL")
def test_service_behind_a_pooler_in_transaction_mode_counts_each_event_once(environment: dict[str, str]) -> None:
    """Many connections of the service share three of the server's, and no statement gets to a wrong one."""
    direct = environment["DATABASE_URL"]
    with pgbouncer(direct, default_pool_size="3") as url:
        pooled = {**environment, "DATABASE_URL": url, "DATABASE_POOLER": "transaction", "DATABASE_DIRECT_URL": direct}
        pooled |= PATIENT  # there are three connections for all
        # Only a notification wakes the relay: LISTEN has a session of the server itself.
        pooled["OUTBOX_RELAY_POLL_INTERVAL_MS"] = "3600000"
        with running(pooled) as service, ThreadPoolExecutor(16) as pool:

            def visit(number: int) -> set[int]:
                user = f"user-{number % 20}"
                batch = [{"event_type": "watch", **watch(user_id=user, item_id=f"item-{n}")} for n in range(5)]
                return {
                    service.client.post("/log/batch", json=batch).status_code,
                    service.client.put(f"/items/item-{number}", json={"title": "A tent"}).status_code // 100,
                    service.client.get("/reco", params={"user_id": user}).status_code,
                }

            assert set().union(*pool.map(visit, range(100))) == {200, 2}
            counted = "SELECT count(*) FROM feature_event_consumed"
            eventually(lambda: ask(direct, counted) == 500, 30, service.describe)
            eventually(lambda: stored(direct) == (500, 0), describe=service.describe)
            for kind in ("connection", "statement", "timeout"):
                assert service.metric("reco_database_errors_total", kind=kind) == 0, service.log()
            waits_no_longer_than_told(service, direct)
            told = CliRunner(env={**pooled, "ROLE": "api"}).invoke(main, ["doctor"]).output
            assert "ok   pooler: runs statements" in told


def waits_no_longer_than_told(service: Service, direct: str) -> None:
    """DB_LOCK_TIMEOUT_MS holds, although no session keeps it."""
    before = service.metric("reco_database_errors_total", kind="lock")
    with psycopg.connect(direct) as holder:
        holder.execute("LOCK TABLE items IN SHARE MODE")  # readers, such as the lists, go on
        assert service.client.put("/items/held", json={"title": "Held"}).status_code == 503
    assert service.metric("reco_database_errors_total", kind="lock") == before + 1


@pytest.mark.slow
@pytest.mark.parametrize("direct", [True, False])
def test_pooler_in_transaction_mode_without_the_setting_ends_the_start(
    environment: dict[str, str], direct: bool
) -> None:
    """Also one that ignores every parameter of the connection, as many are set up, and with the server's own URL."""
    ignored = "statement_timeout, lock_timeout, idle_in_transaction_session_timeout, jit, extra_float_digits, options"
    with pgbouncer(environment["DATABASE_URL"], ignore_startup_parameters=ignored) as url:
        unset = {**environment, "DATABASE_URL": url}
        if direct:
            unset["DATABASE_DIRECT_URL"] = environment["DATABASE_URL"]
        ended = subprocess.run(
            [sys.executable, "-m", "app"], env=unset, capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode == 2
        assert "a pooler in transaction mode" in ended.stderr
        assert "DATABASE_POOLER=transaction" in ended.stderr
        told = CliRunner(env=unset).invoke(main, ["doctor"])
        assert told.exit_code == 1
        assert "DATABASE_POOLER=transaction" in told.output


@pytest.mark.parametrize("pooler", ["none", "transaction"])
def test_urls_of_two_databases_end_the_start(environment: dict[str, str], pooler: str) -> None:
    other = urlsplit(environment["DATABASE_URL"])._replace(path="/postgres").geturl()
    wrong = {**environment, "DATABASE_URL": other, "DATABASE_DIRECT_URL": environment["DATABASE_URL"]}
    wrong["DATABASE_POOLER"] = pooler
    ended = subprocess.run(
        [sys.executable, "-m", "app"], env=wrong, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert "DATABASE_URL leads to the database postgres of cluster" in ended.stderr
    told = CliRunner(env=wrong).invoke(main, ["doctor"])
    assert told.exit_code == 1
    assert "FAIL pooler: DATABASE_URL leads to the database postgres of cluster" in told.output


@pytest.mark.slow
def test_reads_by_a_pooler_in_transaction_mode_go_on_at_the_primary_without_the_setting(
    environment: dict[str, str],
) -> None:
    """And by the pooler with it, or with one in session mode."""
    direct = environment["DATABASE_URL"]
    with pgbouncer(direct) as url:
        unset = {**environment, "DATABASE_READ_URL": url, "RATE_LIMIT_REQUESTS": "0"}
        with running(unset) as service:
            told = "DATABASE_READ_URL leads to a pooler in transaction mode"
            eventually(lambda: told in str(reads(service)["error"]), 20, service.describe)
            assert reads(service)["state"] == "down"
            assert lists_of(service) == {200}
            assert service.metric("reco_database_errors_total", kind="connection") == 0, service.log()
        assert told in CliRunner(env=unset).invoke(main, ["doctor"]).output
        given = {**unset, "DATABASE_URL": url, "DATABASE_POOLER": "transaction", "DATABASE_DIRECT_URL": direct}
        with running(given) as service:
            eventually(lambda: reads(service)["state"] == "up", 20, service.describe)
            assert lists_of(service) == {200}
        assert "ok   replica: has replayed the log" in CliRunner(env=given).invoke(main, ["doctor"]).output
    with pgbouncer(direct, pool_mode="session", default_pool_size="40") as url:
        given = {**unset, "DATABASE_READ_URL": url}
        with running(given) as service:
            eventually(lambda: reads(service)["state"] == "up", 20, service.describe)
            assert lists_of(service) == {200}


def lists_of(service: Service) -> set[int]:
    """The statuses of answers that many connections are read for."""

    def visit(number: int) -> set[int]:
        event = watch(user_id=f"user-{number}", item_id=f"item-{number}")
        assert service.client.post("/log/watch", json=event).status_code == 202
        answers = [service.client.get("/reco", params={"user_id": f"user-{number}"})]
        answers += [service.client.get(path) for path in ("/popular", f"/similar/item-{number}", "/analytics/baseline")]
        return {answer.status_code for answer in answers}

    with ThreadPoolExecutor(8) as pool:
        return set().union(*pool.map(visit, range(40)))


@pytest.mark.slow
def test_pooler_in_session_mode_needs_no_setting(environment: dict[str, str]) -> None:
    """Neither do commands with limits of their own. It takes no parameter but the usual ones; then it turns away a URL
    with another.
    """
    with pgbouncer(environment["DATABASE_URL"], pool_mode="session", default_pool_size="40") as url:
        with running({**environment, "DATABASE_URL": url}) as service:
            assert service.client.post("/log/watch", json=watch()).status_code == 202
            waits_no_longer_than_told(service, environment["DATABASE_URL"])
        rebuilt = CliRunner(env={**environment, "DATABASE_URL": url}).invoke(main, ["rebuild", "--yes"])
        assert rebuilt.exit_code == 0, rebuilt.output
        refused = Service({**environment, "DATABASE_URL": f"{url}?options=-cgeqo%3Doff"})
        try:
            eventually(lambda: "refuses the parameter options" in refused.log(), 30, refused.log)
            assert refused.status("/healthz") == 200
            assert refused.status("/readyz") == 503
        finally:
            refused.close()
