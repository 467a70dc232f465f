"""Ports for servers on loopback that keep their number while they are down.

They are taken from below the range the system hands to outgoing connections: a client that retries against a stopped
server's port in that range may be given the very port as its own, connect to itself, and keep the server from
coming back.
"""

import random
import socket
from collections.abc import Container
from typing import Final

from app.errors import UserError

# Linux hands out 32768 to 60999 by default, macOS and the IANA range begin at 49152.
_LOWEST: Final = 15_000
_HIGHEST: Final = 29_999
_ATTEMPTS: Final = 200


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """True when a server could listen on the port now, even if old connections of an earlier server linger."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose(taken: Container[int] = ()) -> int:
    """A random free port on 127.0.0.1 that is not in `taken`; copies started at once get different ones."""
    for _ in range(_ATTEMPTS):
        port = random.randint(_LOWEST, _HIGHEST)
        if port not in taken and is_free(port):
            return port
    raise UserError(f"No free port found on 127.0.0.1 between {_LOWEST} and {_HIGHEST}; stop a program that uses one")
