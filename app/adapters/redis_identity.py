"""Which Redis process a connection leads to, and since when its data have a history of their own."""

import re
from typing import Final

from msgspec import Struct
from redis.exceptions import RedisError

# A new process has a new run id; other data in the same process, after REPLICAOF, have a new replication id.
_RUN_ID: Final = re.compile(rb"\brun_id:(\w+)")
_REPLICATION_ID: Final = re.compile(rb"\bmaster_replid:(\w+)")


class Server(Struct, frozen=True):
    """A Redis process, and the history of its data since it last took over those of another."""

    run_id: str
    replication_id: str

    def __str__(self) -> str:
        return f"{self.run_id} {self.replication_id}"


def run_id_of(info: bytes) -> str:
    """Of what `INFO server` answers. Raises `RedisError` when it is not there."""
    return _found(_RUN_ID, info)


def server_of(server: bytes, replication: bytes) -> Server:
    """Of what `INFO server` and `INFO replication` answer. Raises `RedisError` when it is not there."""
    return Server(_found(_RUN_ID, server), _found(_REPLICATION_ID, replication))


def _found(pattern: re.Pattern[bytes], info: bytes) -> str:
    match = pattern.search(info)
    if match is None:
        raise RedisError("INFO does not say which server this is")
    return match[1].decode()
