"""Postgres servers of a test's own: with settings and a socket of their own, or as standbys of each other."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from app.devstack.folder import Folder, throwaway
from app.devstack.guard import Guard
from app.devstack.postgres import Postgres
from app.devstack.server import run_to_end
from app.devstack.stack import default_folder


class OwnPostgres(Postgres):
    """A server with these settings beside those of the embedded one. Its socket is in `shared`."""

    def __init__(self, folder: Folder, guard: Guard, settings: Mapping[str, str], shared: Path) -> None:
        super().__init__(folder, guard, durable=False)
        self.shared = shared
        self._password = folder.password
        self._settings = {**settings, "unix_socket_directories": str(shared)}
        self.hand_over(shared, mode=0o755)

    @property
    def conninfo(self) -> str:
        """For a standby."""
        return f"host=127.0.0.1 port={self.port} user=postgres password={self._password}"

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._password}@127.0.0.1:{self.port}/{database}"

    def copy(self, primary: "OwnPostgres") -> None:
        """Makes it, while it does not run, a standby of another server, with the passwords of that."""
        self._password = primary._password
        shutil.rmtree(self._data, ignore_errors=True)
        command = [str(self._binaries / "pg_basebackup"), "-D", str(self._data), "-d", primary.conninfo, "-R"]
        if self._run_as is not None:
            self._data.mkdir()
            self.hand_over(self._data, mode=0o700)
        run_to_end([*command, "--checkpoint=fast"], self.log_file, "pg_basebackup", self._run_as)

    def promote(self) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)

    def pause_replay(self) -> None:
        """It goes on receiving the log, and shows what was there before."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
            while connection.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
                time.sleep(0.01)

    def await_replay(self, primary: "OwnPostgres") -> None:
        """Returns once it shows all that the primary has written by now."""
        with psycopg.connect(primary.admin_url, autocommit=True) as connection:
            written = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        assert written is not None
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            while connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written).fetchone() != (True,):
                time.sleep(0.01)

    def resume_replay(self) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute("SELECT pg_wal_replay_resume()")

    def _command(self) -> Sequence[str]:
        return [*super()._command(), *(f"--{name}={value}" for name, value in self._settings.items())]

    def hand_over(self, path: Path, *, mode: int) -> None:
        """Gives a file to the account of the server."""
        path.chmod(mode)
        if self._run_as is not None:
            os.chown(path, self._run_as.uid, self._run_as.gid)


@contextmanager
def primary_and_standby() -> Iterator[tuple[OwnPostgres, OwnPostgres]]:
    """Two servers; the second one streams the log of the first."""
    replicated = {"wal_level": "replica", "max_wal_senders": "8", "hot_standby": "on"}
    with own_postgres(replicated) as primary, _own_folder() as (folder, guard, shared):
        standby = OwnPostgres(folder, guard, replicated, shared)
        standby.copy(primary)
        with _started(standby):
            yield primary, standby


@contextmanager
def own_postgres(settings: Mapping[str, str]) -> Iterator[OwnPostgres]:
    """A running server."""
    with _own_folder() as (folder, guard, shared):
        server = OwnPostgres(folder, guard, settings, shared)
        with _started(server):
            yield server


@contextmanager
def _started(server: OwnPostgres) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.stop()


@contextmanager
def _own_folder() -> Iterator[tuple[Folder, Guard, Path]]:
    folder, guard = throwaway(default_folder()), Guard()
    # The path of a socket is limited to 107 bytes.
    shared = Path(tempfile.mkdtemp(prefix="reco-pg-"))
    folder.open()
    guard.start()
    try:
        yield folder, guard, shared
    finally:
        guard.close()
        folder.remove()
        shutil.rmtree(shared)
