"""The stream of samples: sampled once for all who look, only while somebody does, and ended on drain."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.adapters import flow, ingest
from app.console import flow_sampler
from app.core import keys
from app.http.listener import bind
from app.settings import Settings
from app.wiring import Service
from tests.support.api import serving, watch
from tests.support.erasing import record
from tests.support.pipeline import database, until

READ, READ_TOKEN = keys.make("viewer", ["read"], "r" * 43)
WRITE, WRITE_TOKEN = keys.make("shop", ["write"], "w" * 43)


async def events_of(stream: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in stream.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def samples(stream: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for name, content in events_of(stream):
        if name == "sample":
            yield content


def sampling() -> bool:
    return any(task.get_name() == "console-flow" for task in asyncio.all_tasks())


async def test_samples_show_what_happens_and_end_with_the_last_viewer(settings: Settings) -> None:
    async with serving(settings) as client:
        assert not sampling()
        async with client.stream("GET", "/console/live") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            found = samples(stream)
            first = await anext(found)
            assert [stage["name"] for stage in first["stages"]] == ["api", "outbox", "kafka", "features", "cache"]
            assert first["begun"] == {"has_events": False, "has_items": False, "has_histories": False}
            assert (await client.post("/log/watch", json=watch())).status_code == 202
            async for sample in found:
                stages = {stage["name"]: stage for stage in sample["stages"]}
                if stages["outbox"]["backlog"] == 1 and sample["begun"]["has_events"] and stages["api"]["rate"]:
                    break
            assert sampling()
        async with client.stream("GET", "/console/live") as second:
            name, traces = await anext(events_of(second))
            assert (name, len(traces) > 1, len(traces[0][1])) == ("traces", True, 5)
        async with asyncio.timeout(10):
            while sampling():
                await asyncio.sleep(0.05)
        head = await client.head("/console/live")
        assert (head.status_code, head.content, sampling()) == (200, b"", False)


async def test_events_of_probes_are_not_counted_as_accepted(database_url: str) -> None:
    async with database(database_url) as opened, opened.connection() as connection:
        for _ in range(3):
            await ingest.try_insert(connection, None)
        await ingest.insert_events(connection, [record("ann")])
        await connection.execute("SELECT pg_stat_force_next_flush()")

        async def one_is_accepted() -> bool:
            counts, _, _ = await flow.read(connection)
            return counts.accepted == 1

        await until(one_is_accepted)


async def test_cache_is_red_with_its_error_and_advice_while_redis_is_down(settings: Settings) -> None:
    async with (
        serving(settings, online_cache_redis_url="redis://127.0.0.1:1/0") as client,
        client.stream("GET", "/console/live") as stream,
    ):
        async for sample in samples(stream):
            cache = sample["stages"][4]
            if cache["state"] == "down":
                break
        assert cache["error"].startswith("Redis: ")
        assert cache["advice"]["section"] == "Redis is down"


async def test_stream_needs_a_key_that_reads(settings: Settings) -> None:
    async with serving(settings, api_keys=(READ.entry(), WRITE.entry())) as client:
        assert (await client.get("/console/live")).status_code == 401
        refused = await client.get("/console/live", headers={"x-api-key": WRITE_TOKEN})
        assert refused.status_code == 403
        async with client.stream("GET", "/console/live", headers={"x-api-key": READ_TOKEN}) as stream:
            found = samples(stream)
            async with asyncio.timeout(20):
                while (await anext(found))["status"] != "ready":
                    pass


async def test_viewers_are_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_sampler, "MOST_VIEWERS", 1)
    async with serving(settings) as client, client.stream("GET", "/console/live") as stream:
        await anext(samples(stream))
        refused = await client.get("/console/live")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")


async def test_stream_ends_when_the_process_drains(settings: Settings) -> None:
    with bind("127.0.0.1", 0, reuse_port=False) as listener:
        service = Service(settings, listener)
        service.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=20, verify=False) as client:
            async with asyncio.timeout(20):
                while not service.report().ready:
                    await asyncio.sleep(0.01)
            async with client.stream("GET", "/console/live") as stream:
                found = samples(stream)
                await anext(found)
                drained = asyncio.create_task(service.drain())
                assert [sample async for sample in found if sample["status"] == "none"] == []
                assert await drained
