"""The cache in a Redis Cluster: a master is killed, slots move, and a range of slots has no master."""

import re
from pathlib import Path
from typing import Any
from zlib import crc32

import psycopg
import pytest
from click.testing import CliRunner
from redis.crc import key_slot

from app.cli import main
from app.core import redis_slots
from tests.faults.cached import cached_histories
from tests.faults.checker import check_service, client_of
from tests.faults.roles import role
from tests.faults.test_sentinel import cache, shown
from tests.support.redis_clusters import RedisClusterProcesses, ask, redis_cluster, redis_cluster_over_tls
from tests.support.redis_processes import redis_process
from tests.support.service import Service, eventually, running
from tests.support.tls_front import certify

# As docs/settings.md lists them.
_COMMANDS = "+eval +evalsha +script +info +mget +getrange +get +set +unlink +incrby +del +pttl +pexpire +cluster|slots"


@pytest.mark.slow
def test_master_of_a_cluster_killed_under_load_and_replaced_by_its_replica(environment: dict[str, str]) -> None:
    """`/reco` answers throughout, readiness names the node, and the cache agrees with Postgres afterwards."""
    with redis_cluster(replicated=True) as cluster:
        environment = {**environment, "ONLINE_CACHE_REDIS_URL": cluster.url()}
        with running(environment) as service, client_of(service.url) as client:
            eventually(lambda: cache(service)["state"] == "up", describe=service.describe)
            client.send(50)
            client.start()
            lost = cluster.masters[0]
            lost.kill()
            eventually(
                lambda: f"127.0.0.1:{lost.port}, master of" in str(cache(service)["error"]), 10, service.describe
            )
            eventually(lambda: service.readiness()["status"] == "degraded", describe=service.describe)
            seen = set()

            def came_back() -> bool:
                seen.add(service.client.get("/reco", params={"user_id": "somebody"}).status_code)
                return cache(service)["state"] == "up"

            eventually(came_back, 30, service.describe)
            assert seen == {200}
            lost.restart()
            client.await_more(50)
            client.finish()
            check_service(client, environment, within_sec=30.0)
            with psycopg.connect(environment["DATABASE_URL"]) as connection:
                assert cached_histories(connection, cluster.url())


@pytest.mark.slow
def test_slots_moved_while_reads_and_writes_go_on(environment: dict[str, str]) -> None:
    """Every slot that holds a user goes to the next master, and to the next one again."""
    with redis_cluster() as cluster:
        environment = {**environment, "ONLINE_CACHE_REDIS_URL": cluster.url()}
        with running(environment) as service, client_of(service.url) as client:
            eventually(lambda: cache(service)["state"] == "up", describe=service.describe)
            client.send(60)
            eventually(lambda: len(used_slots(cluster)) > 5, 10, service.describe)
            client.start()
            for _ in range(2):
                for slot in used_slots(cluster):
                    at = cluster.masters.index(cluster.owner(slot))
                    cluster.move(slot, cluster.masters[(at + 1) % 3])
                    assert service.client.get("/reco", params={"user_id": "somebody"}).status_code == 200
                client.await_more(30)
            client.finish()
            eventually(lambda: cache(service)["state"] == "up", 10, service.describe)
            check_service(client, environment, within_sec=30.0)


@pytest.mark.slow
def test_cluster_with_a_missing_slot_range_says_which_and_serves_the_others(environment: dict[str, str]) -> None:
    """The user may do what docs/settings.md lists, and nothing else. Two processes share own writes."""
    user = f"user shop on >secret ~*reco:* {_COMMANDS}"
    with redis_cluster("user default on nopass ~* +@all", user, "cluster-require-full-coverage no") as cluster:
        url = cluster.url("shop:secret@")
        given = {"ONLINE_CACHE_REDIS_URL": url, "RATE_LIMIT_REQUESTS": "100000"}
        # Nothing counts here: what Redis does not take in time, the other process would never see.
        given |= {"ONLINE_CACHE_REDIS_TIMEOUT_SEC": "5"}
        with (
            running(role(environment, "api", **given)) as first,
            running(role(environment, "api", **given)) as second,
        ):
            for service in (first, second):
                eventually(lambda service=service: cache(service)["state"] == "up", describe=service.describe)
            items = [{"item_id": item_id, "title": item_id} for item_id in ("tent", "lamp", "rope")]
            assert first.client.post("/items", json={"items": items}).status_code == 200
            eventually(lambda: shown(second, "nobody") == {"tent", "lamp", "rope"}, describe=second.describe)
            buy(first, "tent")
            eventually(lambda: shown(second, "ann") == {"lamp", "rope"}, describe=second.describe)
            gone = range(16_000, redis_slots.SLOTS)
            # First the one that serves them: as long as it says so, the others learn it again.
            for node in reversed(cluster.masters):
                ask(node, f"CLUSTER DELSLOTS {' '.join(map(str, gone))}")
            eventually(lambda: cache(second)["state"] == "down", 10, second.describe)
            said = cache(second)["error"]
            assert "no master serves the slots 16000-16383: assign them with redis-cli --cluster fix" in said
            assert second.readiness()["status"] == "degraded"
            buy(first, "lamp")
            eventually(lambda: shown(second, "ann") == {"rope"}, describe=second.describe)
            told = doctor({**environment, **given, "ROLE": "api"})
            assert "FAIL redis: no master serves the slots 16000-16383" in told
            ask(cluster.masters[2], f"CLUSTER ADDSLOTS {' '.join(map(str, gone))}")
            eventually(lambda: cache(second)["state"] == "up", 30, second.describe)
            assert rate_limited_alone(first) == 0
            assert re.search(
                r"ok   redis: 127.0.0.1:\d+: slots \d+-\d+, takes writes", doctor({**environment, **given})
            )
            assert first.terminate() == second.terminate() == 0


@pytest.mark.slow
def test_cluster_over_tls_takes_every_users_own_writes(environment: dict[str, str], tmp_path: Path) -> None:
    """Every node is reached over TLS, those that only the map names too. Doctor says what a wrong certificate is."""
    certificate = certify(tmp_path)
    with redis_cluster_over_tls(certificate) as url:
        of_one = re.sub("://([^,]*),[^?]*", r"://\1", url)  # it names the others
        given = {"ONLINE_CACHE_REDIS_URL": of_one, "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "5"}
        with (
            running(role(environment, "api", **given)) as first,
            running(role(environment, "api", **given)) as second,
        ):
            for service in (first, second):
                eventually(lambda service=service: cache(service)["state"] == "up", describe=service.describe)
            items = [{"item_id": item_id, "title": item_id} for item_id in ("tent", "lamp")]
            assert first.client.post("/items", json={"items": items}).status_code == 200
            eventually(lambda: shown(second, "nobody") == {"tent", "lamp"}, describe=second.describe)
            users = {f"user-{number}" for number in range(9)}
            masters = {key_slot(f"{crc32(user.encode()):08x}".encode()) * 3 // redis_slots.SLOTS for user in users}
            assert masters == {0, 1, 2}
            for user in users:
                buy(first, "tent", user)
                eventually(lambda user=user: shown(second, user) == {"lamp"}, describe=second.describe)
        told = doctor({**environment, **given})
        assert len(re.findall(r"ok   redis: 127.0.0.1:\d+: slots \d+-\d+, takes writes", told)) == 3, told
        given["ONLINE_CACHE_REDIS_URL"] = of_one.partition("?")[0]
        assert "CERTIFICATE_VERIFY_FAILED" in doctor({**environment, **given})


def test_server_that_is_no_cluster_says_so(environment: dict[str, str]) -> None:
    with redis_process() as server:
        told = doctor({**environment, "ONLINE_CACHE_REDIS_URL": f"redis+cluster://127.0.0.1:{server.port}"})
    assert "this server is no node of a Redis Cluster" in told


def buy(service: Service, item_id: str, user_id: str = "ann") -> None:
    event = {"user_id": user_id, "session_id": "s", "item_id": item_id, "event_type": "purchase"}
    assert service.client.post("/event", json=event).status_code == 202


def doctor(environment: dict[str, Any]) -> str:
    return CliRunner(env={**environment, "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "5"}).invoke(main, ["doctor"]).output


def rate_limited_alone(service: Service) -> float:
    found = re.search(r"^reco_rate_limit_redis_errors_total (\S+)", service.client.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def used_slots(cluster: RedisClusterProcesses) -> set[int]:
    found = set()
    for node in cluster.masters:
        with node.client() as client:
            found |= {key_slot(key) for key in client.scan_iter("*reco:history.v3:*")}
    return found
