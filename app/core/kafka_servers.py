"""Checks the bootstrap servers of Kafka before the client reads them: it fails on a port like `x`, and takes the name
of a listener (`SSL://`) as part of the host.
"""

import re
from typing import Final

_SERVER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:/@;\s]+)(?::(?P<port>[0-9]{1,5}))?")
_LISTENER: Final = re.compile(r"(\w+)://")
_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


def check_kafka_servers(text: str) -> str:
    """The text itself: `host:port`, several separated by commas. Raises `ValueError` that names every fault."""
    servers = [part.strip() for part in text.split(",") if part.strip()]
    errors = [error for server in servers if (error := _error(server))]
    if errors or not servers:
        raise ValueError("; ".join(dict.fromkeys(errors or ["expected host:port,host:port"])))
    return text


def _error(server: str) -> str | None:
    if named := _LISTENER.match(server):
        protocol = named[1].upper()
        instead = f", and set KAFKA_SECURITY_PROTOCOL={protocol}" if protocol in _PROTOCOLS else ""
        return f"leave {named[0]} out{instead}; expected host:port"
    found = _SERVER.fullmatch(server)
    if found is None:
        return f"{server}: expected host:port, several separated by commas, and an IPv6 address in brackets"
    if found["port"] and not 0 < int(found["port"]) < 65_536:
        return f"{server}: a port is a number from 1 to 65535"
    return None
