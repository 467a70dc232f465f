"""The comparison of the cached histories with those in Postgres."""

from typing import Final

import psycopg
import redis
from redis.crc import key_slot

from app.core import cache_entry, redis_slots
from app.core.history import NO_HISTORY, History, decode_history
from app.core.redis_url import cluster_of
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
    stale = []
    stored, links = histories_of(connection), _links(connection)
    for user_id, (version, encoded, joined) in cached_histories(connection, redis_url).items():
        history = decode_history(encoded) if encoded else NO_HISTORY
        # Without a row any version is right as long as the history is empty.
        wrong = (version, history) != stored.get(user_id, (version, NO_HISTORY))
        if wrong or joined != links.get(user_id, ()):
            stale.append(user_id)
    return stale


def cached_histories(connection: psycopg.Connection, redis_url: str) -> dict[str, tuple[int, bytes, tuple[str, ...]]]:
    """By user, the version, the history and the joined ids of each entry that counts."""
    row = connection.execute("SELECT epoch FROM cache_epoch").fetchone()
    assert row is not None
    epoch = bytes(row[0])
    in_cluster = redis_url.startswith("redis+cluster:")
    of_groups = {
        row[0]: bytes(row[1])
        for row in connection.execute(
            "SELECT slot_group, epoch FROM cache_slot_epochs WHERE cache_epoch = %s", (epoch,)
        ).fetchall()
    }
    found = {}
    for cache in _servers(redis_url):
        with cache:
            for key in cache.scan_iter(f"*{_HISTORY_KEYS}*"):
                user_id = key.decode().partition(_HISTORY_KEYS)[2]
                if in_cluster:
                    user_id = user_id.partition("}")[2]
                    epoch = of_groups.get(redis_slots.group_of(key_slot(key)), b"none")
                (value,) = cache.mget([key])  # nothing for a key of another type
                if (entry := cache_entry.decode_history(value, epoch)) is not None:
                    found[user_id] = entry
    return found


def _links(connection: psycopg.Connection) -> dict[str, tuple[str, ...]]:
    """The ids that are joined into each user."""
    found = connection.execute(
        "SELECT user_id, array_agg(anonymous_id ORDER BY anonymous_id) FROM user_links "
        "WHERE undone_at IS NULL GROUP BY user_id"
    ).fetchall()
    return {user_id: tuple(ids) for user_id, ids in found}


def _servers(redis_url: str) -> "list[redis.Redis[bytes]]":
    if (address := cluster_of(redis_url)) is None:
        return [redis.Redis.from_url(redis_url)]
    login = {"username": address.user, "password": address.password}
    for host, port in address.nodes:
        try:
            with redis.Redis(host, port, protocol=2, **login) as node:
                slots = redis_slots.parse(node.execute_command("CLUSTER SLOTS", NEVER_DECODE=True), host)
        except redis.ConnectionError:
            continue
        return [redis.Redis(master.host, master.port, protocol=2, **login) for master in slots.served]
    raise AssertionError("no node of the cluster answers")
