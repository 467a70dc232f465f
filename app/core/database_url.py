"""The URL of Postgres as people have it, and what it means for each driver.

libpq (psycopg: migrations, commands) and asyncpg (the service) read the same URL in different ways: asyncpg takes a
parameter that it does not know for a setting of the server, which then refuses the connection. Here each parameter of
libpq is either written out for asyncpg, without meaning for it, or refused by its name.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import difflib
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from msgspec import Struct

from app.core.server_urls import UrlParts, places, url_parts

_EXPECTED: Final = "expected postgresql://user:password@host:port/database"
_ADDRESS: Final = ("host", "port", "dbname", "user", "password")
# asyncpg reads these as libpq does.
_FILES: Final = ("sslcert", "sslkey", "sslrootcert", "sslcrl")
_TAKEN: Final = (
    *("passfile", "sslmode", *_FILES, "sslpassword", "sslnegotiation", "ssl_min_protocol_version"),
    *("ssl_max_protocol_version", "krbsrvname", "gsslib", "options"),
)
# Read here.
_OURS: Final = ("target_session_attrs", "load_balance_hosts", "channel_binding", "ssl")
# Without meaning for this service: it has settings or fixed values of its own for these, or the driver has nothing to
# choose.
_WITHOUT_MEANING: Final = (
    *("application_name", "fallback_application_name", "client_encoding", "connect_timeout", "keepalives"),
    *("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "gssencmode"),
    *("gssdelegation", "sslcompression", "sslsni", "sslcertmode", "min_protocol_version", "max_protocol_version"),
)
_TLS_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_PROTOCOL_VERSIONS: Final = ("3.0", "3.2", "latest")
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer"),
    "gsslib": ("gssapi", "sspi"),
    "sslcertmode": ("disable", "allow", "require"),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "min_protocol_version": _PROTOCOL_VERSIONS,
    "max_protocol_version": _PROTOCOL_VERSIONS,
    "ssl": ("true",),
}
_NUMBERS: Final = ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}")
_WITH_CERTIFICATE: Final = ("verify-ca", "verify-full")
# Parameters of other drivers, and those of libpq that asyncpg cannot follow.
_INSTEAD: Final[Mapping[str, str]] = {
    "hostaddr": "put the address in the place of the host",
    "service": "put what the service file says into the URL",
    "schema": "use options=-csearch_path%3DNAME",
    "currentSchema": "use options=-csearch_path%3DNAME",
    "search_path": "use options=-csearch_path%3DNAME",
    "statement_timeout": "set DB_STATEMENT_TIMEOUT_MS",
    "lock_timeout": "set DB_LOCK_TIMEOUT_MS",
    "connection_limit": "set DB_POOL_MAX_SIZE",
    "pool_size": "set DB_POOL_MAX_SIZE",
    "pool_timeout": "set DB_CONNECT_TIMEOUT_SEC",
    **dict.fromkeys(
        ("pgbouncer", "statement_cache_size", "prepared_statement_cache_size"),
        "set DATABASE_POOLER=transaction for a pooler in transaction mode, and leave it out for another",
    ),
}
# The choice among several hosts, unless the URL makes another.
_OF_SEVERAL: Final = "read-write"
_NAME: Final = re.compile(r"\w{1,40}", re.ASCII)
_DRIVER: Final = re.compile(r"postgres(?:ql)?(\+\w{1,20})://", re.ASCII)


class DatabaseHost(Struct, frozen=True):
    """`host` is a name, an address without brackets, or the folder of a socket."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class DatabaseAddress(Struct, frozen=True, kw_only=True):
    """What a URL says. No `hosts`: the driver's default. `parameters`: those that asyncpg reads, in its words."""

    hosts: tuple[DatabaseHost, ...]
    user: str | None
    password: str | None
    database: str | None
    session: str
    """`target_session_attrs`; `read-write` for several hosts, unless the URL says another."""
    shuffled: bool
    """Whether the hosts are tried in an order of chance."""
    parameters: Mapping[str, str]

    @property
    def files(self) -> dict[str, str]:
        """The files that it names, by parameter."""
        return {name: path for name in _FILES if (path := self.parameters.get(name)) and path != "system"}

    @property
    def password_file(self) -> str | None:
        """Where the password is, unless the URL has one."""
        return None if self.password else self.parameters.get("passfile")

    @property
    def trusts_the_system(self) -> bool:
        """The server needs a certificate for its name, by an authority that this system trusts."""
        return self.parameters.get("sslrootcert") == "system"


def check_database_url(url: str) -> str:
    """The URL itself. Raises `ValueError`, which names every parameter that is not usable and shows no value."""
    parse(url)
    return url


def parse(url: str) -> DatabaseAddress:
    """Raises `ValueError` as `check_database_url` does."""
    parts = _parts(url)
    given = _parameters(parts.query)
    user, _, password = parts.login.partition(":")
    parameters = {name: given[name] for name in _TAKEN if given.get(name)}
    if mode := _mode(given):
        parameters["sslmode"] = mode
    if given.get("channel_binding") == "require":
        # asyncpg has no channel binding. What it guards from, a certificate for the server's name does too.
        parameters["sslmode"] = "verify-full"
        parameters.setdefault("sslrootcert", "system")
    hosts = _hosts(parts.hosts, given)
    return DatabaseAddress(
        hosts=hosts,
        user=given.get("user") or unquote(user) or None,
        password=given.get("password") or unquote(password) or None,
        database=given.get("dbname") or unquote(parts.path[1:]) or None,
        session=given.get("target_session_attrs") or (_OF_SEVERAL if len(hosts) > 1 else "any"),
        shuffled=given.get("load_balance_hosts") == "random",
        parameters=parameters,
    )


def for_libpq(url: str) -> str:
    """The same for libpq, with our choice among several hosts. libpq takes the last of `ssl` and `sslmode`, which may
    be the weaker one.
    """
    chosen, given = _with_choice(url, _OF_SEVERAL), _parameters(_parts(url).query)
    return f"{chosen}&sslmode={_mode(given)}" if given.get("ssl") else chosen


def for_reads(url: str) -> str:
    """The same for reads: of several hosts a standby that answers, or else any."""
    return _with_choice(url, "prefer-standby")


def for_asyncpg(address: DatabaseAddress) -> str:
    """The URL that carries the parameters; host, user, password and database are arguments of their own. The password
    file is read by us.
    """
    query = "&".join(
        f"{name}={quote(value, safe='')}"
        for name, value in address.parameters.items()
        if name != "passfile" and not (name == "sslrootcert" and address.trusts_the_system)
    )
    return f"postgresql://?{query}" if query else "postgresql://"


def _parts(url: str) -> UrlParts:
    if named := _DRIVER.match(url):
        raise ValueError(f"{_EXPECTED}: leave {named[1]} out, which names a driver of another library")
    return url_parts(url, ("postgresql", "postgres"), _EXPECTED)


def _with_choice(url: str, session: str) -> str:
    """Without the parameters that have no name, such as after a `?` at the end, which libpq refuses."""
    query = _parts(url).query
    parameters = list(filter(None, query.split("&")))
    if len(parse(url).hosts) > 1 and "target_session_attrs" not in _parameters(query):
        parameters.append(f"target_session_attrs={session}")
    return "?".join(filter(None, (url.partition("?")[0], "&".join(parameters))))


def _mode(given: Mapping[str, str]) -> str:
    """The stronger one of `sslmode` and `ssl`, which asks for TLS; empty without both."""
    mode = given.get("sslmode", "")
    if given.get("ssl") and given.get("sslrootcert") == "system":
        return "verify-full"
    return "require" if given.get("ssl") and mode not in _WITH_CERTIFICATE else mode


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    errors = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        found[name] = unquote(value)
        if error := _error(name, found[name]):
            errors.append(error)
    errors = errors or _contradictions(found)
    if errors:
        raise ValueError("; ".join(dict.fromkeys(errors)))
    return found


def _contradictions(given: Mapping[str, str]) -> list[str]:
    """What libpq refuses together, while asyncpg would connect."""
    errors = []
    if given.get("sslrootcert") == "system" and given.get("sslmode", "verify-full") != "verify-full":
        errors.append("sslrootcert=system: needs sslmode=verify-full, or none; or name a file of authorities")
    direct = given.get("sslnegotiation") == "direct"
    if direct and given.get("sslrootcert") != "system" and _mode(given) not in ("require", *_WITH_CERTIFICATE):
        errors.append("sslnegotiation=direct: needs sslmode=require, verify-ca or verify-full")
    least, most = (given.get(f"ssl_{bound}_protocol_version") for bound in ("min", "max"))
    if least and most and _TLS_VERSIONS.index(least) > _TLS_VERSIONS.index(most):
        errors.append(f"ssl_min_protocol_version={least}: above ssl_max_protocol_version={most}")
    return errors


def _error(name: str, value: str) -> str | None:
    known = (*_ADDRESS, *_TAKEN, *_OURS, *_WITHOUT_MEANING)
    if not _NAME.fullmatch(name):
        return "a parameter after the ? has no name: expected name=value&name=value"
    if name in _INSTEAD:
        return f"parameter {name} is not supported: {_INSTEAD[name]}"
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        return f"unknown parameter {name}: " + (f"did you mean {near[0]}?" if near else "remove it")
    if name in _NUMBERS and not _NUMBER.fullmatch(value):
        return f"{name}: expected a whole number"
    if name in _VALUES and value not in _VALUES[name]:
        return f"{name}: expected {'one of ' if len(_VALUES[name]) > 1 else ''}{', '.join(_VALUES[name])}" + (
            ", or sslmode" if name == "ssl" else ""
        )
    return None


def _hosts(hosts: str, given: Mapping[str, str]) -> tuple[DatabaseHost, ...]:
    """Parameters go before the part of the URL for hosts, as in libpq; one port may be for all hosts."""
    split = places(hosts) if hosts else []
    names = given["host"].split(",") if given.get("host") else [unquote(host) for host, _ in split]
    ports = given["port"].split(",") if given.get("port") else [port for _, port in split]
    if ports and not names:
        names = ["localhost"]
    if len(ports) < 2:
        ports = (ports or [""]) * len(names)
    if len(ports) != len(names):
        raise ValueError(f"{len(ports)} ports for {len(names)} hosts: expected one for all, or one for each")
    if not all(port == "" or (port.isascii() and port.isdigit() and 0 < int(port) < 65_536) for port in ports):
        raise ValueError("port: expected a number from 1 to 65535")
    return tuple(DatabaseHost(name or "localhost", int(port or 5432)) for name, port in zip(names, ports, strict=True))
