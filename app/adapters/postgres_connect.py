"""Connects asyncpg to what a URL of libpq says: its hosts in turn, each with its share of the time, and its files."""

import asyncio
import getpass
import os
import random
import ssl
import stat
from collections.abc import Iterator
from typing import Any, Final

import asyncpg

from app.adapters.poolers import refusal
from app.core.database_url import DatabaseAddress, DatabaseHost, for_asyncpg, parse
from app.core.password_file import find_password
from app.errors import DependencyDown, describe

# What libpq takes for a URL without one.
_NO_HOST: Final = DatabaseHost("localhost", 5432)
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
# What another host may do better. A refused password is none of it. A proxy in front of a dead server takes a
# connection and ends it, which is an error of the driver where TLS is not tried.
_NEXT_HOST = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.TargetServerAttributeNotMatched,
)


class Connector:
    """Makes connections to one URL. The host that answered last is asked first, and one for which nobody had the time
    to wait is asked last.

    asyncpg has one time limit for all hosts, so that a silent first one uses it up. It also has no word for the
    certificates of the system, and no name for a file that is not there.
    """

    def __init__(self, url: str) -> None:
        self._address = parse(url)
        hosts = list(self._address.hosts)
        if self._address.shuffled:
            random.shuffle(hosts)
        self._hosts: list[DatabaseHost] = hosts

    async def connect(self, *, timeout: float, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":  # noqa: ASYNC109
        """A connection with these options of `asyncpg.connect`. `timeout`: seconds for all hosts together.

        Raises errors of the driver, and `DependencyDown` for files of the URL that cannot be read.
        """
        arguments = {**_arguments(self._address), **options}
        if not self._hosts:
            return await _open({**arguments, **_password(self._address, _NO_HOST)}, timeout)
        errors: list[tuple[DatabaseHost, BaseException]] = []
        for session, host in self._attempts():
            try:
                place = {"host": host.host, "port": host.port, "target_session_attrs": session}
                place |= _password(self._address, host)
                connection = await _open({**arguments, **place}, timeout / len(self._hosts))
            except _NEXT_HOST as error:
                errors.append((host, error))
            except asyncio.CancelledError:
                self._hosts.remove(host)
                self._hosts.append(host)
                raise
            else:
                self._hosts.remove(host)
                self._hosts.insert(0, host)
                return connection
        if len(self._hosts) == 1:
            raise errors[-1][1]
        told = {str(host): describe(error) for host, error in errors}
        raise ConnectionError("; ".join(f"{host}: {text}" for host, text in told.items()))

    def _attempts(self) -> Iterator[tuple[str, DatabaseHost]]:
        """Each host with what its session must be."""
        preferred = self._address.session == "prefer-standby"
        for session in ("standby", "any") if preferred else (self._address.session,):
            for host in tuple(self._hosts):
                yield session, host


async def _open(arguments: dict[str, Any], timeout: float) -> "asyncpg.Connection[asyncpg.Record]":  # noqa: ASYNC109
    try:
        return await asyncpg.connect(**arguments, timeout=timeout)
    except asyncpg.ProtocolViolationError as error:
        if refused := refusal(error):
            raise DependencyDown("postgres", refused) from error
        raise


def _arguments(address: DatabaseAddress) -> dict[str, Any]:
    for name, path in address.files.items():
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise DependencyDown("postgres", f"{name} of the database URL, {path}: {describe(error)}") from error
    arguments: dict[str, Any] = {"dsn": for_asyncpg(address)}
    for name in ("user", "password", "database"):
        if (value := getattr(address, name)) is not None:
            arguments[name] = value
    if address.trusts_the_system:
        arguments["ssl"] = _context(address)
    return arguments


def _password(address: DatabaseAddress, host: DatabaseHost) -> dict[str, str]:
    """Of the password file. One that others may read is refused, since libpq, which migrates, would pass over it."""
    path = address.password_file
    if path is None:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & _OF_OTHERS:
                raise PermissionError("others may read it, so that libpq does not: expected the mode 600")
            user = address.user or getpass.getuser()
            found = find_password(file, host=host.host, port=host.port, database=address.database or user, user=user)
    except (OSError, UnicodeError) as error:
        raise DependencyDown("postgres", f"passfile of the database URL, {path}: {describe(error)}") from error
    return {} if found is None else {"password": found}


def _context(address: DatabaseAddress) -> ssl.SSLContext:
    """With the authorities of the system, and all else as asyncpg makes it of the URL."""
    context = ssl.create_default_context()
    if least := address.parameters.get("ssl_min_protocol_version"):
        context.minimum_version = _tls_version(least)
    if most := address.parameters.get("ssl_max_protocol_version"):
        context.maximum_version = _tls_version(most)
    if revoked := address.files.get("sslcrl"):
        context.load_verify_locations(revoked)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if certificate := address.files.get("sslcert"):
        password = address.parameters.get("sslpassword", "")
        context.load_cert_chain(certificate, address.files.get("sslkey"), password=password)
    return context


def _tls_version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]
