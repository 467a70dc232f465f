"""The comparison of the cached histories with those in Postgres."""

from typing import Final

import psycopg
import redis

from app.core import cache_entry
from app.core.history import NO_HISTORY, History, decode_history
from tests.support.service import eventually

_HISTORY_KEYS: Final = "reco:history.v3:"


def check_cache(*, database_url: str, redis_url: str, within_sec: float) -> None:
    """Waits until the cached histories agree with Postgres."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        eventually(lambda: not stale(connection, redis_url), within_sec, lambda: stale(connection, redis_url))


def histories_of(connection: psycopg.Connection) -> dict[str, tuple[int, History]]:
    found = connection.execute("SELECT user_id, version, history FROM user_history").fetchall()
    return {
        user_id: (version, decode_history(history) if history else NO_HISTORY) for user_id, version, history in found
    }


def stale(connection: psycopg.Connection, redis_url: str) -> list[str]:
    """Users whose cached history is not the stored one. What is not of the present epoch is not read by anybody."""
    epoch = _epoch(connection)
    stored = histories_of(connection)
    with redis.Redis.from_url(redis_url) as cache:
        stale = []
        for key in cache.scan_iter(f"*{_HISTORY_KEYS}*"):
            (value,) = cache.mget([key])  # nothing for a key of another type
            cached = cache_entry.decode_history(value, epoch)
            if cached is None:
                continue
            user_id = key.decode().partition(_HISTORY_KEYS)[2]
            version, encoded = cached
            history = decode_history(encoded) if encoded else NO_HISTORY
            # Without a row any version is right as long as the history is empty.
            if (version, history) != stored.get(user_id, (version, NO_HISTORY)):
                stale.append(user_id)
        return stale


def _epoch(connection: psycopg.Connection) -> bytes:
    row = connection.execute("SELECT epoch FROM cache_epoch").fetchone()
    assert row is not None
    return bytes(row[0])
