"""The URL of the cache: one Redis, the Sentinels that know which Redis is the master now, or nodes of a cluster."""

import difflib
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from app.core.server_urls import UrlParts, places, url_parts

_EXPECTED: Final = (
    "expected redis://host:port/number, rediss://…, unix://…, redis+sentinel://host:port,host:port/service/number, or "
    "redis+cluster://host:port,host:port"
)
_SCHEMES: Final = ("redis", "rediss", "unix")
_SENTINEL_SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
_SENTINEL_PORT: Final = 26_379
_CLUSTER_SCHEMES: Final = ("redis+cluster", "rediss+cluster")
_PORT: Final = 6379
_SECURE: Final = "rediss"
"""So begin the schemes with TLS."""
_TLS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs", "ssl_check_hostname")
_OF_SENTINELS: Final = ("sentinel_username", "sentinel_password")
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
}
_INSTEAD: Final[Mapping[str, str]] = {
    "protocol": "the service speaks RESP3",
    "timeout": "set ONLINE_CACHE_REDIS_TIMEOUT_SEC",
    "socket_timeout": "set ONLINE_CACHE_REDIS_TIMEOUT_SEC",
    "socket_connect_timeout": "set ONLINE_CACHE_REDIS_TIMEOUT_SEC",
}
_NAME: Final = re.compile(r"\w{1,40}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{0,5}")


class ServerAddress(Struct, frozen=True, kw_only=True):
    """One Redis. `socket`: the path of its socket, in place of `host` and `port`."""

    host: str
    port: int
    socket: str | None
    number: int
    user: str | None
    password: str | None
    tls: Mapping[str, str] | None


class SentinelAddress(Struct, frozen=True, kw_only=True):
    """`service`: the name that the Sentinels have for the master. User, password, `number` and `tls` are those of the
    Redis servers; `login` has user and password of the Sentinels themselves, if they want one.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    number: int
    user: str | None
    password: str | None
    login: Mapping[str, str]
    tls: Mapping[str, str] | None


class ClusterAddress(Struct, frozen=True, kw_only=True):
    """`nodes`: some of the cluster's, as (host, port); any of them names the others. User, password and `tls` are those
    of all nodes.
    """

    nodes: tuple[tuple[str, int], ...]
    user: str | None
    password: str | None
    tls: Mapping[str, str] | None


def check_redis_url(url: str) -> str:
    """The URL itself. Raises `ValueError`, which names every parameter that is not usable and shows no value."""
    address_of(url)
    return url


def cluster_of(url: str) -> ClusterAddress | None:
    """The nodes of a cluster that a URL names; None for another URL. Raises `ValueError` as `check_redis_url` does."""
    address = address_of(url)
    return address if isinstance(address, ClusterAddress) else None


def address_of(url: str) -> ServerAddress | SentinelAddress | ClusterAddress:
    """What a URL says. Raises `ValueError` as `check_redis_url` does."""
    parts = _parts(url)
    if parts.scheme in _CLUSTER_SCHEMES:
        return _cluster(parts)
    return _sentinels(parts) if parts.scheme in _SENTINEL_SCHEMES else _server(parts)


def hosts_of(url: str) -> list[str]:
    """The hosts that a URL names; none for a socket. Raises `ValueError` for what is no URL of a cache."""
    return [host for host, _ in places(_parts(url).hosts) if host]


def _parts(url: str) -> UrlParts:
    return url_parts(url, (*_SCHEMES, *_SENTINEL_SCHEMES, *_CLUSTER_SCHEMES), _EXPECTED)


def _server(parts: UrlParts) -> ServerAddress:
    given = _parameters(parts, ("db", *_TLS))
    user, password, servers = _login_and_places(parts, _PORT)
    if len(servers) > 1:
        raise ValueError(
            "expected one host; for several Sentinels use redis+sentinel://a,b,c/service, for nodes of a cluster "
            "redis+cluster://a,b,c"
        )
    on_socket = parts.scheme == "unix"
    number = given.get("db") or ("" if on_socket else parts.path[1:])
    if not _NUMBER.fullmatch(number):
        raise ValueError("the database is a number: expected redis://host:port/number")
    ((host, port),) = servers
    return ServerAddress(
        host=host,
        port=port,
        socket=unquote(parts.path) if on_socket else None,
        number=int(number or 0),
        user=user,
        password=password,
        tls=_tls(parts.scheme, given),
    )


def _sentinels(parts: UrlParts) -> SentinelAddress:
    given = _parameters(parts, ("db", *_TLS, *_OF_SENTINELS))
    service, _, number = parts.path[1:].partition("/")
    number = given.get("db") or number or "0"
    if not service or not _NUMBER.fullmatch(number):
        raise ValueError("expected redis+sentinel://host:port,host:port/service/number")
    user, password, sentinels = _login_and_places(parts, _SENTINEL_PORT)
    return SentinelAddress(
        sentinels=sentinels,
        service=unquote(service),
        number=int(number),
        user=user,
        password=password,
        login={name.removeprefix("sentinel_"): given[name] for name in _OF_SENTINELS if given.get(name)},
        tls=_tls(parts.scheme, given),
    )


def _cluster(parts: UrlParts) -> ClusterAddress:
    given = _parameters(parts, _TLS)
    if parts.path not in ("", "/", "/0"):
        raise ValueError("a Redis Cluster has database 0 alone: expected redis+cluster://host:port,host:port")
    user, password, nodes = _login_and_places(parts, _PORT)
    return ClusterAddress(nodes=nodes, user=user, password=password, tls=_tls(parts.scheme, given))


def _login_and_places(parts: UrlParts, usual: int) -> tuple[str | None, str | None, tuple[tuple[str, int], ...]]:
    """User, password, and the (host, port) of each server; `usual`: the port of one that names none."""
    user, _, password = parts.login.partition(":")
    found = places(parts.hosts)
    if not all(port == "" or 0 < int(port) < 65_536 for _, port in found):
        raise ValueError("port: expected a number from 1 to 65535")
    return (
        unquote(user) or None,
        unquote(password) or None,
        tuple((host.lower() or "localhost", int(port or usual)) for host, port in found),
    )


def _tls(scheme: str, given: Mapping[str, str]) -> dict[str, str] | None:
    return {name: given[name] for name in _TLS if given.get(name)} if scheme.startswith(_SECURE) else None


def _parameters(parts: UrlParts, known: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    errors = []
    for part in filter(None, parts.query.split("&")):
        name, _, value = part.partition("=")
        found[name] = unquote(value).lower() if name in _VALUES else unquote(value)
        if not _NAME.fullmatch(name):
            errors.append("a parameter after the ? has no name: expected name=value&name=value")
        elif name in _INSTEAD:
            errors.append(f"parameter {name} is not supported: {_INSTEAD[name]}")
        elif name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            errors.append(f"unknown parameter {name}: " + (f"did you mean {near[0]}?" if near else "remove it"))
        elif name in _TLS and not parts.scheme.startswith(_SECURE):
            errors.append(f"parameter {name} needs TLS: begin the URL with {_SECURE}")
        elif name in _VALUES and found[name] not in _VALUES[name]:
            errors.append(f"{name}: expected one of {', '.join(_VALUES[name])}")
    if errors:
        raise ValueError("; ".join(dict.fromkeys(errors)))
    return found
