"""Redis loses time, writes or a key; Postgres loses time. What is served is today's, or readiness says otherwise."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from app.core.cache_entry import EPOCH_BYTES
from app.devstack import Stack
from tests.faults.cached import check_cache
from tests.faults.checker import check, client_of
from tests.faults.proxy import proxied_url
from tests.support.database import ask
from tests.support.redis_servers import Snapshot, client, is_synchronized, own_redis, promote, replicate
from tests.support.service import Service, eventually, running

# Every pair of these is taken together by users of their own, so that a history with one brings the other.
_PAIRS: Final = {"tent": "stove", "pen": "ink"}
_HEALED_SEC: Final = 5.0


@pytest.fixture
def own(stack: Stack) -> Iterator[Stack]:
    with own_redis(stack) as own:
        yield own


@pytest.fixture
def settings_of(environment: dict[str, str], own: Stack) -> dict[str, str]:
    return {**environment, "ONLINE_CACHE_REDIS_URL": own.redis_url, "EXPLORATION_SHARE": "0"}


def test_redis_back_from_an_old_snapshot(
    settings_of: dict[str, str], own: Stack, database_url: str, tmp_path: Path
) -> None:
    """Ann has gone on since, and Bob was erased."""
    with running(settings_of) as service:
        acquaint(service)
        takes(service, "ann", "tent")
        takes(service, "bob", "tent")
        eventually(lambda: brought(service, "ann") == brought(service, "bob") == {"stove"}, describe=service.describe)
        prefix = settings_of["KAFKA_TOPIC_PREFIX"]  # by default that of the keys, too
        with client(own) as redis:
            eventually(lambda: redis.exists(f"{prefix}reco:history.v3:bob"), describe=service.describe)
        snapshot = Snapshot(own.redis, tmp_path)
        takes(service, "ann", "pen")
        assert service.client.delete("/users/bob").status_code == 200
        eventually(lambda: brought(service, "ann") == {"stove", "ink"}, describe=service.describe)
        # What is not counted yet is in Redis alone, and comes back when it is counted.
        await_counted(service, database_url)
        snapshot.restore()
        own.redis.start()
        for _ in range(50):
            assert "ink" in brought(service, "ann")
            assert brought(service, "bob") == set()
        serves_from_the_cache_again(service, own, database_url)


def test_redis_failed_over_to_a_replica_that_was_behind(
    settings_of: dict[str, str], stack: Stack, own: Stack, database_url: str
) -> None:
    """The same process takes over the data of the other, so that no connection breaks."""
    with own_redis(stack) as other, running(settings_of) as service:
        acquaint(service)
        takes(service, "ann", "tent")
        eventually(lambda: brought(service, "ann") == {"stove"}, describe=service.describe)
        replicate(other, own)
        eventually(lambda: is_synchronized(other))
        promote(other)
        takes(service, "ann", "pen")
        eventually(lambda: brought(service, "ann") == {"stove", "ink"}, describe=service.describe)
        replicate(own, other)
        eventually(lambda: is_synchronized(own))
        promote(own)
        eventually(lambda: "ink" in brought(service, "ann"), _HEALED_SEC, service.describe)
        serves_from_the_cache_again(service, own, database_url)


# What makes Redis refuse, and what makes it accept again.
_REFUSALS: Final = {
    "OOM": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    "READONLY": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    "MISCONF": ("CONFIG SET dbfilename a-folder", "CONFIG SET stop-writes-on-bgsave-error no"),
    "NOPERM": ("ACL SETUSER default -@write", "ACL SETUSER default +@all"),
}


@pytest.mark.parametrize(
    "refusal", ["READONLY", *(pytest.param(name, marks=pytest.mark.slow) for name in ("OOM", "MISCONF", "NOPERM"))]
)
def test_redis_refusing_writes(settings_of: dict[str, str], own: Stack, database_url: str, refusal: str) -> None:
    with running(settings_of) as service:
        acquaint(service)
        takes(service, "ann", "tent")
        eventually(lambda: brought(service, "ann") == {"stove"}, describe=service.describe)
        refuse(own, refusal)
        eventually(lambda: service.readiness()["status"] == "degraded", describe=service.describe)
        takes(service, "ann", "pen")
        eventually(lambda: brought(service, "ann") == {"stove", "ink"}, describe=service.describe)
        with client(own) as redis:
            redis.execute_command(_REFUSALS[refusal][1])
        assert "ink" in brought(service, "ann")
        serves_from_the_cache_again(service, own, database_url)


def test_redis_refusing_the_writes_of_a_strict_service(settings_of: dict[str, str], own: Stack) -> None:
    with running({**settings_of, "ONLINE_CACHE_STRICT_BACKEND": "true"}) as service:
        refuse(own, "OOM")
        eventually(lambda: service.status("/readyz") == 503, describe=service.describe)
        with client(own) as redis:
            redis.execute_command(_REFUSALS["OOM"][1])
        eventually(lambda: service.status("/readyz") == 200, _HEALED_SEC, service.describe)


def test_keys_of_a_wrong_type(settings_of: dict[str, str], own: Stack, database_url: str) -> None:
    # A busy machine may let Redis wait, which is no error of the types.
    patient = {**settings_of, "RATE_LIMIT_REQUESTS": "100000", "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "5"}
    with running(patient) as service, client_of(service.url) as sender:
        acquaint(service)
        takes(service, "ann", "tent")
        eventually(lambda: brought(service, "ann") == {"stove"}, describe=service.describe)
        with client(own) as redis:
            for key in redis.keys("*"):
                # At once: a probe or the consumer would write in between.
                redis.pipeline().delete(key).lpush(key, "not a history").execute()
        takes(service, "ann", "pen")
        sender.send(40)
        eventually(lambda: brought(service, "ann") == {"stove", "ink"}, _HEALED_SEC, service.describe)
        check(sender, database_url=database_url, redis_url=own.redis_url, within_sec=_HEALED_SEC)
        assert service.metric("reco_feature_consumer_errors_total", kind="redis") == 0
        assert service.metric("reco_online_cache_epochs_total", reason="write") == 0
        assert service.metric("reco_rate_limit_redis_errors_total") == 0
        key = f"{settings_of['KAFKA_TOPIC_PREFIX']}reco:history.v3:ann"
        with client(own) as redis:  # damaged bytes count as missing, and are written anew
            for damaged in (lambda value: value[:-1] + bytes([value[-1] ^ 1]), lambda value: value[:-5], lambda _: b""):
                held = eventually(lambda: redis.get(key), describe=service.describe)
                redis.set(key, damaged(held))
                eventually(
                    lambda held=held: (
                        brought(service, "ann") == {"stove", "ink"}
                        and (redis.get(key) or b"")[EPOCH_BYTES:] == held[EPOCH_BYTES:]  # in any epoch
                    ),
                    describe=service.describe,
                )
        serves_from_the_cache_again(service, own, database_url)


def test_postgres_back_with_histories_of_before(
    breakable_stack: Stack, environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    """As after a restored backup or a promoted standby: Redis holds versions that Postgres has yet to reach."""
    with (
        proxied_url(database_url) as (proxy, url),
        running({**environment, "DATABASE_URL": url, "EXPLORATION_SHARE": "0"}) as service,
    ):
        acquaint(service)
        takes(service, "ann", "tent")
        eventually(lambda: brought(service, "ann") == {"stove"}, describe=service.describe)
        await_counted(service, database_url)
        with psycopg.connect(database_url, autocommit=True) as database:
            backup = history_of(database, "ann")
        for _ in range(5):
            takes(service, "ann", "pen")
            await_counted(service, database_url)
        eventually(lambda: brought(service, "ann") == {"stove", "ink"}, describe=service.describe)
        proxy.black_hole()
        breakable_stack.postgres.kill()
        breakable_stack.postgres.start()
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute(
                "UPDATE user_history SET version = %(version)s, history = %(history)s WHERE user_id = 'ann'", backup
            )
        proxy.heal()
        proxy.reset()
        eventually(lambda: service.status("/readyz") == 200, 30.0, service.describe)
        eventually(lambda: "ink" not in brought(service, "ann"), describe=service.describe)
        takes(service, "ann", "pen")
        eventually(lambda: "ink" in brought(service, "ann"), describe=service.describe)
        check_cache(database_url=database_url, redis_url=redis_url, within_sec=30.0)


def test_an_erased_user_who_comes_back(settings_of: dict[str, str], own: Stack, database_url: str) -> None:
    """The cache takes the new history, although the user had a long one before."""
    with running(settings_of) as service:
        acquaint(service)
        for _ in range(5):
            takes(service, "ann", "tent")
            await_counted(service, database_url)
        eventually(lambda: brought(service, "ann") == {"stove"}, describe=service.describe)
        assert service.client.delete("/users/ann").status_code == 200
        assert brought(service, "ann") == set()
        takes(service, "ann", "pen")
        eventually(lambda: brought(service, "ann") == {"ink"}, describe=service.describe)
        serves_from_the_cache_again(service, own, database_url)


def test_an_erasure_while_redis_is_down(settings_of: dict[str, str], own: Stack) -> None:
    with running(settings_of) as service:
        acquaint(service)
        takes(service, "ann", "tent")
        eventually(lambda: brought(service, "ann") == {"stove"}, describe=service.describe)
        own.redis.kill()
        assert service.client.delete("/users/ann").status_code == 200
        assert brought(service, "ann") == set()
        own.redis.start()
        eventually(lambda: service.readiness()["status"] == "ready", describe=service.describe)
        assert brought(service, "ann") == set()


@pytest.mark.slow
def test_an_erasure_whose_process_died_before_the_cache(
    settings_of: dict[str, str], own: Stack, database_url: str
) -> None:
    with running(settings_of) as service:
        acquaint(service)
        takes(service, "ann", "tent")
        eventually(lambda: brought(service, "ann") == {"stove"}, describe=service.describe)
        await_counted(service, database_url)
        with psycopg.connect(database_url) as database:
            database.execute("DELETE FROM user_history WHERE user_id = 'ann'")
            database.execute("INSERT INTO user_erasures (user_id, erased_at, unfinished) VALUES ('ann', now(), TRUE)")
        eventually(lambda: brought(service, "ann") == set(), 30.0, service.describe)
        check_cache(database_url=database_url, redis_url=own.redis_url, within_sec=30.0)


def acquaint(service: Service) -> None:
    """Other users take the pairs, so that each item of a pair is the other's neighbour."""
    for user in ("u1", "u2", "u3"):
        for one, other in _PAIRS.items():
            takes(service, f"{user}-{one}", one)
            takes(service, f"{user}-{one}", other)
    for item, other in _PAIRS.items():
        eventually(
            lambda item=item, other=other: similar(service, item) == {other},
            30.0,
            lambda item=item: f"{similar(service, item)}\n{counted(service)}\n{service.describe()}",
        )


def takes(service: Service, user_id: str, item_id: str) -> None:
    event = {"user_id": user_id, "session_id": f"of {user_id}", "item_id": item_id, "event_type": "purchase"}
    assert service.client.post("/event", json=event).status_code == 202


def brought(service: Service, user_id: str) -> set[str]:
    """The items that the user's history brings."""
    answer = service.client.get("/reco", params={"user_id": user_id, "explain": "true"})
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"] if item["because"]}


def similar(service: Service, item_id: str) -> set[str]:
    return {item["item_id"] for item in service.client.get(f"/similar/{item_id}").json()["items"]}


def counted(service: Service) -> str:
    """How far the events have come, for the message of a failed test."""
    tables = ("events", "event_outbox", "feature_event_consumed", "item_pairs")
    counts = {table: ask(service.environment["DATABASE_URL"], f"SELECT count(*) FROM {table}") for table in tables}
    return f"rows: {counts}"


def refuse(own: Stack, refusal: str) -> None:
    with client(own) as redis:
        redis.execute_command(_REFUSALS[refusal][0])
        if refusal == "MISCONF":  # once it could not save a snapshot that it is to save
            redis.config_set("save", "3600 1")
            (own.redis.folder.root / "redis" / "a-folder").mkdir()
            redis.bgsave()
            eventually(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")


def history_of(database: "psycopg.Connection[Any]", user_id: str) -> Mapping[str, Any]:
    row = database.execute("SELECT version, history FROM user_history WHERE user_id = %s", (user_id,)).fetchone()
    assert row is not None
    return {"version": row[0], "history": row[1]}


def await_counted(service: Service, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as database:
        uncounted = "SELECT (SELECT count(*) FROM events) - (SELECT count(*) FROM feature_event_consumed)"
        eventually(lambda: database.execute(uncounted).fetchone() == (0,), describe=service.describe)


def serves_from_the_cache_again(service: Service, own: Stack, database_url: str) -> None:
    """Ready, with hits, and whatever counts in the cache agrees with Postgres."""
    eventually(lambda: service.readiness()["status"] == "ready", _HEALED_SEC, service.describe)

    def hits() -> float:
        return service.metric("reco_online_cache_reads_total", cache="history", result="hit")

    def grow() -> bool:
        before = hits()
        brought(service, "ann")
        return hits() > before

    eventually(grow, _HEALED_SEC, service.describe)
    check_cache(database_url=database_url, redis_url=own.redis_url, within_sec=_HEALED_SEC)
