"""Requests a window for each caller: over processes, without Redis, and what clients are told."""

import asyncio

from app import metrics
from app.adapters.rate_limit import RateLimiter
from app.core import keys
from app.devstack import Stack
from app.settings import Settings
from tests.faults.proxy import proxied_url
from tests.support.api import serving, watch
from tests.support.pipeline import counted

A_LONG_WINDOW_SEC = 600.0


def limiter(limit: int, redis_url: str | None, *, timeout_sec: float = 2.0) -> RateLimiter:
    return RateLimiter(
        limit=limit, window_sec=A_LONG_WINDOW_SEC, redis_url=redis_url, key_prefix="", timeout_sec=timeout_sec
    )


async def allowed(limiters: list[RateLimiter], requests: int, caller: str = "shop") -> int:
    """How many of so many requests, sent at once in turn through the limiters, are let through."""
    decisions = await asyncio.gather(*(limiters[n % len(limiters)].take(caller) for n in range(requests)))
    return sum(decision.allowed for decision in decisions)


async def close(limiters: list[RateLimiter]) -> None:
    for one in limiters:
        await one.close()


async def test_processes_share_a_limit(redis_url: str) -> None:
    small = [limiter(10, redis_url), limiter(10, redis_url)]
    assert await allowed(small, 60) == 10
    await close(small)


async def test_leases_never_add_up_to_more_than_the_limit(redis_url: str) -> None:
    many = [limiter(1000, redis_url) for _ in range(3)]
    assert 900 <= await allowed(many, 3000) <= 1000
    # What another has leased and not used is all that can be lost.
    one = [limiter(1000, redis_url), limiter(1000, redis_url)]
    assert await allowed([one[0]], 1, "lone") == 1
    assert await allowed([one[1]], 2000, "lone") == 950
    assert await allowed([one[0]], 2000, "lone") == 49
    await close([*many, *one])


async def test_callers_have_limits_of_their_own_and_a_window_ends(redis_url: str) -> None:
    short = RateLimiter(limit=5, window_sec=0.2, redis_url=redis_url, key_prefix="", timeout_sec=2.0)
    assert await allowed([short], 5, "a") == 5
    assert await allowed([short], 5, "b") == 5
    async with asyncio.timeout(20):
        while not (await short.take("a")).allowed:
            await asyncio.sleep(0.01)
    await short.close()


async def test_callers_that_come_at_once_share_their_limits(redis_url: str) -> None:
    """As the addresses of many browsers do: more than there are connections to Redis."""
    pair = [limiter(10, redis_url), limiter(10, redis_url)]
    callers = [f"browser-{number}" for number in range(200)]
    assert await asyncio.gather(*(allowed(pair, 20, caller) for caller in callers)) == [10] * 200
    await close(pair)


async def test_callers_for_whom_redis_is_too_slow_are_limited_here(redis_url: str) -> None:
    """They wait for a while, and not until all others have had their turn."""
    with proxied_url(redis_url) as (proxy, slow):
        one = limiter(10, slow, timeout_sec=0.4)
        assert await allowed([one], 1, "first") == 1
        proxy.delay(0.2)
        alone = counted(metrics.RATE_LIMIT_ALONE)
        callers = [f"browser-{number}" for number in range(200)]
        assert await asyncio.gather(*(allowed([one], 20, caller) for caller in callers)) == [10] * 200
        assert counted(metrics.RATE_LIMIT_ALONE) > alone
        await close([one])


async def test_without_redis_each_process_limits_for_itself(breakable_stack: Stack) -> None:
    pair = [limiter(10, breakable_stack.redis_url), limiter(10, breakable_stack.redis_url)]
    await asyncio.to_thread(breakable_stack.redis.kill)
    assert await allowed(pair, 100) == 20
    await close(pair)


async def test_an_outage_in_the_middle_of_a_window_grants_no_second_one(breakable_stack: Stack) -> None:
    one = limiter(100, breakable_stack.redis_url)
    assert await allowed([one], 60, "outage") == 60
    await asyncio.to_thread(breakable_stack.redis.kill)
    assert await allowed([one], 100, "outage") == 40
    await one.close()


async def test_an_answer_names_what_is_left_and_when_to_come_back(settings: Settings) -> None:
    key, token = keys.make("shop", ["write"], "w" * 43)
    other, other_token = keys.make("front", ["write"], "f" * 43)
    limits = {"rate_limit_requests": 3, "rate_limit_window_sec": A_LONG_WINDOW_SEC}
    async with serving(settings, api_keys=(key.entry(), other.entry()), **limits) as client:

        async def send(with_token: str) -> tuple[int, str | None]:
            headers = {"authorization": f"Bearer {with_token}"}
            answer = await client.post("/log/watch", json=watch(), headers=headers)
            if answer.status_code == 429:
                assert 0 < int(answer.headers["retry-after"]) <= A_LONG_WINDOW_SEC
                assert answer.headers["retry-after"] == answer.headers["ratelimit-reset"]
                assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["ratelimit-limit"] == "3"
            return answer.status_code, answer.headers["ratelimit-remaining"]

        assert [await send(token) for _ in range(4)] == [(202, "2"), (202, "1"), (202, "0"), (429, "0")]
        assert await send(other_token) == (202, "2")
        assert (await client.post("/log/watch", json=watch())).status_code == 401
        assert (await client.get("/healthz")).status_code == 200
        assert "429" in (await client.get("/openapi.json")).json()["paths"]["/log/watch"]["post"]["responses"]


async def test_without_keys_an_address_is_the_caller(settings: Settings) -> None:
    async with serving(settings, rate_limit_requests=2, rate_limit_window_sec=A_LONG_WINDOW_SEC) as client:
        statuses = [(await client.post("/log/watch", json=watch())).status_code for _ in range(3)]
    assert statuses == [202, 202, 429]


async def test_a_key_that_visitors_share_is_limited_by_address(settings: Settings) -> None:
    key, token = keys.make("pages", ["browser"], "b" * 43)
    limits = {"rate_limit_requests": 2, "rate_limit_window_sec": A_LONG_WINDOW_SEC}
    async with serving(settings, api_keys=(key.entry(),), **limits) as client:

        async def status(address: str, visitor: str) -> int:
            headers = {"x-api-key": token, "x-forwarded-for": address, "x-visitor-id": visitor}
            return (await client.get("/popular", headers=headers)).status_code

        # Who is not admitted counts as well.
        asked = [("192.0.2.1", "a" * 22), ("192.0.2.1", "short"), ("192.0.2.1", "b" * 22), ("192.0.2.2", "a" * 22)]
        assert [await status(*one) for one in asked] == [200, 422, 429, 200]
