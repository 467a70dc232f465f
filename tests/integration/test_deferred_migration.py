"""A process that starts before Postgres, whose first host stays silent and whose migration waits for a lock."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.faults.proxy import Proxy, proxied_url
from tests.support.database import ask
from tests.support.service import Service, eventually

LOCK = "LOCK TABLE migration_checksum IN ACCESS EXCLUSIVE MODE"
HOLDING = (
    "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database "
    "WHERE locktype = 'advisory' AND objid = 7236351 AND datname = current_database()"
)
MANY_PROBES_SEC = 5


@contextmanager
def started_before_postgres(environment: dict[str, str]) -> Iterator[Service]:
    """It began to serve; now the second host answers."""
    parts = urlsplit(environment["DATABASE_URL"])
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy(parts.hostname, parts.port)
    with proxied_url(environment["DATABASE_URL"]) as (silent, url):
        silent.black_hole()
        hosts = f"127.0.0.1:{silent.port},127.0.0.1:{proxy.port}"
        service = Service({**environment, "DATABASE_URL": url.replace(f"127.0.0.1:{silent.port}", hosts)})
        try:
            eventually(lambda: service.status("/healthz") == 200, describe=service.log)
            assert "migration_deferred" in service.log()
            proxy.start()
            try:
                yield service
            finally:
                proxy.stop()
        finally:
            service.close()


def told(service: Service) -> str:
    return str(service.readiness()["dependencies"]["postgres"]["error"])


def for_sec(service: Service) -> int:
    found = re.search(r"for (\d+) s this process or another one migrates", told(service))
    return int(found[1]) if found else 0


def test_migration_that_waits_names_the_lock_and_is_the_only_one(environment: dict[str, str]) -> None:
    with psycopg.connect(environment["DATABASE_URL"]) as holder, started_before_postgres(environment) as service:
        holder.execute(LOCK)
        eventually(lambda: "waits for the table migration_checksum" in told(service), 60, service.describe)
        assert f"pg_terminate_backend({holder.info.backend_pid})" in told(service)
        eventually(lambda: for_sec(service) > MANY_PROBES_SEC, 60, service.describe)
        assert ask(environment["DATABASE_URL"], HOLDING) == 1
        holder.rollback()
        service.wait_ready()


@pytest.mark.slow
def test_process_ends_while_its_migration_waits(environment: dict[str, str]) -> None:
    with psycopg.connect(environment["DATABASE_URL"]) as holder, started_before_postgres(environment) as service:
        holder.execute(LOCK)
        eventually(lambda: "waits for the table migration_checksum" in told(service), 60, service.describe)
        assert service.terminate() == 0, service.log()
