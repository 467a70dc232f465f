"""Redis servers of a test's own, to be restarted from old data, reconfigured or replaced."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from app.devstack import Stack
from app.devstack.server import Server


@contextmanager
def own_redis(stack: Stack) -> Iterator[Stack]:
    """A stack whose only server is another Redis."""
    given = {name: url for name, url in stack.urls.items() if name != "ONLINE_CACHE_REDIS_URL"}
    with Stack.throwaway(given) as own:
        yield own
        own.redis.kill()  # one that still writes its first append-only file, as after a copy, ignores SIGTERM


def client(own: Stack) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(own.redis_url)


class Snapshot:
    """The append-only files of a server, as they are when it is made."""

    def __init__(self, server: Server, copies: Path) -> None:
        self._server = server
        self._data = server.folder.root / "redis"
        self._copy = copies / "redis"
        shutil.copytree(self._data, self._copy)  # a command is in the file before it is answered

    def restore(self) -> None:
        """Ends the server and puts its old files back; it does not start it."""
        self._server.kill()
        shutil.rmtree(self._data)
        shutil.copytree(self._copy, self._data)


def replicate(replica: Stack, master: Stack) -> None:
    """Makes the first a copy of the second, and waits until it is one."""
    port = master.redis_url.rpartition(":")[2].partition("/")[0]
    with client(master) as copied:
        copied.config_set("repl-diskless-sync-delay", 0)  # by default it waits 5 s for more replicas
    with client(replica) as own:
        own.config_set("masterauth", master.folder.password)
        own.replicaof("127.0.0.1", port)


def promote(replica: Stack) -> None:
    with client(replica) as own:
        own.replicaof("NO", "ONE")


def is_synchronized(replica: Stack) -> bool:
    with client(replica) as own:
        info: Any = own.info("replication")
        return bool(info["master_link_status"] == "up")
