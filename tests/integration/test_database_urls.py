"""URLs of Postgres as people have them, on a server with TLS and a socket: each driver gets to it, or says why not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from app.adapters.migrations import connect, migrate
from app.adapters.postgres_connect import Connector
from app.cli import main
from app.devstack.ports import choose
from app.errors import DependencyDown
from tests.faults.proxy import proxied
from tests.support.api import watch
from tests.support.postgres_servers import OwnPostgres, own_postgres
from tests.support.service import eventually, running
from tests.support.tls_front import certify, tls_front

PASSWORD: Final = "pä/ss?w@rd#1:% &+=\\'"


@pytest.fixture(scope="module")
def place() -> Iterator["Place"]:
    with own_postgres({}) as server, tls_front(server.port, certify(server.shared), of_postgres=True) as tls:
        with psycopg.connect(server.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE ROLE ann LOGIN PASSWORD {}").format(sql.Literal(PASSWORD)))
            admin.execute("GRANT ann TO reco")
            admin.execute("CREATE DATABASE shop OWNER ann")
        yield Place(server, tls)


class Place(NamedTuple):
    server: OwnPostgres
    tls: int
    """The port that asks for TLS."""

    def fill(self, url: str) -> str:
        folder = str(self.server.shared)
        words = {"password": quote(PASSWORD, safe=""), "port": self.server.port, "tls": self.tls, "closed": choose()}
        return url.format(**words, folder=folder, socket=quote(folder, safe=""))


URLS: Final = {
    "managed": "postgres://ann:{password}@127.0.0.1:{port}/shop?connect_timeout=10&channel_binding=prefer"
    "&application_name=shop&keepalives=1&keepalives_idle=30&gssencmode=disable&sslsni=1&client_encoding=LATIN1",
    "certificate": "postgresql://ann:{password}@127.0.0.1:{tls}/shop?sslmode=verify-full&sslrootcert={folder}/ca.pem",
    "authority": "postgresql://ann:{password}@127.0.0.1:{tls}/shop?sslmode=verify-ca&sslrootcert={folder}/ca.pem",
    "ssl-true": "postgresql://ann:{password}@127.0.0.1:{tls}/shop?ssl=true&target_session_attrs=read-write",
    "folder": "postgresql:///shop?host={folder}&port={port}&user=ann&password={password}",
    "socket": "postgresql://ann:{password}@{socket}:{port}/shop",
    "hosts": "postgresql://ann:{password}@127.0.0.1:{closed},127.0.0.1:{port}/shop",
    "host-list": "postgresql://ann:{password}@/shop?host=127.0.0.1,localhost&port={port}&load_balance_hosts=random",
    "options": "postgresql://ann:{password}@127.0.0.1:{tls}/shop?options=-cextra_float_digits%3D2&sslmode=require",
    "no-standby": "postgresql://ann:{password}@127.0.0.1:{port},localhost:{port}/shop"
    "?target_session_attrs=prefer-standby",
}


@pytest.mark.parametrize("kind", URLS)
async def test_every_driver_gets_to_the_same_server(place: Place, kind: str) -> None:
    url = place.fill(URLS[kind])
    asked = "SELECT concat_ws(' ', current_user, current_database(), coalesce(inet_server_port(), 0))"
    connection = await Connector(url).connect(timeout=5.0)
    try:
        by_asyncpg = await connection.fetchval(asked)
    finally:
        await connection.close()
    with connect(url) as other:
        assert other.execute(asked).fetchone() == (by_asyncpg,)
    assert by_asyncpg.split() == ["ann", "shop", "0" if kind in ("folder", "socket") else str(place.server.port)]


@pytest.mark.slow
def test_service_runs_on_a_url_with_a_silent_host_first(
    place: Place, environment: dict[str, str], tmp_path: Path
) -> None:
    """Migrations, the pool, LISTEN and the probes. The first host answers nobody; the second one checks names. The
    password is in a file.
    """
    passwords = write_passwords(tmp_path)
    with proxied("127.0.0.1", place.server.port) as silent:
        silent.black_hole()
        url = place.fill(
            f"postgresql://ann@127.0.0.1:{silent.port},127.0.0.1:{{tls}}/shop?sslmode=verify-full"
            f"&sslrootcert={{folder}}/ca.pem&channel_binding=prefer&passfile={quote(str(passwords), safe='')}"
        )
        with running({**environment, "DATABASE_URL": url}) as service:
            assert service.client.post("/log/watch", json=watch(user_id="rita")).status_code == 202
            eventually(
                lambda: service.metric("reco_feature_consumer_processed_total", status="applied") == 1,
                20,
                service.describe,
            )


def test_schema_is_migrated_over_a_socket_with_a_strange_password(place: Place) -> None:
    with psycopg.connect(place.server.admin_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE other OWNER ann")
    url = place.fill("postgresql://ann:{password}@{socket}:{port}/other")
    assert migrate(url)
    assert migrate(url) == []


def test_schema_that_the_url_names_is_migrated_and_compared(place: Place) -> None:
    with psycopg.connect(place.server.admin_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE shared OWNER ann")
    url = place.fill("postgresql://ann:{password}@127.0.0.1:{port}/shared?options=-csearch_path%3Dshop")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA shop")
    assert migrate(url)
    environment = {"DATABASE_URL": url, "ROLE": "api", "ONLINE_CACHE_ENABLED": "false"}
    told = CliRunner(env=environment).invoke(main, ["doctor"])
    assert "ok   schema: matches the migrations" in told.output
    assert told.exit_code == 0, told.output
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE sessions ADD COLUMN extra integer")
    told = CliRunner(env=environment).invoke(main, ["doctor"])
    assert "column extra of sessions: not made by any migration" in told.output


async def test_channel_binding_is_replaced_by_a_certificate_for_the_name(place: Place) -> None:
    """asyncpg has none. The server's name is checked in its place, also where the URL asks for TLS alone."""
    login = "postgresql://ann:{password}@localhost:{tls}/shop?sslmode=require&sslrootcert={folder}/ca.pem"
    connection = await Connector(place.fill(login)).connect(timeout=5.0)
    await connection.close()
    with pytest.raises(OSError, match="certificate is not valid for 'localhost'"):
        await Connector(place.fill(f"{login}&channel_binding=require")).connect(timeout=5.0)
    bound = place.fill(f"{login}&channel_binding=require".replace("localhost", "127.0.0.1"))
    connection = await Connector(bound).connect(timeout=5.0)
    await connection.close()


async def test_password_in_a_file_is_read_as_libpq_reads_it(place: Place, tmp_path: Path) -> None:
    """Escaped colons and backslashes, other servers before it, and a file that others may read."""
    file = write_passwords(tmp_path)
    places = f"ann@127.0.0.1:{{closed}},127.0.0.1:{{port}}/shop?passfile={quote(str(file), safe='')}"
    url = place.fill(f"postgresql://{places}")
    await (await Connector(url).connect(timeout=5.0)).close()
    connect(url).close()
    file.chmod(0o640)
    with pytest.raises(DependencyDown, match=r"passfile of the database URL, .*others may read it"):
        await Connector(url).connect(timeout=5.0)
    file.unlink()
    with pytest.raises(DependencyDown, match=r"passfile of the database URL, .*No such file"):
        await Connector(url).connect(timeout=5.0)


def write_passwords(folder: Path) -> Path:
    file = folder / "pass word"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"# of the shop\n127.0.0.1:1:*:ann:another\n*:*:shop:ann:{escaped}\n")
    file.chmod(0o600)
    return file


async def test_a_certificate_of_nobody_that_is_trusted_is_refused(place: Place) -> None:
    for parameters in ("sslrootcert=system", "channel_binding=require"):
        url = place.fill("postgresql://ann:{password}@127.0.0.1:{tls}/shop")
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await Connector(f"{url}?{parameters}").connect(timeout=5.0)


def test_a_missing_file_is_named_with_its_parameter(place: Place) -> None:
    url = place.fill("postgresql://ann:{password}@127.0.0.1:{tls}/shop?sslmode=require&sslrootcert=/nowhere/ca.pem")
    told = CliRunner(env={"DATABASE_URL": url, "ROLE": "api", "ONLINE_CACHE_ENABLED": "false"}).invoke(main, ["doctor"])
    assert "sslrootcert of the database URL, /nowhere/ca.pem: FileNotFoundError" in told.output


async def test_each_host_that_fails_says_why(place: Place) -> None:
    url = place.fill(
        "postgresql://ann:{password}@127.0.0.1:{closed},127.0.0.1:{port}/shop?target_session_attrs=standby"
    )
    with pytest.raises(OSError, match=rf"Connect call failed.*; 127.0.0.1:{place.server.port}: .*standby"):
        await Connector(url).connect(timeout=5.0)


@pytest.mark.parametrize("sslmode", ["disable", "prefer"])
async def test_host_behind_a_proxy_that_takes_connections_for_a_dead_server_is_passed_over(
    place: Place, sslmode: str
) -> None:
    with proxied("127.0.0.1", choose()) as dead:
        url = place.fill(
            f"postgresql://ann:{{password}}@127.0.0.1:{dead.port},127.0.0.1:{{port}}/shop?sslmode={sslmode}"
        )
        connection = await Connector(url).connect(timeout=5.0)
        try:
            assert await connection.fetchval("SELECT inet_server_port()") == place.server.port
        finally:
            await connection.close()
