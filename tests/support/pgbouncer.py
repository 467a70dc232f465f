"""PgBouncer before the Postgres of the tests; tests skip where it is not installed."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from app.devstack.ports import choose
from app.devstack.processes import unprivileged_account
from tests.support.service import eventually


@contextmanager
def pgbouncer(database_url: str, **settings: str) -> Iterator[str]:
    """The URL of the database through a pooler with these settings; by default in transaction mode."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: apt install pgbouncer)")
    parts = urlsplit(database_url)
    folder, port = Path(tempfile.mkdtemp(prefix="reco-pgbouncer-")), choose()
    login = f"host={parts.hostname} port={parts.port} user={parts.username} password={parts.password}"
    options = {"pool_mode": "transaction", "default_pool_size": "3", "max_client_conn": "200"} | settings
    options |= {"listen_addr": "127.0.0.1", "listen_port": str(port), "unix_socket_dir": "", "auth_type": "any"}
    lines = ["[databases]", f"* = {login}", "[pgbouncer]", *(f"{name} = {value}" for name, value in options.items())]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    account = unprivileged_account()
    if account is not None:
        folder.chmod(0o755)
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [program, str(folder / "pgbouncer.ini")],
            stdout=log,
            stderr=subprocess.STDOUT,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    url = parts._replace(netloc=f"reco@127.0.0.1:{port}").geturl()
    try:
        eventually(lambda: _answers(url), describe=(folder / "log").read_text)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
