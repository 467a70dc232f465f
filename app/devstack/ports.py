"""Ports for servers on loopback that keep their number while they are down.

They are taken from below the range the system hands to outgoing connections: a client that retries against a stopped
server's port in that range may be given the very port as its own, connect to itself, and keep the server from
coming back.

Whoever is given a port listens on it later: until then it only looks free. So a process that gives a port away holds
a lock for it until it ends, on one byte of a file that all processes of the account share.
"""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Container
from functools import cache
from pathlib import Path
from typing import Final

from app.errors import UserError

# Linux hands out 32768 to 60999 by default, macOS and the IANA range begin at 49152.
_LOWEST: Final = 15_000
_HIGHEST: Final = 29_999
_ATTEMPTS: Final = 200

_reserved: Final[set[int]] = set()


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
    """A random free port on 127.0.0.1 that is not in `taken`, and that no process which still runs was given before."""
    for _ in range(_ATTEMPTS):
        port = random.randint(_LOWEST, _HIGHEST)
        if port not in taken and port not in _reserved and reserve(port):
            return port
    raise UserError(f"No free port found on 127.0.0.1 between {_LOWEST} and {_HIGHEST}; stop a program that uses one")


def reserve(port: int) -> bool:
    """Whether the port is free for this process; `choose` gives it to nobody else then, until this process ends."""
    if not is_free(port):
        return False
    if port not in _reserved:
        try:
            fcntl.lockf(_shared_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except (BlockingIOError, PermissionError):  # which of the two depends on the system
            return False
        _reserved.add(port)
    return True


@cache
def _shared_file() -> int:
    """Stays open: closing it would give up the locks of this process."""
    path = Path(tempfile.gettempdir()) / f"reco-ports-{os.geteuid()}"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UserError(f"Ports cannot be locked in {path} ({error}); set TMPDIR to another folder") from error
