"""Redis dies under load, and an operator switches all running processes to memory and back; or processes have other
settings for a while. Nothing is stale then.
"""

import subprocess
import sys

import psycopg
import pytest

from app.devstack import Stack
from app.devstack.ports import choose
from tests.faults.cached import cached_histories, check_cache
from tests.faults.checker import Client, check, client_of
from tests.faults.roles import role
from tests.faults.test_cache import acquaint, await_counted, brought, takes
from tests.faults.test_outages import reading
from tests.support.service import ROOT, Service, eventually, running


def reco(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def uses(service: Service, backend: str) -> bool:
    shown = {name: service.metric("reco_online_cache_backend", backend=name) == 1 for name in ("redis", "memory")}
    return service.readiness()["cache"]["backend"] == backend and [n for n in shown if shown[n]] == [backend]


def await_backend(backend: str, *services: Service) -> None:
    for service in services:
        eventually(lambda service=service: uses(service, backend), 10.0, service.describe)


@pytest.mark.slow
@pytest.mark.shows("reco cache use")
def test_redis_dies_and_running_processes_use_memory_until_it_is_back(
    breakable_stack: Stack, environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    strict = {**environment, "ROLE": "api", "ONLINE_CACHE_STRICT_BACKEND": "true"}
    other = {**environment, "ROLE": "relay,consumer", "HTTP_PORT": str(choose())}
    with running(other) as worker:
        with running(strict) as api, Client(api.url) as client:
            client.await_more(20)
            await_backend("redis", api, worker)
            breakable_stack.redis.kill()
            eventually(lambda: api.status("/readyz") == 503, 10.0, api.describe)

            assert "within a second" in reco(environment, "cache", "use", "memory")
            await_backend("memory", api, worker)
            eventually(lambda: api.status("/readyz") == 200, 10.0, api.describe)
            # Redis is still down, and this says so.
            eventually(lambda: api.readiness()["status"] == "degraded", describe=api.describe)
            status = reco(environment, "status", api.url)
            assert "cache memory, chosen by" in status
            with reading(api.url) as answers:
                client.await_more(40)
            assert set(answers) == {200}

        with running(strict) as api, Client(api.url) as client:  # the choice outlives a process
            await_backend("memory", api)
            breakable_stack.redis.start()
            client.await_more(20)
            reco(environment, "cache", "use", "settings")
            await_backend("redis", api, worker)
            client.await_more(20)
            assert set(client.statuses) == {202}
            client.finish()
            check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
            assert api.readiness()["cache"] == {"backend": "redis", "chosen_by": None, "since": None}
            assert api.readiness()["status"] == "ready"


@pytest.mark.parametrize(
    "without",
    [{"ONLINE_CACHE_BACKEND": "memory"}, pytest.param({"ONLINE_CACHE_ENABLED": "false"}, marks=pytest.mark.slow)],
    ids=["memory", "disabled"],
)
def test_processes_go_without_redis_for_a_while(
    environment: dict[str, str], database_url: str, redis_url: str, without: dict[str, str]
) -> None:
    """Redis itself was there all the time and is the same, with the histories of before. Ann has gone on since, and Bob
    was erased.
    """
    settings = {**environment, "EXPLORATION_SHARE": "0"}
    with running(settings) as service:
        acquaint(service)
        for user in ("ann", "bob"):
            takes(service, user, "tent")
        await_counted(service, database_url)
        eventually(lambda: brought(service, "ann") == brought(service, "bob") == {"stove"}, describe=service.describe)
        with psycopg.connect(database_url, autocommit=True) as database:
            eventually(lambda: {"ann", "bob"} <= cached_histories(database, redis_url).keys())
    with running(settings | without) as service:
        takes(service, "ann", "pen")
        await_counted(service, database_url)
        assert service.client.delete("/users/bob").status_code == 200
    with running(settings) as service:
        assert brought(service, "ann") == {"stove", "ink"}
        assert brought(service, "bob") == set()
        check_cache(database_url=database_url, redis_url=redis_url, within_sec=30.0)


@pytest.mark.parametrize("other", ["number", pytest.param("prefix", marks=pytest.mark.slow)])
def test_processes_keep_histories_in_other_places_of_one_redis(
    environment: dict[str, str], database_url: str, redis_url: str, other: str
) -> None:
    """As while a setting is rolled out. What one has sent and erased is in the lists of the other in time, too."""
    elsewhere = (
        {"ONLINE_CACHE_REDIS_URL": f"{redis_url.rpartition('/')[0]}/1"}
        if other == "number"
        else {"ONLINE_CACHE_KEY_PREFIX": "elsewhere."}
    )
    settings = {**environment, "EXPLORATION_SHARE": "0"}
    with running({**settings, **elsewhere}) as service, running(role(settings, "api")) as api:
        acquaint(service)
        takes(service, "ann", "tent")
        await_counted(service, database_url)
        for first in (api, service):
            eventually(lambda first=first: brought(first, "ann") == {"stove"}, describe=first.describe)
        takes(service, "ann", "pen")
        eventually(lambda: brought(api, "ann") == {"stove", "ink"}, 5.0, api.describe)
        assert service.client.delete("/users/ann").status_code == 200
        eventually(lambda: brought(api, "ann") == set(), 5.0, api.describe)


def test_only_the_api_uses_redis(environment: dict[str, str], database_url: str, redis_url: str) -> None:
    """As while a setting is rolled out: the consumer does not write what the API reads."""
    with (
        running(role(environment, "relay,consumer", ONLINE_CACHE_BACKEND="memory")),
        running(role(environment, "api")) as api,
        client_of(api.url) as client,
    ):
        for _ in range(3):
            client.send(40)
            await_counted(api, database_url)
            for number in range(12):
                assert api.client.get("/reco", params={"user_id": f"user-{number}"}).status_code == 200
        check(client, database_url=database_url, redis_url=redis_url, within_sec=5.0)
