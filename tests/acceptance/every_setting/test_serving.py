"""What is cached, where and for how long; what is tried out on whom."""

import asyncio
from typing import Any

import httpx
import pytest
import redis

from tests.acceptance.every_setting.world import ADMIN_TOKEN, ENDS_AT_ONCE, World
from tests.support.api import serving
from tests.support.service import eventually


@pytest.mark.shows("ONLINE_CACHE_MEMORY_MAX_KEYS")
def test_the_oldest_entry_of_a_full_cache_is_read_again(world: World) -> None:
    def missed() -> float:
        return world.metric("reco_online_cache_reads_total", cache="neighbours", result="miss")

    for number in range(12):
        assert world.client.get(f"/similar/many-{number}").status_code == 200
    before = missed()
    assert world.client.get("/similar/many-0").status_code == 200
    assert missed() == before + 1


@pytest.mark.shows("ONLINE_CACHE_REDIS_URL", "ONLINE_CACHE_HISTORY_TTL_SEC", "ONLINE_CACHE_REDIS_TIMEOUT_SEC")
def test_histories_are_kept_in_redis_and_read_even_when_it_is_slow(world: World, redis_base_url: str) -> None:
    world.await_counted(world.send(user_id="rita"))
    with redis.Redis.from_url(redis_base_url) as cache:
        (key,) = eventually(lambda: list(cache.scan_iter("*history*rita")), describe=world.describe)
        assert cache.ttl(key) > 100_000

        def hits() -> float:
            return world.metric("reco_online_cache_reads_total", cache="history", result="hit")

        before = hits()
        cache.client_pause(2000)  # answers nobody for this long, which is longer than the default
    assert world.client.get("/reco?user_id=rita").status_code == 200
    assert hits() == before + 1


@pytest.mark.shows("ONLINE_CACHE_KEY_PREFIX")
def test_every_key_in_redis_begins_with_the_prefix(world: World, redis_base_url: str) -> None:
    world.await_counted(world.send(user_id="paul"))
    with redis.Redis.from_url(redis_base_url) as cache:

        def kinds() -> set[str]:
            return {key.decode().rpartition(":")[0] for key in cache.scan_iter("*") if b"paul" in key or b"rate" in key}

        eventually(lambda: kinds() == {"shop-a.reco:history.v3", "shop-a.reco:rate"}, describe=kinds)
        assert all(key.startswith(b"shop-a.") for key in cache.scan_iter("*"))


@pytest.mark.shows("ONLINE_CACHE_RELATED_TTL_SEC")
def test_neighbours_are_read_again_although_no_change_was_reported(world: World) -> None:
    for user in ("rose", "ray"):
        for item in ("tent", "stove"):
            world.await_counted(world.send(user_id=user, item_id=item))

    def similar() -> list[str]:
        return [item["item_id"] for item in world.client.get("/similar/tent").json()["items"]]

    eventually(lambda: similar() == ["stove"], describe=world.describe)
    world.execute("DELETE FROM item_pairs")
    eventually(lambda: similar() == [], describe=world.describe)


@pytest.mark.shows("ONLINE_CACHE_POPULARITY_TTL_SEC")
def test_popular_items_are_kept_for_as_long_as_told(world: World) -> None:
    def stale() -> float:
        return world.metric("reco_online_cache_reads_total", cache="popular", result="stale")

    assert world.client.get("/popular").status_code == 200
    before = stale()
    world.await_probes()
    assert world.client.get("/popular").status_code == 200
    assert stale() == before


async def served(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> httpx.Response:
    """A strict service refuses until Redis, which may have been slow once, has taken a write."""
    while (answer := await client.get(path, headers=headers)).status_code == 503:
        await asyncio.sleep(0.05)
    return answer


@pytest.mark.shows("EXPLORATION_SHARE", "EXPLORATION_SEED", "VARIANTS")
async def test_new_items_and_variants_are_served_as_told(world: World) -> None:
    items = [{"item_id": f"new-{number}", "title": "New"} for number in range(40)]
    assert world.client.post("/items", json={"items": items}).status_code == 200

    def of(answer: httpx.Response) -> list[str]:
        return [item["item_id"] for item in answer.json()["items"] if item["source"] == "explore"]

    query, headers = "/reco?user_id=nobody&k=20", {"X-Request-ID": "the-same"}
    # The default share gives one place in twenty.
    eventually(lambda: len(of(world.client.get(query, headers=headers))) >= 5, describe=world.describe)
    chosen = of(world.client.get(query, headers=headers))
    headers["authorization"] = f"Bearer {ADMIN_TOKEN}"

    async def chosen_by(**changes: Any) -> list[str]:
        async with serving(world.settings, **changes, **ENDS_AT_ONCE) as client:
            return of(await served(client, query, headers))

    assert await chosen_by() == chosen
    assert await chosen_by(exploration_seed="winter") != chosen
    variants = {world.client.get(f"/reco?user_id=user-{number}").json()["variant"] for number in range(20)}
    assert variants == {"bolder", "control"}


@pytest.mark.shows("ONLINE_CACHE_ENABLED", "ONLINE_CACHE_BACKEND")
async def test_histories_are_cached_where_told_or_not_at_all(world: World) -> None:
    event_id = world.send(user_id="otto")
    world.await_counted(event_id)
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}

    async def reads(**changes: Any) -> tuple[bool, float]:
        """Whether Redis is a dependency, and how many of three reads of a history were answered by a cache."""

        def hits(text: str) -> float:
            name = 'reco_online_cache_reads_total{cache="history",result="hit"} '
            return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))

        async with serving(world.settings, **changes, **ENDS_AT_ONCE) as client:
            before = hits((await client.get("/metrics")).text)
            for _ in range(3):
                assert (await served(client, "/reco?user_id=otto", headers)).status_code == 200
            dependencies = (await client.get("/readyz")).json()["dependencies"]
            return "redis" in dependencies, hits((await client.get("/metrics")).text) - before

    async with asyncio.timeout(60):
        while (found := await reads()) != (True, 3.0):
            assert found[0]  # a Redis that is slow for a moment is not read
    assert await reads(online_cache_enabled=False) == (False, 0.0)
    in_memory, hits = await reads(online_cache_backend="memory")
    assert not in_memory
    assert hits > 0


@pytest.mark.shows("ONLINE_CACHE_STRICT_BACKEND")
def test_a_strict_service_is_not_ready_without_redis(world: World) -> None:
    world.redis_proxy.black_hole()
    eventually(lambda: world.service.status("/readyz") == 503, 30.0, world.describe)
    assert world.service.readiness()["dependencies"]["redis"]["state"] == "down"
    world.redis_proxy.heal()
    world.redis_proxy.reset()
    eventually(lambda: world.service.status("/readyz") == 200, 60.0, world.describe)
