"""The cache behind Sentinels, with a user of few permissions, over TLS, and on servers that the service cannot use."""

import re
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from app.cli import main
from tests.faults.checker import check_service, client_of
from tests.faults.roles import role
from tests.support.redis_processes import PASSWORD, redis_process, watched_redis
from tests.support.service import Service, eventually, running
from tests.support.tls_front import certify, tls_front

# As docs/settings.md lists them.
_COMMANDS = "+eval +evalsha +script +info +mget +getrange +get +set +unlink +incrby +del +pttl +pexpire"


@pytest.mark.slow
def test_master_killed_under_load_and_replaced_by_its_sentinels(environment: dict[str, str]) -> None:
    """`/reco` answers throughout, and the new master serves histories as they are in Postgres; and once more."""
    with watched_redis() as (url, master, replica):
        with running({**environment, "ONLINE_CACHE_REDIS_URL": url}) as service, client_of(service.url) as client:
            client.send(50)
            eventually(lambda: cache(service)["state"] == "up", describe=service.describe)
            for lost, taking_over in ((master, replica), (replica, master)):
                lost.kill()
                seen = set()

                def came_back(seen: set[int] = seen) -> bool:
                    answer = service.client.get("/reco", params={"user_id": "somebody"})
                    seen.add(answer.status_code)
                    return cache(service)["state"] == "up"

                eventually(lambda: cache(service)["state"] == "down", 10, service.describe)
                eventually(came_back, 30, service.describe)
                assert seen == {200}
                client.send(50)
                at = f"redis://:a%20pass%2Fword@127.0.0.1:{taking_over.port}/0"
                lost.restart()
                with lost.client(password=PASSWORD) as old:
                    eventually(lambda old=old: follows(old), 30, lost.log)
            check_service(client, {**environment, "ONLINE_CACHE_REDIS_URL": at}, within_sec=30.0)
        assert "ok   redis: may write and delete" in doctor(environment, url)
        one = f"127.0.0.1:{master.port}"
        first, *others = re.findall(r"127\.0\.0\.1:\d+", url)
        said = doctor(environment, url.replace("/reco-cache/", "/shop/"))
        assert f"no Sentinel names a master shop that is up: {first} knows reco-cache; {others[0]} knows" in said
        # A server without a login and another one before the Sentinels, which are asked all the same.
        with redis_process() as other:
            places = f"@{one},127.0.0.1:{other.port},"
            assert "ok   redis: may write and delete" in doctor(environment, url.replace("@", places))
            said = doctor(environment, re.sub("@.*/reco-cache", f"{places[:-1]}/reco-cache", url))
        assert f"{one}: AuthenticationError: " in said
        assert f"127.0.0.1:{other.port}: ResponseError: unknown command" in said
        assert "begin ONLINE_CACHE_REDIS_URL with redis+sentinel://" in doctor(environment, f"redis://{first}")


@pytest.mark.slow
def test_two_processes_share_own_writes_over_tls_with_few_permissions(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The user may do what docs/settings.md lists, and nothing else."""
    certificate = certify(tmp_path)
    user = f"user shop on >secret ~*reco:* {_COMMANDS}"
    with redis_process("user default on nopass ~* +@all", user) as server, tls_front(server.port, certificate) as port:
        url = f"rediss://shop:secret@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        # Nothing counts here: what Redis does not take in time, the other process would never see.
        given = {"ONLINE_CACHE_REDIS_URL": url, "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "5"}
        with (
            running(role(environment, "api", **given)) as first,
            running(role(environment, "api", **given)) as second,
        ):
            for service in (first, second):
                eventually(lambda service=service: cache(service)["state"] == "up", describe=service.describe)
            items = [{"item_id": item_id, "title": item_id} for item_id in ("tent", "lamp", "rope")]
            assert first.client.post("/items", json={"items": items}).status_code == 200
            eventually(lambda: shown(second, "nobody") == {"tent", "lamp", "rope"}, describe=second.describe)
            for item_id in ("tent", "lamp"):
                event = {"user_id": "ann", "session_id": "s", "item_id": item_id, "event_type": "purchase"}
                assert first.client.post("/event", json=event).status_code == 202
            eventually(lambda: shown(second, "ann") == {"rope"}, describe=second.describe)
        wrong = url.replace(f"?ssl_ca_certs={certificate}", "")
        # A machine that is busy elsewhere may let it wait too long instead.
        eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in doctor(environment, wrong))
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "shop", "+ping", "+time")
            eventually(lambda: "ok   redis: may write and delete" in doctor(environment, url))
            admin.execute_command("ACL", "SETUSER", "shop", "-eval")
            eventually(lambda: "FAIL redis: NoPermissionError: " in doctor(environment, url))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param('rename-command HELLO ""', "RESP2 only", id="resp2"),
        pytest.param("cluster-enabled yes", "a node of a Redis Cluster", id="cluster", marks=pytest.mark.slow),
    ],
)
def test_server_that_cannot_be_the_cache_says_why(environment: dict[str, str], line: str, said: str) -> None:
    """The cluster has no slot at all, as one does that lost a range. Answers go on with memory and Postgres."""
    with redis_process(line) as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        with running({**environment, "ONLINE_CACHE_REDIS_URL": url}) as service:
            eventually(lambda: cache(service)["state"] == "down", describe=service.describe)
            assert said in cache(service)["error"]
            assert "ONLINE_CACHE_BACKEND=memory" in cache(service)["error"]
            assert service.readiness()["status"] == "degraded"
            assert service.client.get("/reco", params={"user_id": "ann"}).status_code == 200


def doctor(environment: dict[str, str], url: str) -> str:
    given = {"ONLINE_CACHE_REDIS_URL": url, "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "5", "ROLE": "api"}
    return CliRunner(env={**environment, **given}).invoke(main, ["doctor"]).output


def shown(service: Service, user_id: str) -> set[str]:
    """Without what the user has bought, counted or not."""
    answer = service.client.get("/reco", params={"user_id": user_id, "repeats": "avoid"})
    return {item["item_id"] for item in answer.json()["items"]}


def cache(service: Service) -> dict[str, str]:
    found: dict[str, str] = service.readiness()["dependencies"]["redis"]
    return found


def follows(server: "redis.Redis[bytes]") -> bool:
    """Whether the Sentinels have made it a replica, which has all that its master has."""
    try:
        info: Any = server.info("replication")
    except redis.RedisError:
        return False
    return bool(info["role"] == "slave" and info["master_link_status"] == "up")
